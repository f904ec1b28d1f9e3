/**
 * The bridge that a widget is given when it brings none: `McpApps.App` and the rest for new widgets, `mcpBridge` and
 * `openai` for old ones. A classic script that runs before all of the widget's own; the second one of a page does
 * nothing.
 */

import { App, anyMade, HostError } from "./app";
import { ChatGptTransport, openai } from "./chatgpt";
import { installLegacy, session } from "./legacy";
import { McpUiTransport } from "./mcp-ui";
import * as style from "./style";
import { PostMessageTransport } from "./transport";

const McpApps = { App, HostError, PostMessageTransport, ...style };

if (!("McpApps" in window)) {
  const host = document.currentScript?.getAttribute("data-pmcp-bridge");
  const chatgpt = openai();
  if (host === "chatgpt" && chatgpt) App.transport = () => new ChatGptTransport(chatgpt);
  else if (host === "mcp-ui") App.transport = () => new McpUiTransport();
  Object.assign(window, { McpApps });
  installLegacy();
  // What the widget does with the bridge it does until here; one that does nothing still is an app to its host.
  const start = () => {
    if (!anyMade() && window.parent !== window) session().catch((error) => console.warn(error));
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
}
