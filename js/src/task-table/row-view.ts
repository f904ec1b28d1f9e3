import { Badge } from "../shared/badge";
import { element, flash, setAttribute, setText } from "../shared/dom";
import { compact, duration, spoken } from "../shared/format";
import { ProgressBar } from "../shared/progress";
import { elapsed, headline, isLive, type Row } from "../shared/task";

export const COLUMNS = [
  "server",
  "tool",
  "status",
  "progress",
  "message",
  "elapsed",
  "variables",
  "actions",
] as const;

const MAX_CHIPS = 6;

/** One pooled line of the table; it shows whatever row its place in the window holds. */
export class RowView {
  readonly node = element("div", "pmcp-row");
  readonly #server = cell("server");
  readonly #tool = cell("tool");
  readonly #status = cell("status");
  readonly #progress = cell("progress");
  readonly #message = cell("message");
  readonly #elapsed = cell("elapsed");
  readonly #variables = cell("variables");
  readonly #actions = cell("actions");
  readonly #badge = new Badge();
  readonly #bar = new ProgressBar();
  readonly #trouble = element("span", "pmcp-trouble", "⚠");
  readonly #text = element("span", "pmcp-row-message");
  readonly cancel = element("button", "pmcp-button pmcp-cancel", "Cancel");
  #row: Row | null = null;
  #chips = "";

  constructor(onCancel: (key: string) => void) {
    this.node.setAttribute("role", "row");
    this.node.tabIndex = -1;
    this.cancel.type = "button";
    this.cancel.tabIndex = -1;
    this.cancel.addEventListener("click", () => {
      if (!this.#row || this.#asked === this.#row.key) return;
      // Until the kernel says otherwise, the row shows that the wish was heard.
      this.#asked = this.#row.key;
      this.#showCancel(this.#row);
      onCancel(this.#row.key);
    });
    this.#trouble.setAttribute("role", "img");
    this.#status.append(this.#badge.node);
    this.#progress.append(this.#bar.node);
    this.#message.append(this.#trouble, this.#text);
    this.#actions.append(this.cancel);
    this.node.append(
      this.#server,
      this.#tool,
      this.#status,
      this.#progress,
      this.#message,
      this.#elapsed,
      this.#variables,
      this.#actions,
    );
  }

  #asked: string | null = null;

  get key(): string | null {
    return this.#row?.key ?? null;
  }

  place(index: number, height: number): void {
    const transform = `translateY(${index * height}px)`;
    if (this.node.style.transform !== transform) this.node.style.transform = transform;
    // Row 1 is the header.
    setAttribute(this.node, "aria-rowindex", String(index + 2));
    setAttribute(this.node, "data-odd", index % 2 === 1 ? "" : null);
  }

  show(row: Row, now: number): void {
    const before = this.#row;
    this.tick(row, now);
    if (row === before) return;
    this.#row = row;
    const same = before?.key === row.key;
    // Trouble may be that the task could not be cancelled: the wish can be repeated then.
    if (!same || row.trouble !== before?.trouble) this.#asked = null;
    setText(this.#server, row.server);
    setText(this.#tool, row.tool);
    setAttribute(this.#tool, "title", `${row.tool} · ${row.taskId}`);
    setAttribute(this.#server, "title", row.server);
    setAttribute(this.node, "data-status", row.status);
    if (this.#badge.set(row.status) && same) flash(this.#status);
    this.#bar.set(row);
    const text = headline(row) || (row.trouble ?? "");
    if (setText(this.#text, text) && same) flash(this.#message);
    const { trouble } = row;
    this.#trouble.hidden = trouble === null;
    setAttribute(this.#trouble, "aria-label", trouble);
    setAttribute(this.#message, "title", [trouble, text].filter(Boolean).join("\n") || null);
    setAttribute(this.node, "data-trouble", trouble === null ? null : "");
    if (this.#showVariables(row.variables) && same) flash(this.#variables);
    this.#showCancel(row);
  }

  tick(row: Row, now: number): void {
    const time = elapsed(row, now);
    if (setText(this.#elapsed, duration(time))) setAttribute(this.#elapsed, "title", spoken(time));
  }

  clear(): void {
    this.#row = null;
  }

  #showCancel(row: Row): void {
    const asked = this.#asked === row.key;
    if (!isLive(row) && this.cancel === document.activeElement) this.node.focus();
    this.cancel.hidden = !isLive(row);
    // A button that is really disabled would lose the keyboard's focus.
    setAttribute(this.cancel, "aria-disabled", asked ? "true" : null);
    setText(this.cancel, asked ? "Cancelling" : "Cancel");
    setAttribute(this.cancel, "aria-label", `Cancel ${row.tool} on ${row.server}`);
  }

  #showVariables(variables: Record<string, unknown>): boolean {
    const entries = Object.entries(variables ?? {});
    const shown = entries.slice(0, MAX_CHIPS).map(([name, value]) => [name, compact(value, 24)]);
    const chips = JSON.stringify([shown, entries.length]);
    if (chips === this.#chips) return false;
    this.#chips = chips;
    while (this.#variables.childElementCount > shown.length) this.#variables.lastChild?.remove();
    shown.forEach(([name = "", value = ""], index) => {
      let chip = this.#variables.children[index] as HTMLElement | undefined;
      if (!chip) {
        chip = element("span", "pmcp-chip", element("b", ""), element("span", ""));
        this.#variables.append(chip);
      }
      setText(chip.firstChild as HTMLElement, name);
      setText(chip.lastChild as HTMLElement, value);
    });
    const all = entries.slice(0, 40).map(([name, value]) => `${name} = ${compact(value, 80)}`);
    setAttribute(this.#variables, "title", all.join("\n") || null);
    return true;
  }
}

function cell(name: (typeof COLUMNS)[number]): HTMLDivElement {
  const node = element("div", `pmcp-cell pmcp-cell-${name}`);
  node.setAttribute("role", "gridcell");
  node.setAttribute("aria-colindex", String(COLUMNS.indexOf(name) + 1));
  return node;
}
