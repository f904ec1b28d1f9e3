import { type Status, statusLabel } from "../shared/task";
import type { Column } from "./columns";
import type { TableContext } from "./context";
import { GroupView } from "./group-view";
import type { Group } from "./lines";
import { RowView } from "./row-view";
import type { Geometry, Span } from "./window";

const MIN_POOL = 12;

/** What all lines of one painting have in common. */
interface Painting {
  geometry: Geometry;
  /** The line that has the keyboard. */
  active: number;
  now: number;
  /** Of rows, in the tree of groups and rows. */
  level: number;
}

/** The lines in the document: as many as are visible and a few more, used again and again. */
export class Pool {
  #rows: RowView[] = [];
  #groups: GroupView[] = [];
  #columns: readonly Column[] = [];
  /** Which view shows a line now. */
  readonly #at = new Map<number, RowView | GroupView>();

  constructor(
    private readonly body: HTMLElement,
    private readonly context: TableContext,
    private readonly onCancel: (n: number) => void,
  ) {}

  get shown(): readonly RowView[] {
    return this.#rows;
  }

  build(columns: readonly Column[]): void {
    for (const view of [...this.#rows, ...this.#groups]) view.node.remove();
    this.#rows = [];
    this.#groups = [];
    this.#columns = columns;
  }

  get lines(): IterableIterator<[number, RowView | GroupView]> {
    return this.#at.entries();
  }

  /** The view of a line, if it is in the document. */
  view(line: number): RowView | GroupView | undefined {
    return this.#at.get(line);
  }

  cancelling(numbers: readonly number[]): void {
    const wanted = new Set(numbers);
    for (const view of this.#rows) if (view.n !== null && wanted.has(view.n)) view.cancelling();
  }

  /** The cancellation of this row can be asked for again. */
  refused(n: number): void {
    this.#rows.find((view) => view.n === n)?.refused();
  }

  show(span: Span, geometry: Geometry, active: number): void {
    const { lines, feed } = this.context;
    const level = lines.groups.length > 0 ? 2 : 1;
    const painting = { geometry, active, now: feed.clock.now(), level };
    this.#at.clear();
    this.#grow(span.end - span.first);
    const used = new Set<RowView>();
    const held = new Map(this.#rows.map((view) => [view.n, view]));
    const arriving: [index: number, n: number][] = [];
    let groups = 0;
    for (let index = span.first; index < span.end; index += 1) {
      const line = lines.at(index);
      // A row keeps its view while it stays in the window, so focus and running animations survive.
      const view = held.get(line);
      if (line < 0) groups += this.#putGroup(groups, index, lines.groups[-1 - line], painting);
      else if (view) used.add(this.#put(view, index, line, painting));
      else arriving.push([index, line]);
    }
    const free = this.#rows.filter((view) => !used.has(view));
    for (const [place, [index, n]] of arriving.entries()) {
      const view = free[place];
      if (view) used.add(this.#put(view, index, n, painting));
    }
    this.#hide(used, groups);
  }

  #put(view: RowView, index: number, n: number, painting: Painting): RowView {
    const { rows, settings } = this.context;
    const { geometry, active, now, level } = painting;
    this.#at.set(index, view);
    const row = rows.get(n);
    if (!row) return view;
    // Line 1 is the header.
    view.place(geometry.top(index), index + 2 + geometry.panelsBefore(index), index % 2 === 1);
    if (n !== view.n) view.tick(row, now);
    view.show(row, now);
    view.mark({ selected: settings.selection.has(n), expanded: settings.expanded.has(n), level });
    const focusable = index === active ? 0 : -1;
    view.node.tabIndex = focusable;
    view.cancel.tabIndex = focusable;
    if (view.node.hidden) view.node.hidden = false;
    return view;
  }

  /** How many more views of groups are used for it: one, or none where there is no such group. */
  #putGroup(
    place: number,
    index: number,
    group: Group | undefined,
    { geometry, active }: Painting,
  ): number {
    if (!group) return 0;
    const view = this.#group(place);
    view.place(geometry.top(index), index + 2 + geometry.panelsBefore(index));
    view.show(group, label(this.context.settings.group, group.name));
    view.node.tabIndex = index === active ? 0 : -1;
    this.#at.set(index, view);
    return 1;
  }

  /** The views that are not needed now. */
  #hide(used: ReadonlySet<RowView>, groups: number): void {
    for (const view of this.#rows) {
      if (used.has(view) || view.node.hidden) continue;
      view.node.hidden = true;
      view.clear();
    }
    for (const [index, view] of this.#groups.entries()) view.node.hidden = index >= groups;
  }

  #group(index: number): GroupView {
    let view = this.#groups[index];
    if (!view) {
      view = new GroupView(this.#columns.length + 2);
      this.#groups.push(view);
      this.body.append(view.node);
    }
    return view;
  }

  #grow(wanted: number): void {
    if (wanted <= this.#rows.length) return;
    // Growing changes which view a row takes, so it is done generously and rarely.
    const size = Math.max(wanted, MIN_POOL);
    while (this.#rows.length < size) {
      const view = new RowView(this.#columns, this.context.rows, this.onCancel);
      view.node.hidden = true;
      this.#rows.push(view);
      this.body.append(view.node);
    }
  }
}

function label(by: string | null, name: string): string {
  if (by === "status") return statusLabel(name as Status);
  return name === "" ? `no ${by}` : name;
}
