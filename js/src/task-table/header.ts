import { button, element, setAttribute } from "../shared/dom";
import type { Column } from "./columns";
import type { Settings } from "./settings";

/** The line of headings: each sorts, and says so. */
export class Header {
  readonly node = element("div", "pmcp-row pmcp-head");
  readonly #cells = new Map<string, HTMLElement>();
  readonly #all = element("input", "");

  constructor(
    private readonly settings: Settings,
    private readonly selectAll: (all: boolean) => void,
  ) {
    this.node.setAttribute("role", "row");
    this.node.setAttribute("aria-rowindex", "1");
    this.#all.type = "checkbox";
    this.#all.title = "Select all";
    this.#all.setAttribute("aria-label", "Select all rows");
    this.#all.addEventListener("change", () => this.selectAll(this.#all.checked));
  }

  build(columns: readonly Column[]): void {
    this.#cells.clear();
    const lead = element("div", "pmcp-cell pmcp-cell-lead", this.#all);
    const actions = element(
      "div",
      "pmcp-cell pmcp-cell-actions",
      element("span", "pmcp-unseen", "Actions"),
    );
    const cells = columns.map((column) => {
      const press = button(column.label, "pmcp-heading", () => this.#press(column.name));
      const cell = element("div", "pmcp-cell", press);
      if (column.end) cell.dataset.end = "";
      this.#cells.set(column.name, cell);
      return cell;
    });
    this.node.replaceChildren(lead, ...cells, actions);
    for (const [index, cell] of [...this.node.children].entries()) {
      cell.setAttribute("role", "columnheader");
      cell.setAttribute("aria-colindex", String(index + 1));
    }
  }

  show(selected: number, matching: number): void {
    const { sort } = this.settings;
    const by = sort.replace(/^-/, "");
    for (const [name, cell] of this.#cells) {
      const direction = sort.startsWith("-") ? "descending" : "ascending";
      setAttribute(cell, "aria-sort", name === by ? direction : null);
    }
    this.#all.checked = selected > 0 && selected >= matching;
    this.#all.indeterminate = selected > 0 && selected < matching;
  }

  /** Up, down, and back to the order of starting. */
  #press(name: string): void {
    const { sort } = this.settings;
    this.settings.set("sort", sort === name ? `-${name}` : sort === `-${name}` ? "" : name);
  }
}
