/** What an app is told instead of the truth, to see what it makes of it. */
import type { McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import type { Theme } from "../../shared/theme";
import type { Surroundings } from "../surroundings";

export interface Pretence {
  theme?: Theme;
  locale?: string;
  safeAreaInsets?: NonNullable<McpUiHostContext["safeAreaInsets"]>;
  platform?: NonNullable<McpUiHostContext["platform"]>;
  deviceCapabilities?: NonNullable<McpUiHostContext["deviceCapabilities"]>;
}

/** Replaces what was pretended before. */
export function pretend(surroundings: Surroundings, { theme, ...others }: Pretence): void {
  const before = surroundings.context() as Record<string, unknown>;
  // The page has the colours of one theme only.
  const colours = theme && surroundings.themeContext(theme, () => "");
  surroundings.pretended = { ...others, ...colours };
  const parts = Object.entries(surroundings.context()).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  surroundings.port.themed(surroundings.theme);
  if (parts.length > 0) surroundings.port.changed(Object.fromEntries(parts));
}
