import { element, setAttribute, setText } from "../shared/dom";
import { count as figure } from "../shared/format";
import { STATUSES, type Status, statusLabel } from "../shared/task";
import type { Group } from "./lines";

/** The pooled line above the rows of one group. */
export class GroupView {
  readonly node = element("div", "pmcp-row pmcp-group");
  readonly #toggle = element("span", "pmcp-toggle");
  readonly #name = element("span", "pmcp-group-name");
  readonly #count = element("span", "pmcp-group-count");
  readonly #bar = element("span", "pmcp-group-bar");
  readonly #words = element("span", "pmcp-group-words");
  readonly #parts = new Map<Status, HTMLElement>();
  #top = -1;
  name = "";

  constructor(columns: number) {
    const cell = element(
      "div",
      "pmcp-group-cell",
      this.#toggle,
      this.#name,
      this.#count,
      this.#bar,
      this.#words,
    );
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colspan", String(columns));
    this.#toggle.setAttribute("aria-hidden", "true");
    this.#bar.setAttribute("aria-hidden", "true");
    for (const status of STATUSES) {
      const part = element("span", "pmcp-group-part");
      part.dataset.status = status;
      this.#parts.set(status, part);
      this.#bar.append(part);
    }
    this.node.setAttribute("role", "row");
    this.node.setAttribute("aria-level", "1");
    this.node.tabIndex = -1;
    this.node.append(cell);
  }

  place(top: number, rowIndex: number): void {
    if (top !== this.#top) {
      this.#top = top;
      this.node.style.transform = `translateY(${top}px)`;
    }
    setAttribute(this.node, "aria-rowindex", String(rowIndex));
  }

  show(group: Group, label: string): void {
    this.name = group.name;
    setText(this.#name, label);
    setText(this.#count, figure(group.count));
    setAttribute(this.node, "aria-expanded", String(!group.folded));
    const said: string[] = [];
    for (const [status, part] of this.#parts) {
      const count = group.counts[status];
      const share = `${(100 * count) / group.count}%`;
      if (part.style.width !== share) part.style.width = share;
      if (count > 0) said.push(`${figure(count)} ${statusLabel(status)}`);
    }
    setText(this.#words, said.join(" · "));
  }
}
