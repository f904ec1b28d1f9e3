// Stands in for `@modelcontextprotocol/ext-apps` where an app is to run on our bridge instead.
import type { App as SdkApp } from "@modelcontextprotocol/ext-apps";

export const { App } = (window as unknown as { McpApps: { App: typeof SdkApp } }).McpApps;
