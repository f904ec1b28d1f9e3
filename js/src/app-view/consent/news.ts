/** What few people ever have to be told of an app. */
import type { Chrome } from "../chrome";

/** Code from text is the one thing that no click allows and that an app may be nothing without. */
export function showEval(chrome: Chrome, server: string): void {
  chrome.showBar("eval", "warning", "The app makes code from text ('unsafe-eval'). To allow it:", {
    detail: `lab.connected(${JSON.stringify(server)}).allow_apps(unsafe_eval=True)`,
    closable: true,
  });
}

/** The host that is played lacks what the app uses. */
export function showMissing(chrome: Chrome, only: string, missing: readonly string[]): void {
  const detail = missing.join(", ");
  chrome.showBar("missing", "error", `The app uses what ${only} does not offer:`, { detail });
}

/** The app changed, and could not be read: what is shown is what it was. */
export function showStale(chrome: Chrome, detail: string): void {
  const text = "The app changed and can’t be read; this is what it was.";
  chrome.showBar("stale", "warning", text, { detail });
}
