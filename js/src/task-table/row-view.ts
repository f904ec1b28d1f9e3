import { element, flash, setAttribute, setText } from "../shared/dom";
import { Sure } from "../shared/sure";
import { isLive } from "../shared/task";
import { type Cell, cell } from "./cells";
import type { Column } from "./columns";
import type { Rows, TableRow } from "./rows";

export interface RowState {
  selected: boolean;
  expanded: boolean;
  /** 1, or 2 inside a group. */
  level: number;
}

/** One pooled line of the table; it shows whatever row its place in the window holds. */
export class RowView {
  readonly node = element("div", "pmcp-row");
  readonly toggle = element("span", "pmcp-toggle");
  readonly check = element("span", "pmcp-check");
  readonly cancel = element("button", "pmcp-button pmcp-cancel", "Cancel");
  readonly #sure = new Sure(() => this.#row && this.#showCancel(this.#row));
  readonly #cells: Cell[];
  readonly #ticking: Cell[];
  #row: TableRow | null = null;
  #version = -1;
  #status = "";
  #trouble: string | null = null;
  #asked = false;
  #top = -1;

  constructor(columns: readonly Column[], rows: Rows, onCancel: (n: number) => void) {
    const lead = element("div", "pmcp-cell pmcp-cell-lead", this.toggle, this.check);
    lead.setAttribute("role", "gridcell");
    for (const mark of [this.toggle, this.check]) mark.setAttribute("aria-hidden", "true");
    this.toggle.title = "Details";
    this.#cells = columns.map((column) => cell(column, rows));
    this.#ticking = this.#cells.filter((each) => each.tick);
    const actions = element("div", "pmcp-cell pmcp-cell-actions", this.cancel);
    actions.setAttribute("role", "gridcell");
    this.cancel.type = "button";
    this.cancel.addEventListener("click", (event) => {
      event.stopPropagation();
      if (!this.#row || this.#asked || !this.#sure.press()) return;
      // Until the kernel says otherwise, the row shows that the wish was heard.
      this.#asked = true;
      this.#showCancel(this.#row);
      onCancel(this.#row.n);
    });
    this.node.setAttribute("role", "row");
    this.node.tabIndex = -1;
    this.node.append(lead, ...this.#cells.map((each) => each.node), actions);
    for (const [index, each] of [...this.node.children].entries()) {
      each.setAttribute("aria-colindex", String(index + 1));
    }
  }

  get n(): number | null {
    return this.#row?.n ?? null;
  }

  place(top: number, rowIndex: number, odd: boolean): void {
    if (top !== this.#top) {
      this.#top = top;
      this.node.style.transform = `translateY(${top}px)`;
    }
    setAttribute(this.node, "aria-rowindex", String(rowIndex));
    setAttribute(this.node, "data-odd", odd ? "" : null);
  }

  mark({ selected, expanded, level }: RowState): void {
    setAttribute(this.node, "aria-selected", String(selected));
    setAttribute(this.node, "aria-expanded", String(expanded));
    setAttribute(this.node, "aria-level", String(level));
  }

  show(row: TableRow, now: number): void {
    const same = row === this.#row;
    if (same && row.version === this.#version) return;
    if (!same || row.trouble !== this.#trouble) this.#asked = false;
    if (!same) this.#sure.reset();
    const changed = same && row.status !== this.#status;
    this.#row = row;
    this.#version = row.version;
    this.#trouble = row.trouble;
    for (const each of this.#cells) each.show(row, now);
    if (row.status !== this.#status) {
      this.#status = row.status;
      this.node.dataset.status = row.status;
    }
    setAttribute(this.node, "data-trouble", row.trouble === null ? null : "");
    this.#showCancel(row);
    if (changed) flash(this.node);
  }

  tick(row: TableRow, now: number): void {
    for (const each of this.#ticking) each.tick?.(row, now);
  }

  refused(): void {
    this.#asked = false;
    if (this.#row) this.#showCancel(this.#row);
  }

  /** Somebody else asked for the cancellation of this row. */
  cancelling(): void {
    if (!this.#row || !isLive(this.#row)) return;
    this.#asked = true;
    this.#showCancel(this.#row);
  }

  clear(): void {
    this.#sure.reset();
    this.#row = null;
    this.#version = -1;
  }

  #showCancel(row: TableRow): void {
    const live = isLive(row);
    if (!live && this.cancel === document.activeElement) this.node.focus();
    if (this.cancel.hidden === live) this.cancel.hidden = !live;
    if (!live) return;
    // A button that is really disabled would lose the keyboard's focus.
    setAttribute(this.cancel, "aria-disabled", this.#asked ? "true" : null);
    const sure = this.#sure.asked;
    this.cancel.toggleAttribute("data-sure", sure);
    setText(this.cancel, this.#asked ? "Ending" : sure ? "Sure?" : "Cancel");
    const what = `ancel ${row.tool} on ${row.server}`;
    setAttribute(this.cancel, "aria-label", sure ? `Really c${what}?` : `C${what}`);
  }
}
