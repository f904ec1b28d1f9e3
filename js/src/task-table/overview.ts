import { button, element, setAttribute } from "../shared/dom";
import { count as figure } from "../shared/format";
import { matches, parse, reasonFilter } from "./query";
import type { Rows } from "./rows";
import type { Settings } from "./settings";

/** Below the toolbar: the arguments that are the same in all rows, and failures of one kind, which are its rows at a click. */
export class Overview {
  readonly node = element("div", "pmcp-overview");
  #shown = "";

  constructor(
    private readonly rows: Rows,
    private readonly settings: Settings,
  ) {}

  show(): void {
    const { alike, failures, moreFailures } = this.rows.about;
    const { filter } = this.settings;
    const shown = JSON.stringify([alike, failures, moreFailures, filter]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const held = document.activeElement;
    const focused = this.node.contains(held)
      ? [...this.node.children].indexOf(held as Element)
      : -1;
    const parts: HTMLElement[] = alike.map(([label, value]) =>
      element("span", "pmcp-chip", element("b", "", label), element("span", "", value)),
    );
    for (const [count, reason] of failures) {
      const text = `${figure(count)} × ${reason}`;
      const press = button(text, "pmcp-kind", () => this.#press(reason));
      press.title = text;
      setAttribute(press, "aria-pressed", String(filter.includes(reasonFilter(reason))));
      parts.push(press);
    }
    if (moreFailures > 0) parts.push(element("span", "pmcp-hint", `${moreFailures} more kinds`));
    this.node.replaceChildren(...parts);
    this.node.hidden = parts.length === 0;
    if (focused >= 0) (this.node.children[focused] as HTMLElement | undefined)?.focus();
  }

  /** Shows and selects the rows that failed this way, or all rows again. */
  #press(reason: string): void {
    const { settings, rows } = this;
    const wish = reasonFilter(reason);
    const pressed = settings.filter.includes(wish);
    settings.set("filter", pressed ? settings.filter.replace(wish, "").trim() : wish);
    if (pressed) settings.selection.clear();
    else {
      const query = parse(wish);
      const found: number[] = [];
      for (let n = 0; n < rows.size; n += 1) {
        const row = rows.get(n);
        if (row && matches(row, query)) found.push(n);
      }
      settings.selection.all(found);
    }
    settings.selected();
  }
}
