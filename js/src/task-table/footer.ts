import { button, element, setText } from "../shared/dom";
import { count as figure } from "../shared/format";
import { isLive } from "../shared/task";
import type { Lines } from "./lines";
import type { Rows } from "./rows";
import type { Settings } from "./settings";

/** So many at once are cancelled only after a second click. */
const CONFIRM_ABOVE = 5;
const CONFIRM_TIMEOUT_MS = 5000;

interface Wishes {
  cancel(rows: number[]): void;
  clear(): void;
}

/** The line below the table: how many rows there are, and what can be done with those that are selected. */
export class Footer {
  readonly node = element("div", "pmcp-footer");
  readonly #shown = element("span", "");
  readonly #selected = element("span", "pmcp-footer-selected");
  readonly #cancel: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;
  #sure = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly rows: Rows,
    private readonly lines: Lines,
    private readonly settings: Settings,
    private readonly wishes: Wishes,
  ) {
    this.#cancel = button("", "pmcp-button pmcp-cancel-selected", () => this.#press());
    this.#clear = button("Clear", "pmcp-button", () => wishes.clear());
    this.#clear.title = "Clear the selection";
    this.#shown.setAttribute("role", "status");
    this.node.append(
      this.#shown,
      element("span", "pmcp-spacer"),
      this.#selected,
      this.#cancel,
      this.#clear,
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
    this.#selected.hidden = selected === 0;
    this.#clear.hidden = selected === 0;
    if (selected > 0) setText(this.#selected, `${figure(selected)} selected`);
    const live = selected === 0 ? 0 : this.#live().length;
    this.#cancel.hidden = live === 0;
    setText(
      this.#cancel,
      this.#sure ? `Really cancel ${figure(live)} tasks?` : `Cancel ${figure(live)}`,
    );
    this.#cancel.toggleAttribute("data-sure", this.#sure);
  }

  #live(): number[] {
    const found: number[] = [];
    for (const n of this.settings.selection) {
      const row = this.rows.get(n);
      if (row && isLive(row)) found.push(n);
    }
    return found;
  }

  #press(): void {
    const live = this.#live();
    clearTimeout(this.#timer);
    if (live.length > CONFIRM_ABOVE && !this.#sure) {
      this.#sure = true;
      this.#timer = setTimeout(() => {
        this.#sure = false;
        this.show();
      }, CONFIRM_TIMEOUT_MS);
    } else {
      this.#sure = false;
      this.wishes.cancel(live);
    }
    this.show();
  }
}
