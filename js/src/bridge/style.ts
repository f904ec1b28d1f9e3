/** The host's look, put on the document; named and done as in `@modelcontextprotocol/ext-apps`. */

export function applyDocumentTheme(theme: "light" | "dark"): void {
  const root = document.documentElement;
  root.setAttribute("data-theme", theme);
  root.style.colorScheme = theme;
}

export function applyHostStyleVariables(
  variables: Record<string, string | undefined>,
  root: HTMLElement = document.documentElement,
): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) root.style.setProperty(name, value);
  }
}

export function applyHostFonts(css: string): void {
  if (document.querySelector("style[data-host-fonts]")) return;
  const style = document.createElement("style");
  style.setAttribute("data-host-fonts", "");
  style.textContent = css;
  document.head.append(style);
}

export const getDocumentTheme = (): "light" | "dark" =>
  document.documentElement.getAttribute("data-theme") === "dark" ? "dark" : "light";
