/** What goes before the app's document: the prelude, and what it is given. */
import { MISSING, STORED, type Stored } from "../prelude/names";

/** What `old-widgets.js` exports: the code of `window.mcpBridge` and `window.openai`. */
export interface OldWidgets {
  /** `missing` tells of what a host does not have that has `window.openai` alone; null where all is offered. */
  install(state: unknown, method: string, missing: string | null): void;
}

/** Nothing in it can end the script: neither its own text nor what an app once stored. */
function literal(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replace(/</g, "\\u003c").replace(/[\u2028\u2029]/g, " ");
}

/** The script that goes before the app's document. In a `srcdoc` it does not bring quirks mode about. */
export function prelude(
  code: string,
  stored: Stored | null,
  old: OldWidgets | null,
  only: boolean,
): string {
  const given = literal({ local: stored?.local ?? {}, left: stored?.left ?? null });
  const widgets = [stored?.state, STORED, only ? MISSING : null].map(literal);
  const last = old ? `(${old.install})(${widgets});` : "";
  return `<script>{const given=${given};${code};${last}document.currentScript.remove()}</script>`;
}
