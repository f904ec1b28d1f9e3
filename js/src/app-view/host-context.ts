import type { McpUiHostContext, McpUiStyles } from "@modelcontextprotocol/ext-apps";
import { currentTheme, type Theme } from "../shared/theme";
import type { DisplayMode } from "./bridge";
import { DISPLAY_MODES } from "./display";
import type { Call } from "./traits";

/**
 * Families of style variables, one a line: a name in place of the %, the page's variables to try for it (JupyterLab's,
 * then VS Code's), what it is without them in light, and in dark where that is another. Text and what it stands on have a
 * contrast of 4.5 in each of Jupyter's themes, which many of Jupyter's own pairs have not.
 */
const STYLES: Record<string, string> = {
  "color-background-%": `primary jp-layout-color1 vscode-editor-background|#ffffff|#1e1e1e
secondary jp-layout-color2 vscode-sideBar-background|#f5f5f5|#2a2a2a
tertiary|#e0e0e0|#3a3a3a
inverse jp-inverse-layout-color1|#212121|#f5f5f5
ghost|transparent
info|#e3f2fd|#0d2f4f
danger|#fdecea|#4a1512
success|#e6f4ea|#123b1e
warning|#fff4e0|#4a3208
disabled|#eeeeee|#2f2f2f`,
  "color-text-%": `primary jp-content-font-color1 jp-ui-font-color1 vscode-foreground|#1f1f1f|#e3e3e3
secondary|#4f4f4f|#c8c8c8
tertiary|#616161|#b4b4b4
inverse jp-ui-inverse-font-color1|#ffffff|#1f1f1f
ghost|#4f4f4f|#c8c8c8
info|#0b57d0|#8ab4f8
danger|#b3261e|#ff9b93
success|#1a6e2e|#7ddc9a
warning|#8a5300|#f4b860
disabled|#616161|#a8a8a8`,
  "color-border-%": `primary jp-border-color1 vscode-panel-border|#bdbdbd|#4f4f4f
secondary jp-border-color2|#e0e0e0|#3a3a3a
tertiary jp-border-color3|#eeeeee|#2f2f2f
inverse jp-inverse-border-color|#5f5f5f|#c0c0c0
ghost|transparent
info jp-info-color1|#1976d2|#4fa3f0
danger jp-error-color1|#d32f2f|#ef6b62
success jp-success-color1|#388e3c|#66bb6a
warning jp-warn-color1|#f57c00|#ffb74d
disabled jp-border-color2|#e0e0e0|#3a3a3a`,
  "color-ring-%": `primary jp-brand-color1 vscode-focusBorder|#1976d2|#4fa3f0
secondary jp-brand-color2|#64b5f6|#2f6ea8
inverse|#ffffff|#1f1f1f
info jp-info-color1|#1976d2|#4fa3f0
danger jp-error-color1|#d32f2f|#ef6b62
success jp-success-color1|#388e3c|#66bb6a
warning jp-warn-color1|#f57c00|#ffb74d`,
  "shadow-%": `hairline|0 0 0 1px rgb(0 0 0 / 8%)|0 0 0 1px rgb(255 255 255 / 12%)
sm|0 1px 2px rgb(0 0 0 / 12%)|0 1px 2px rgb(0 0 0 / 50%)
md|0 2px 6px rgb(0 0 0 / 14%)|0 2px 6px rgb(0 0 0 / 55%)
lg|0 6px 18px rgb(0 0 0 / 16%)|0 6px 18px rgb(0 0 0 / 60%)`,
  "font-%": `sans jp-ui-font-family vscode-font-family|system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif
mono jp-code-font-family vscode-editor-font-family|ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace`,
  "font-weight-%": `normal|400
medium|500
semibold|600
bold|700`,
  "font-text-%-size": `xs|11px
sm|12px
md jp-content-font-size1|14px
lg|16px`,
  "font-text-%-line-height": `xs|1.4
sm|1.4
md|1.5
lg|1.5`,
  "font-heading-%-size": `xs|13px
sm|14px
md|17px
lg|20px
xl|24px
2xl|29px
3xl|35px`,
  "font-heading-%-line-height": `xs|1.3
sm|1.3
md|1.3
lg|1.25
xl|1.2
2xl|1.2
3xl|1.15`,
  "border-radius-%": `xs|2px
sm jp-border-radius|3px
md|4px
lg|8px
xl|12px
full|9999px`,
  "border-width-%": `regular jp-border-width|1px`,
};

export function styleVariables(theme: Theme, read: (name: string) => string): McpUiStyles {
  const variables: Record<string, string> = {};
  for (const [family, lines] of Object.entries(STYLES)) {
    for (const line of lines.split("\n")) {
      const [head = "", light = "", dark = light] = line.split("|");
      const [name = "", ...tried] = head.split(" ");
      const found = tried.map((other) => read(`--${other}`).trim()).find(Boolean);
      variables[`--${family.replace("%", name)}`] = found ?? (theme === "dark" ? dark : light);
    }
  }
  return variables as McpUiStyles;
}

export function pageStyle(): (name: string) => string {
  const style = getComputedStyle(document.body);
  return (name) => style.getPropertyValue(name);
}

export function themeContext(
  theme: Theme = currentTheme(),
  read: (name: string) => string = pageStyle(),
): Pick<McpUiHostContext, "theme" | "styles"> {
  return { theme, styles: { variables: styleVariables(theme, read) } };
}

/** What the app has to itself. */
export interface Space {
  mode: DisplayMode;
  width: number;
  /** How tall it is in a window of its own, and how tall it may become in a cell. */
  height: number;
}

export function spaceContext({ mode, width, height }: Space): Partial<McpUiHostContext> {
  // The frame is as wide as the cell, whatever the app would like: a width it reports is not followed.
  const containerDimensions =
    mode === "inline"
      ? { maxHeight: height, width: Math.round(width) }
      : { height: Math.round(height), width: Math.round(width) };
  return { displayMode: mode, containerDimensions };
}

export function hostContext(call: Call | null, space: Space): McpUiHostContext {
  const fine = matchMedia("(any-hover: hover)").matches;
  const context: McpUiHostContext = {
    ...themeContext(),
    ...spaceContext(space),
    availableDisplayModes: [...DISPLAY_MODES],
    locale: navigator.language,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    userAgent: "pmcp_lab",
    platform: "web",
    deviceCapabilities: { touch: navigator.maxTouchPoints > 0, hover: fine },
    safeAreaInsets: { top: 0, right: 0, bottom: 0, left: 0 },
  };
  if (call?.tool) {
    context.toolInfo = { tool: call.tool as NonNullable<McpUiHostContext["toolInfo"]>["tool"] };
  }
  return context;
}
