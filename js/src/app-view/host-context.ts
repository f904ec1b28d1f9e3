import type {
  McpUiHostContext,
  McpUiStyles,
  McpUiStyleVariableKey,
} from "@modelcontextprotocol/ext-apps";
import { currentTheme, type Theme } from "../shared/theme";
import type { Call, DisplayMode } from "./bridge";
import { DISPLAY_MODES } from "./display";

type Key = McpUiStyleVariableKey;

/** name: [variables to try in order (JupyterLab, then VS Code), light fallback, dark fallback] */
const COLORS: Partial<Record<Key, [string, string, string]>> = {
  "--color-background-primary": ["jp-layout-color1 vscode-editor-background", "#ffffff", "#1e1e1e"],
  "--color-background-secondary": [
    "jp-layout-color2 vscode-sideBar-background",
    "#f5f5f5",
    "#2a2a2a",
  ],
  "--color-background-tertiary": ["jp-layout-color3", "#e0e0e0", "#3a3a3a"],
  "--color-background-inverse": ["jp-inverse-layout-color1", "#212121", "#f5f5f5"],
  "--color-background-ghost": ["", "transparent", "transparent"],
  "--color-background-info": ["jp-info-color3", "#e3f2fd", "#0d2f4f"],
  "--color-background-danger": ["jp-error-color3", "#fdecea", "#4a1512"],
  "--color-background-success": ["jp-success-color3", "#e6f4ea", "#123b1e"],
  "--color-background-warning": ["jp-warn-color3", "#fff4e0", "#4a3208"],
  "--color-background-disabled": ["jp-layout-color2", "#eeeeee", "#2f2f2f"],
  "--color-text-primary": [
    "jp-content-font-color1 jp-ui-font-color1 vscode-foreground",
    "#1f1f1f",
    "#e3e3e3",
  ],
  "--color-text-secondary": [
    "jp-content-font-color2 jp-ui-font-color2 vscode-descriptionForeground",
    "#5a5a5a",
    "#b0b0b0",
  ],
  "--color-text-tertiary": ["jp-content-font-color3 jp-ui-font-color3", "#767676", "#8f8f8f"],
  "--color-text-inverse": ["jp-ui-inverse-font-color1", "#ffffff", "#1f1f1f"],
  "--color-text-ghost": ["jp-ui-font-color2", "#5a5a5a", "#b0b0b0"],
  "--color-text-info": ["", "#0b57d0", "#8ab4f8"],
  "--color-text-danger": ["", "#b3261e", "#ff9b93"],
  "--color-text-success": ["", "#1a6e2e", "#7ddc9a"],
  "--color-text-warning": ["", "#8a5300", "#f4b860"],
  "--color-text-disabled": ["jp-ui-font-color3", "#9e9e9e", "#6f6f6f"],
  "--color-border-primary": ["jp-border-color1 vscode-panel-border", "#bdbdbd", "#4f4f4f"],
  "--color-border-secondary": ["jp-border-color2", "#e0e0e0", "#3a3a3a"],
  "--color-border-tertiary": ["jp-border-color3", "#eeeeee", "#2f2f2f"],
  "--color-border-inverse": ["jp-inverse-border-color", "#5f5f5f", "#c0c0c0"],
  "--color-border-ghost": ["", "transparent", "transparent"],
  "--color-border-info": ["jp-info-color1", "#1976d2", "#4fa3f0"],
  "--color-border-danger": ["jp-error-color1", "#d32f2f", "#ef6b62"],
  "--color-border-success": ["jp-success-color1", "#388e3c", "#66bb6a"],
  "--color-border-warning": ["jp-warn-color1", "#f57c00", "#ffb74d"],
  "--color-border-disabled": ["jp-border-color2", "#e0e0e0", "#3a3a3a"],
  "--color-ring-primary": ["jp-brand-color1 vscode-focusBorder", "#1976d2", "#4fa3f0"],
  "--color-ring-secondary": ["jp-brand-color2", "#64b5f6", "#2f6ea8"],
  "--color-ring-inverse": ["", "#ffffff", "#1f1f1f"],
  "--color-ring-info": ["jp-info-color1", "#1976d2", "#4fa3f0"],
  "--color-ring-danger": ["jp-error-color1", "#d32f2f", "#ef6b62"],
  "--color-ring-success": ["jp-success-color1", "#388e3c", "#66bb6a"],
  "--color-ring-warning": ["jp-warn-color1", "#f57c00", "#ffb74d"],
  "--shadow-hairline": ["", "0 0 0 1px rgb(0 0 0 / 8%)", "0 0 0 1px rgb(255 255 255 / 12%)"],
  "--shadow-sm": ["", "0 1px 2px rgb(0 0 0 / 12%)", "0 1px 2px rgb(0 0 0 / 50%)"],
  "--shadow-md": ["", "0 2px 6px rgb(0 0 0 / 14%)", "0 2px 6px rgb(0 0 0 / 55%)"],
  "--shadow-lg": ["", "0 6px 18px rgb(0 0 0 / 16%)", "0 6px 18px rgb(0 0 0 / 60%)"],
};

