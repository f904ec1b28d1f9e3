/** The calls that the person made, newest first: how long, how it went, and all of it on demand. */

import type { Content } from "../form/form";
import { button, element, setText } from "../shared/dom";
import { json } from "../shared/format";
import type { CallResult, Outcome, ToolInfo } from "./state";

const MAX_RUNS = 100;
const MAX_TEXT = 20_000;
const IMAGE = /^image\/(png|jpeg|gif|webp)$/;

class Run {
  readonly node = element("details", "pv-call");
  readonly #state = element("span", "pv-call-state", "running…");
  readonly #outcome = element("div", "pv-call-outcome");
  readonly #cancel: HTMLButtonElement;

  constructor(tool: ToolInfo, content: Content, cancel: () => void) {
    this.#cancel = button("Cancel", "pmcp-button", cancel);
    this.#state.setAttribute("role", "status");
    const head = element("summary", "", element("code", "", tool.name), this.#state);
    const given = element("pre", "pv-json", json(content));
    given.tabIndex = 0;
    this.node.append(head, element("h3", "", "Arguments"), given, this.#outcome, this.#cancel);
    this.node.dataset.outcome = "running";
  }

  progress(progress: number, total: number | null, message: string | null): void {
    const far = total ? `${Math.round((100 * progress) / total)} %` : "";
    setText(this.#state, ["running", far, message ?? ""].filter(Boolean).join(" · "));
  }

  settle({ ms, result, error }: Outcome): void {
    this.#cancel.remove();
    const failed = error !== undefined || result?.isError === true;
    this.node.dataset.outcome = failed ? "failed" : "done";
    const how = error ? `error ${error.code}` : failed ? "tool error" : "done";
    setText(this.#state, `${how} · ${ms} ms`);
    this.#outcome.replaceChildren(
      ...(error ? failure(error.message, error) : contents(result ?? {})),
    );
  }
}

function failure(message: string, whole: unknown): HTMLElement[] {
  return [element("p", "pv-failure", message), raw("Error", whole)];
}

function raw(title: string, value: unknown): HTMLElement {
  const text = json(value);
  const cut =
    text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n… ${text.length - MAX_TEXT} more` : text;
  const pre = element("pre", "pv-json", cut);
  pre.tabIndex = 0;
  return element("details", "pv-raw", element("summary", "", title), pre);
}

/** A result as people read it, and all of it as JSON. What a server sends is text here, or a picture. */
function contents(result: CallResult): HTMLElement[] {
  const blocks = Array.isArray(result.content) ? result.content : [];
  const parts: HTMLElement[] = [];
  for (const block of blocks as Record<string, unknown>[]) {
    if (block?.type === "text") {
      const text = element("pre", "pv-text", String(block.text).slice(0, MAX_TEXT));
      text.tabIndex = 0;
      if (result.isError) text.classList.add("pv-failure");
      parts.push(text);
    } else if (block?.type === "image" && IMAGE.test(String(block.mimeType))) {
      const image = element("img", "pv-image");
      image.src = `data:${block.mimeType};base64,${String(block.data)}`;
      image.alt = "";
      parts.push(image);
    } else parts.push(element("p", "pmcp-hint", `(${String(block?.type)}: see the whole result)`));
  }
  if (parts.length === 0) parts.push(element("p", "pmcp-hint", "The result has no content."));
  return [...parts, raw("Whole result", result)];
}

export class Runs {
  readonly node = element("section", "pv-part pv-runs");
  readonly #list = element("div", "pv-calls");
  readonly #empty = element("p", "pmcp-empty", "What you run shows here.");
  readonly #clear: HTMLButtonElement;
  readonly #runs = new Map<number, Run>();
  #last = 0;

  constructor(private readonly cancel: (call: number) => void) {
    this.#clear = button("Clear", "pmcp-button", () => this.#forget());
    const head = element("div", "pv-part-head", element("h2", "", "Calls"), this.#clear);
    this.node.setAttribute("aria-label", "Calls");
    this.node.append(head, this.#empty, this.#list);
    this.#forget();
  }

  /** The number of a call that is made now. */
  begin(tool: ToolInfo, content: Content): number {
    this.#last += 1;
    const call = this.#last;
    const run = new Run(tool, content, () => this.cancel(call));
    for (const other of this.#list.children) (other as HTMLDetailsElement).open = false;
    // What an app shows needs no second look.
    run.node.open = tool.app === null;
    this.#runs.set(call, run);
    this.#list.prepend(run.node);
    while (this.#list.children.length > MAX_RUNS) this.#list.lastElementChild?.remove();
    this.#empty.hidden = true;
    this.#clear.hidden = false;
    return call;
  }

  progress(call: number, progress: number, total: number | null, message: string | null): void {
    this.#runs.get(call)?.progress(progress, total, message);
  }

  settle(outcome: Outcome): void {
    const run = this.#runs.get(outcome.call);
    this.#runs.delete(outcome.call);
    if (!run) return;
    if (outcome.problems) run.node.remove();
    else run.settle(outcome);
    if (outcome.error) run.node.open = true;
  }

  #forget(): void {
    this.#list.replaceChildren();
    this.#empty.hidden = false;
    this.#clear.hidden = true;
  }
}
