export type Theme = "light" | "dark";

/** What the page around us looks like: JupyterLab, VS Code and marimo say so on the body, others by media query. */
export function currentTheme(body: HTMLElement = document.body): Theme {
  const jupyter = body.dataset.jpThemeLight;
  if (jupyter !== undefined) return jupyter === "false" ? "dark" : "light";
  const code = body.dataset.vscodeThemeKind;
  if (code !== undefined) return /light/.test(code) ? "light" : "dark";
  const { theme } = body.dataset;
  if (theme === "light" || theme === "dark") return theme;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Calls back when the theme may have changed, also from one dark theme to another. */
export function watchTheme(signal: AbortSignal, changed: (theme: Theme) => void): void {
  const tell = () => changed(currentTheme());
  const observer = new MutationObserver(tell);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: [
      "data-jp-theme-light",
      "data-jp-theme-name",
      "data-vscode-theme-kind",
      "data-theme",
      "class",
    ],
  });
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", tell);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    query.removeEventListener("change", tell);
  });
}

/** Marks a widget's root with the theme, which its stylesheet's fallback colours follow, and keeps JupyterLab's
    one-letter commands away from it. */
export function followTheme(root: HTMLElement, signal: AbortSignal): void {
  root.dataset.lmSuppressShortcuts = "true";
  root.dataset.theme = currentTheme();
  watchTheme(signal, (theme) => {
    root.dataset.theme = theme;
  });
}
