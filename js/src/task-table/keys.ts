import type { TableContext } from "./context";
import type { Pool } from "./pool";
import { RowView } from "./row-view";

interface Wishes {
  reveal(line: number): void;
  page(): number;
  search(): void;
  repaint(): void;
}

/** Mouse and keys on the lines: one line has the focus, and it follows its row wherever that goes. */
export class Keys {
  /** The line that Tab reaches. */
  active = 0;
  #n: number | null = null;
  #group: string | null = null;

  constructor(
    grid: HTMLElement,
    private readonly context: TableContext,
    private readonly pool: Pool,
    private readonly wishes: Wishes,
  ) {
    grid.addEventListener("keydown", (event) => this.#key(event));
    grid.addEventListener("focusin", (event) => {
      const line = this.#lineOf(event.target);
      if (line === null || line === this.active) return;
      this.#activate(line);
      wishes.repaint();
    });
    grid.addEventListener("mousedown", (event) => {
      // Extending the selection should not mark text.
      if (event.shiftKey && this.#lineOf(event.target) !== null) event.preventDefault();
    });
    grid.addEventListener("click", (event) => this.#click(event));
    grid.addEventListener("dblclick", (event) => {
      const line = this.#lineOf(event.target);
      if (line !== null && !marked(event.target)) this.#toggle(line);
    });
  }

  /** The lines are others now: stay with the row, or where it was. */
  follow(): void {
    const { lines } = this.context;
    const found =
      this.#n !== null
        ? lines.indexOf(this.#n)
        : this.#group !== null
          ? lines.indexOfGroup(this.#group)
          : -1;
    const focused = this.pool.view(this.active)?.node === document.activeElement;
    this.active = found >= 0 ? found : Math.min(this.active, Math.max(0, lines.count - 1));
    if (focused && found < 0) this.#n = this.#group = null;
  }

  #click(event: MouseEvent): void {
    const line = this.#lineOf(event.target);
    if (line === null || !(event.target instanceof Element)) return;
    const { lines, settings } = this.context;
    const n = lines.at(line);
    if (n < 0 || event.target.closest(".pmcp-toggle")) {
      this.#toggle(line);
      return;
    }
    if (event.shiftKey) settings.selection.extend(n, lines);
    else if (event.ctrlKey || event.metaKey || event.target.closest(".pmcp-cell-lead")) {
      settings.selection.toggle(n);
    } else if (String(document.getSelection()) !== "") return;
    else settings.selection.only(n);
    settings.selected();
  }

  #key(event: KeyboardEvent): void {
    const line = this.#lineOf(event.target);
    if (line === null || event.altKey) return;
    if (this.#command(event, line)) {
      event.preventDefault();
      // The notebook has plans of its own for these keys.
      event.stopPropagation();
    }
  }

  #command(event: KeyboardEvent, line: number): boolean {
    const { lines, settings } = this.context;
    const last = lines.count - 1;
    const moves: Record<string, number> = {
      ArrowUp: line - 1,
      ArrowDown: line + 1,
      PageUp: line - this.wishes.page(),
      PageDown: line + this.wishes.page(),
      Home: 0,
      End: last,
    };
    const to = moves[event.key];
    const onButton = event.target instanceof HTMLButtonElement;
    if (to !== undefined) {
      this.go(Math.min(last, Math.max(0, to)));
      if (event.shiftKey) this.#extend(line);
    } else if (this.#select(event, line, onButton)) settings.selected();
    else return !commands(event) && this.#open(event.key, line, onButton);
    return true;
  }

  /** Selects from a line on to the one that is active now. */
  #extend(from: number): void {
    const { lines, settings } = this.context;
    const n = lines.at(this.active);
    if (n < 0) return;
    if (settings.selection.size === 0 && lines.at(from) >= 0)
      settings.selection.only(lines.at(from));
    settings.selection.extend(n, lines);
    settings.selected();
  }

  /** Whether the key is one that selects. */
  #select(event: KeyboardEvent, line: number, onButton: boolean): boolean {
    const { lines, settings } = this.context;
    const { selection } = settings;
    const n = lines.at(line);
    if (commands(event)) {
      if (event.key.toLowerCase() !== "a") return false;
      selection.all(lines.order);
    } else if (event.key === "Escape" && selection.size > 0) selection.clear();
    else if (event.key === " " && !onButton && n >= 0) selection.toggle(n);
    else return false;
    return true;
  }

  #open(key: string, line: number, onButton: boolean): boolean {
    if (key === "/") this.wishes.search();
    else if (key === "Enter" && !onButton) this.#toggle(line);
    else if (key === "ArrowRight") this.#inwards(line);
    else if (key === "ArrowLeft") this.#outwards(line, onButton);
    else return false;
    return true;
  }

  #inwards(line: number): void {
    if (this.#isOpen(line)) this.#button(line)?.focus();
    else this.#toggle(line);
  }

  #outwards(line: number, onButton: boolean): void {
    if (onButton) this.pool.view(line)?.node.focus();
    else if (this.#isOpen(line)) this.#toggle(line);
    else this.#toGroup(line);
  }

  #button(line: number): HTMLElement | undefined {
    const view = this.pool.view(line);
    return view instanceof RowView && !view.cancel.hidden ? view.cancel : undefined;
  }

  #isOpen(line: number): boolean {
    const { lines, settings } = this.context;
    const n = lines.at(line);
    return n < 0 ? !lines.groups[-1 - n]?.folded : settings.expanded.has(n);
  }

  #toggle(line: number): void {
    const { lines, settings } = this.context;
    const n = lines.at(line);
    const open = this.#isOpen(line);
    if (n >= 0) settings.expand(n, !open);
    else settings.fold(lines.groups[-1 - n]?.name ?? "", open);
  }

  #toGroup(line: number): void {
    for (let index = line - 1; index >= 0; index -= 1) {
      if (this.context.lines.at(index) < 0) {
        this.go(index);
        return;
      }
    }
  }

  /** Has a line in view, with the focus. */
  go(line: number): void {
    this.#activate(line);
    this.wishes.reveal(line);
    this.pool.view(line)?.node.focus({ preventScroll: true });
  }

  #activate(line: number): void {
    const { lines } = this.context;
    this.active = line;
    const n = lines.at(line);
    this.#n = n >= 0 ? n : null;
    this.#group = n < 0 ? (lines.groups[-1 - n]?.name ?? null) : null;
  }

  /** The line of a node; null in the header and in panels, which have keys of their own. */
  #lineOf(target: EventTarget | null): number | null {
    const node = target instanceof Element ? target.closest(".pmcp-body > .pmcp-row") : null;
    if (!node) return null;
    for (const [line, view] of this.pool.lines) if (view.node === node) return line;
    return null;
  }
}

function marked(target: EventTarget | null): boolean {
  return (
    target instanceof Element && target.closest(".pmcp-toggle, .pmcp-cell-lead, button") !== null
  );
}

/** Whether the key is pressed as a command. */
function commands(event: KeyboardEvent): boolean {
  return event.ctrlKey || event.metaKey;
}
