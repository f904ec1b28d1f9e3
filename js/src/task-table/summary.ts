import { Badge } from "../shared/badge";
import { button, element, setAttribute, setText } from "../shared/dom";
import { STATUSES, type Status, statusLabel } from "../shared/task";
import type { Rows } from "./rows";

/** The line above the table: how many tasks are in which state; each figure is a filter. */
export class Summary {
  readonly node = element("div", "pmcp-summary");
  readonly #title = element("span", "pmcp-summary-title");
  readonly #link = element("span", "pmcp-link-state");
  readonly #figures = new Map<Status, { node: HTMLButtonElement; count: HTMLElement }>();
  filter: Status | null = null;

  constructor(changed: () => void) {
    const list = element("div", "pmcp-figures");
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", "Filter by status");
    for (const status of STATUSES) {
      const count = element("span", "pmcp-figure-count");
      const node = button("", "pmcp-figure", () => {
        this.filter = this.filter === status ? null : status;
        changed();
      });
      const badge = new Badge();
      badge.set(status);
      badge.node.firstElementChild && node.append(badge.node.firstElementChild);
      node.append(count, element("span", "", statusLabel(status)));
      node.dataset.status = status;
      node.title = `Show only: ${statusLabel(status)}`;
      this.#figures.set(status, { node, count });
      list.append(node);
    }
    this.#link.setAttribute("role", "status");
    this.node.append(this.#title, list, element("span", "pmcp-spacer"), this.#link);
  }

  show(rows: Rows): void {
    setText(this.#title, rows.title ?? "Tasks");
    for (const [status, { node, count }] of this.#figures) {
      const number = rows.counts[status];
      node.hidden = number === 0 && this.filter !== status;
      setText(count, String(number));
      setAttribute(node, "aria-pressed", String(this.filter === status));
    }
  }

  showLink(text: string): void {
    setText(this.#link, text);
    this.#link.hidden = text === "";
  }
}
