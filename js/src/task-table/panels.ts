import { isLive } from "../shared/task";
import type { TableContext } from "./context";
import { DetailView, type DetailWishes } from "./detail-view";
import type { Geometry, Panel, Span } from "./window";

/** A panel's height before it was ever laid out. */
const ESTIMATED_HEIGHT = 240;

interface Wishes extends DetailWishes {
  resized(): void;
}

/** The panels of the expanded rows: those in the window are in the document, of the others the height is known. */
export class Panels {
  columns = 1;
  readonly #views = new Map<number, DetailView>();
  readonly #heights = new Map<number, number>();
  readonly #sizes: ResizeObserver;
  readonly #owners = new WeakMap<Element, number>();

  constructor(
    private readonly body: HTMLElement,
    private readonly context: TableContext,
    private readonly wishes: Wishes,
  ) {
    this.#sizes = new ResizeObserver((entries) => {
      let changed = false;
      for (const { target } of entries) {
        const n = this.#owners.get(target);
        const height = (target as HTMLElement).offsetHeight;
        if (n === undefined || height === 0 || height === this.#heights.get(n)) continue;
        this.#heights.set(n, height);
        changed = true;
      }
      if (changed) wishes.resized();
    });
  }

  /** The panels by line. */
  layOut(): Panel[] {
    const { lines, settings } = this.context;
    const panels: Panel[] = [];
    for (const n of settings.expanded) {
      const line = lines.indexOf(n);
      if (line >= 0) panels.push({ line, height: this.#heights.get(n) ?? ESTIMATED_HEIGHT });
    }
    return panels.sort((a, b) => a.line - b.line);
  }

  show(span: Span, geometry: Geometry): void {
    const { rows, lines, settings, feed } = this.context;
    const level = lines.groups.length > 0 ? 3 : 2;
    const gone = new Set(this.#views.keys());
    for (const n of settings.expanded) {
      const line = lines.indexOf(n);
      const row = rows.get(n);
      const near = line >= span.first && line < span.end;
      // What is being filled in stays, out of sight.
      if (!row || (!near && (line < 0 || !this.#views.get(n)?.asks))) continue;
      gone.delete(n);
      const view = this.#view(n);
      const rowIndex = line + 3 + geometry.panelsBefore(line);
      view.place(geometry.top(line) + geometry.rowHeight, rowIndex, level);
      view.show(row, rows.details.get(n), feed.clock.now());
    }
    for (const n of gone) this.#drop(n);
  }

  tick(): void {
    const { rows, feed } = this.context;
    for (const [n, view] of this.#views) {
      const row = rows.get(n);
      if (row && isLive(row)) view.show(row, rows.details.get(n), feed.clock.now());
    }
  }

  showRaw(n: number, text: string): void {
    this.#views.get(n)?.showRaw(text, this.context.rows.get(n)?.version ?? -1);
  }

  answered(n: number, key: string, problems: Record<string, string>): void {
    this.#views.get(n)?.answered(key, problems);
  }

  clear(): void {
    this.#sizes.disconnect();
    for (const n of [...this.#views.keys()]) this.#drop(n);
  }

  #view(n: number): DetailView {
    let view = this.#views.get(n);
    if (!view) {
      view = new DetailView(n, this.columns, this.wishes);
      this.#views.set(n, view);
      this.#owners.set(view.node, n);
      this.body.append(view.node);
      this.#sizes.observe(view.node);
    }
    return view;
  }

  #drop(n: number): void {
    const view = this.#views.get(n);
    if (!view) return;
    this.#sizes.unobserve(view.node);
    view.remove();
    this.#views.delete(n);
  }
}