const SANS = 'system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';
const MONO = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** The same in both themes: [variables to try, fallback] */
const SIZES: Partial<Record<Key, [string, string]>> = {
  "--font-sans": ["jp-ui-font-family vscode-font-family", SANS],
  "--font-mono": ["jp-code-font-family vscode-editor-font-family", MONO],
  "--font-weight-normal": ["", "400"],
  "--font-weight-medium": ["", "500"],
  "--font-weight-semibold": ["", "600"],
  "--font-weight-bold": ["", "700"],
  "--font-text-xs-size": ["", "11px"],
  "--font-text-sm-size": ["", "12px"],
  "--font-text-md-size": ["jp-content-font-size1", "14px"],
  "--font-text-lg-size": ["", "16px"],
  "--font-text-xs-line-height": ["", "1.4"],
  "--font-text-sm-line-height": ["", "1.4"],
  "--font-text-md-line-height": ["", "1.5"],
  "--font-text-lg-line-height": ["", "1.5"],
  "--font-heading-xs-size": ["", "13px"],
  "--font-heading-sm-size": ["", "14px"],
  "--font-heading-md-size": ["", "17px"],
  "--font-heading-lg-size": ["", "20px"],
  "--font-heading-xl-size": ["", "24px"],
  "--font-heading-2xl-size": ["", "29px"],
  "--font-heading-3xl-size": ["", "35px"],
  "--font-heading-xs-line-height": ["", "1.3"],
  "--font-heading-sm-line-height": ["", "1.3"],
  "--font-heading-md-line-height": ["", "1.3"],
  "--font-heading-lg-line-height": ["", "1.25"],
  "--font-heading-xl-line-height": ["", "1.2"],
  "--font-heading-2xl-line-height": ["", "1.2"],
  "--font-heading-3xl-line-height": ["", "1.15"],
  "--border-radius-xs": ["", "2px"],
  "--border-radius-sm": ["jp-border-radius", "3px"],
  "--border-radius-md": ["", "4px"],
  "--border-radius-lg": ["", "8px"],
  "--border-radius-xl": ["", "12px"],
  "--border-radius-full": ["", "9999px"],
  "--border-width-regular": ["jp-border-width", "1px"],
};

export function styleVariables(theme: Theme, read: (name: string) => string): McpUiStyles {
  const pick = (names: string, fallback: string): string => {
    for (const name of names.split(" ")) {
      const value = name && read(`--${name}`).trim();
      if (value) return value;
    }
    return fallback;
  };
  const variables: Partial<Record<Key, string>> = {};
  for (const [key, [names, light, dark]] of Object.entries(COLORS)) {
    variables[key as Key] = pick(names, theme === "dark" ? dark : light);
  }
  for (const [key, [names, fallback]] of Object.entries(SIZES)) {
    variables[key as Key] = pick(names, fallback);
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

/** What an app is told instead of the truth, to see what it makes of it. */
export interface Pretence {
  theme?: Theme;
  locale?: string;
  safeAreaInsets?: NonNullable<McpUiHostContext["safeAreaInsets"]>;
  platform?: NonNullable<McpUiHostContext["platform"]>;
  deviceCapabilities?: NonNullable<McpUiHostContext["deviceCapabilities"]>;
}

export function pretended({ theme, ...others }: Pretence): Partial<McpUiHostContext> {
  // The page has the colours of one theme only.
  return theme ? { ...others, ...themeContext(theme, () => "") } : others;
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
