import { button, element, setAttribute } from "../shared/dom";
import { COLUMNS, columnOf, wanted } from "./columns";
import type { Rows } from "./rows";
import type { Settings } from "./settings";

/** Which columns there are: each can be taken, left out, and moved to the front. */
export class ColumnMenu {
  readonly node = element("details", "pmcp-menu");
  readonly #choices = element("div", "pmcp-menu-list");
  #shown = "";

  constructor(private readonly settings: Settings) {
    this.#choices.setAttribute("role", "group");
    this.#choices.setAttribute("aria-label", "Columns");
    this.node.append(element("summary", "pmcp-select", "Columns"), this.#choices);
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.node.open = false;
      (this.node.firstElementChild as HTMLElement).focus();
      event.stopPropagation();
    });
    this.node.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget instanceof Node && !this.node.contains(relatedTarget))
        this.node.open = false;
    });
  }

  show({ about }: Rows): void {
    const { columns } = this.settings;
    const chosen = wanted(columns, about);
    const all = [...COLUMNS.map(({ name }) => name), ...about.columns.map(([name]) => name)];
    const names = [...chosen, ...all.filter((name) => !chosen.includes(name))];
    const shown = JSON.stringify([columns, names, about.more]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const labels = new Map(about.columns.map(([name, label]) => [name, label]));
    const held = document.activeElement;
    const focused = this.#choices.contains(held) ? held?.getAttribute("aria-label") : null;
    const lines = names.map((name, place) => {
      const label = labels.get(name) ?? columnOf(name, about)?.label ?? name;
      const box = element("input", "");
      box.type = "checkbox";
      box.value = name;
      box.checked = place < chosen.length;
      setAttribute(box, "aria-label", label);
      box.addEventListener("change", () => {
        const others = chosen.filter((each) => each !== name);
        this.#choose(box.checked ? [...others, name] : others);
      });
      const line = element("div", "", element("label", "", box, element("span", "", label)));
      line.title = name;
      if (place > 0 && box.checked) {
        const up = button("↑", "pmcp-button", () => {
          const moved = chosen.filter((each) => each !== name);
          moved.splice(place - 1, 0, name);
          this.#choose(moved);
        });
        setAttribute(up, "aria-label", `Move ${label} up`);
        line.append(up);
      }
      return line;
    });
    if (about.more > 0) lines.push(element("div", "pmcp-hint", `${about.more} more`));
    if (columns.length > 0) {
      lines.push(
        element(
          "div",
          "",
          button("Automatic", "pmcp-button", () => this.#choose([])),
        ),
      );
    }
    this.#choices.replaceChildren(...lines);
    if (focused)
      this.#choices.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  #choose(columns: string[]): void {
    this.settings.set("columns", columns);
  }
}
