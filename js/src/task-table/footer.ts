import { button, element, setText, showText } from "../shared/dom";
import { count as figure } from "../shared/format";
import { Sure } from "../shared/sure";
import { isLive } from "../shared/task";
import type { Lines } from "./lines";
import type { Rows, TableRow } from "./rows";
import type { Settings } from "./settings";

interface Wishes {
  act(action: string, rows: number[]): void;
  clear(): void;
}

/** What can be done with selected rows, and of which. */
const ACTIONS: Record<string, { label: string; of: (row: TableRow) => boolean }> = {
  ask: { label: "Answer", of: (row) => row.questions.length > 0 },
  cancel: { label: "Cancel", of: isLive },
  retry: { label: "Retry", of: (row) => /^(failed|cancelled|unknown)$/.test(row.status) },
  code: { label: "Copy code of", of: () => true },
};

/** The line below the table: how many rows there are, and what can be done with those that are selected. */
export class Footer {
  readonly node = element("div", "pmcp-footer");
  readonly #shown = element("span", "");
  readonly #said = element("span", "pmcp-footer-said");
  readonly #count = element("span");
  readonly #selected = element("span", "pmcp-footer-selected", this.#count);
  readonly #actions = element("span", "pmcp-footer-actions");
  readonly #buttons = new Map<string, HTMLButtonElement>();
  readonly #sure = new Sure(() => this.show());

  constructor(
    private readonly rows: Rows,
    private readonly lines: Lines,
    private readonly settings: Settings,
    private readonly wishes: Wishes,
  ) {
    for (const [name, { label }] of Object.entries(ACTIONS)) {
      const node = button(label, `pmcp-button pmcp-${name}-selected`, () => this.#press(name));
      this.#buttons.set(name, node);
      this.#actions.append(node);
    }
    const clear = button("Clear", "pmcp-button", () => wishes.clear());
    clear.title = "Clear the selection";
    this.#actions.append(clear);
    const how = element("code", "", "lab.selected.df");
    how.title = "In a cell: the selected tasks as a DataFrame. lab.selected are the tasks.";
    this.#selected.append(how);
    this.#shown.setAttribute("role", "status");
    this.#said.ariaLive = "polite";
    this.node.append(
      this.#shown,
      this.#said,
      element("span", "pmcp-spacer"),
      this.#selected,
      this.#actions,
    );
  }

  show(): void {
    const { size, total, partial } = this.rows;
    const matching = this.lines.matching;
    const all = `${figure(total)} task${total === 1 ? "" : "s"}`;
    let text = matching < size ? `${figure(matching)} of ${all}` : all;
    if (partial) text = `the first ${figure(size)} of ${all}`;
    setText(this.#shown, text);
    const selected = this.settings.selection.size;
    this.#actions.hidden = this.#selected.hidden = selected === 0;
    if (selected === 0) return;
    setText(this.#count, `${figure(selected)} selected: `);
    for (const [name, node] of this.#buttons) {
      const count = figure(this.#fit(name).length);
      node.hidden = count === "0";
      const sure = name === "cancel" && this.#sure.asked;
      setText(node, sure ? `Really cancel ${count}?` : `${ACTIONS[name]?.label} ${count}`);
      node.toggleAttribute("data-sure", sure);
    }
  }

  /** What came of the last action, or that it is under way. */
  say(text: string): void {
    showText(this.#said, text);
  }

  #fit(name: string): number[] {
    return [...this.settings.selection].filter((n) => {
      const row = this.rows.get(n);
      return row !== undefined && ACTIONS[name]?.of(row);
    });
  }

  #press(name: string): void {
    const rows = this.#fit(name);
    if (name === "cancel" && rows.length > 1 && !this.#sure.press()) return;
    this.#sure.reset();
    this.wishes.act(name, rows);
  }
}
