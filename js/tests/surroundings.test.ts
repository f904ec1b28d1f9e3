import { afterEach, expect, it, vi } from "vitest";
import { hasKernel, type Model } from "../src/shared/anywidget";
import { currentTheme } from "../src/shared/theme";

afterEach(() => vi.unstubAllGlobals());

function body(dataset: Record<string, string>): HTMLElement {
  return { dataset } as unknown as HTMLElement;
}

it("takes the theme from JupyterLab, VS Code and marimo, and else from the system", () => {
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  expect(currentTheme(body({ jpThemeLight: "true" }))).toBe("light");
  expect(currentTheme(body({ vscodeThemeKind: "vscode-light" }))).toBe("light");
  expect(currentTheme(body({ theme: "light" }))).toBe("light");
  expect(currentTheme(body({ theme: "solarized" }))).toBe("dark");
  expect(currentTheme(body({}))).toBe("dark");
});

it("knows that no kernel stands behind a page that marimo exported", () => {
  const model = { get: () => undefined } as unknown as Model;
  expect(hasKernel(model)).toBeUndefined();
  vi.stubGlobal("__MARIMO_STATIC__", {});
  expect(hasKernel(model)).toBe(false);
});
