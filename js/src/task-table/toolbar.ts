import { Badge } from "../shared/badge";
import { button, element, setAttribute, setText } from "../shared/dom";
import { count as figure } from "../shared/format";
import { STATUSES, type Status, statusLabel } from "../shared/task";
import { ColumnMenu } from "./column-menu";
import { statusesIn, toggleStatus } from "./query";
import type { Rows } from "./rows";
import type { Settings } from "./settings";

/** Milliseconds between two letters that still belong to one search. */
const FILTER_DELAY_MS = 120;

/** The line above the table: how many tasks are in which state (each figure is a filter), search, groups, columns. */
export class Toolbar {
  readonly node = element("div", "pmcp-toolbar");
  readonly #title = element("span", "pmcp-toolbar-title");
  readonly #link = element("span", "pmcp-link-state");
  readonly #search = element("input", "pmcp-search");
  readonly #group = element("select", "pmcp-select");
  readonly #menu: ColumnMenu;
  readonly #figures = new Map<Status, { node: HTMLButtonElement; count: HTMLElement }>();
  #typing: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly settings: Settings) {
    this.#menu = new ColumnMenu(settings);
    const figures = element("div", "pmcp-figures");
    figures.setAttribute("role", "group");
    figures.setAttribute("aria-label", "Filter by status");
    for (const status of STATUSES) figures.append(this.#figure(status));
    this.#link.setAttribute("role", "status");
    this.#search.type = "search";
    this.#search.placeholder = "Filter…";
    this.#search.title = "Words, or status:failed  server:…  tool:…  set:…";
    this.#search.spellcheck = false;
    this.#search.setAttribute("aria-label", "Filter the tasks");
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => {
        this.#typing = undefined;
        settings.set("filter", this.#search.value);
      }, FILTER_DELAY_MS);
    });
    this.#group.setAttribute("aria-label", "Group by");
    for (const [value, label] of [
      ["", "No groups"],
      ["server", "By server"],
      ["tool", "By tool"],
      ["status", "By status"],
      ["set", "By set"],
    ] as const) {
      const option = element("option", "", label);
      option.value = value;
      this.#group.append(option);
    }
    this.#group.addEventListener("change", () =>
      settings.set("group_by", this.#group.value || null),
    );
    const tools = element(
      "div",
      "pmcp-tools",
      this.#link,
      this.#search,
      this.#group,
      this.#menu.node,
    );
    this.node.append(this.#title, figures, tools);
  }

  show(rows: Rows): void {
    setText(this.#title, rows.title ?? rows.about.title ?? "Tasks");
    const { filter, group } = this.settings;
    const { statuses } = statusesIn(filter);
    for (const [status, { node, count }] of this.#figures) {
      const number = rows.counts[status];
      const pressed = statuses.includes(status);
      const hidden = number === 0 && !pressed;
      if (node.hidden !== hidden) node.hidden = hidden;
      setText(count, figure(number));
      setAttribute(node, "aria-pressed", String(pressed));
    }
    // What was typed last may not be in the filter yet.
    const typed = this.#typing !== undefined || this.#search === document.activeElement;
    if (!typed && this.#search.value !== filter) {
      this.#search.value = filter;
    }
    if (this.#group.value !== (group ?? "")) this.#group.value = group ?? "";
    this.#menu.show(rows);
  }

  showLink(text: string): void {
    setText(this.#link, text);
    this.#link.hidden = text === "";
  }

  /** Puts the cursor where words are typed. */
  search(): void {
    this.#search.focus();
    this.#search.select();
  }

  #figure(status: Status): HTMLElement {
    const count = element("span", "pmcp-figure-count");
    const node = button("", "pmcp-figure", () => {
      const filter = toggleStatus(this.settings.filter, status);
      this.#search.value = filter;
      this.settings.set("filter", filter);
    });
    const badge = new Badge();
    badge.set(status);
    badge.node.firstElementChild && node.append(badge.node.firstElementChild);
    node.append(count, element("span", "pmcp-figure-name", statusLabel(status)));
    node.dataset.status = status;
    node.title = `Show only: ${statusLabel(status)}`;
    this.#figures.set(status, { node, count });
    return node;
  }
}
