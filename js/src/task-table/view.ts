import type { RenderContext } from "../shared/anywidget";
import { Channel } from "../shared/channel";
import { everySecond } from "../shared/clock";
import { element, setAttribute, setText } from "../shared/dom";
import type { Feed } from "../shared/feed";
import { linkText } from "../shared/liveness";
import { isLive, statusLabel } from "../shared/task";
import { followTheme } from "../shared/theme";
import { COLUMNS, RowView } from "./row-view";
import type { Rows } from "./rows";
import { Summary } from "./summary";
import { scrollTo, visibleSpan } from "./window";

const OVERSCAN = 6;
const HEADINGS: Record<(typeof COLUMNS)[number], string> = {
  server: "Server",
  tool: "Tool",
  status: "Status",
  progress: "Progress",
  message: "Message",
  elapsed: "Time",
  variables: "Variables",
  actions: "Actions",
};

interface TableContext extends RenderContext {
  feed: Feed;
  rows: Rows;
}

/** One mounted table: a window of pooled rows over the model's rows. */
export class TableView {
  readonly #root = element("section", "pmcp pmcp-table");
  readonly #grid = element("div", "pmcp-grid");
  readonly #scroller = element("div", "pmcp-scroller");
  readonly #body = element("div", "pmcp-body");
  readonly #empty = element("p", "pmcp-empty");
  readonly #summary: Summary;
  readonly #channel: Channel;
  readonly #feed: Feed;
  readonly #rows: Rows;
  #pool: RowView[] = [];
  #keys: string[] = [];
  #active = 0;
  #rowHeight = 34;
  #frame = 0;
  #stopTicking: (() => void) | null = null;

  constructor({ model, el, signal, feed, rows }: TableContext) {
    this.#feed = feed;
    this.#rows = rows;
    this.#summary = new Summary(() => {
      this.#scroller.scrollTop = 0;
      this.#active = 0;
      this.#paint();
    });
    this.#build();
    followTheme(this.#root, signal);
    el.append(this.#root);
    this.#measure();
    this.#paint();
    this.#channel = new Channel({
      model,
      signal,
      seq: () => feed.seq,
      receive: () => {},
      linked: (link) => {
        this.#summary.showLink(linkText(link));
        this.#schedule();
      },
    });
    this.#summary.showLink(linkText(this.#channel.link));
    feed.attach(this.#channel, () => this.#schedule(), signal);
    const sizes = new ResizeObserver(() => {
      this.#measure();
      this.#schedule();
    });
    sizes.observe(this.#scroller);
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      cancelAnimationFrame(this.#frame);
      this.#stopTicking?.();
      this.#stopTicking = null;
      this.#root.remove();
    });
  }

  #build(): void {
    const header = element("div", "pmcp-row pmcp-head");
    header.setAttribute("role", "row");
    header.setAttribute("aria-rowindex", "1");
    for (const [index, name] of COLUMNS.entries()) {
      const cell = element("div", `pmcp-cell pmcp-cell-${name}`, HEADINGS[name]);
      cell.setAttribute("role", "columnheader");
      cell.setAttribute("aria-colindex", String(index + 1));
      header.append(cell);
    }
    this.#grid.setAttribute("role", "grid");
    this.#grid.setAttribute("aria-label", "Tasks");
    this.#grid.setAttribute("aria-colcount", String(COLUMNS.length));
    this.#body.setAttribute("role", "rowgroup");
    this.#scroller.append(header, this.#body);
    this.#grid.append(this.#scroller);
    this.#root.append(this.#summary.node, this.#grid, this.#empty);
    this.#scroller.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    this.#body.addEventListener("focusin", (event) => this.#focused(event));
  }

  #measure(): void {
    const height = Number.parseFloat(getComputedStyle(this.#body).getPropertyValue("--row-height"));
    if (height > 0) this.#rowHeight = height;
  }

  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const rows = this.#rows;
    this.#summary.show(rows);
    this.#keys = rows.keys(this.#summary.filter);
    const count = this.#keys.length;
    this.#active = Math.min(this.#active, Math.max(0, count - 1));
    setAttribute(this.#grid, "aria-rowcount", String(count + 1));
    this.#grid.hidden = count === 0;
    this.#empty.hidden = count > 0;
    if (count === 0) setText(this.#empty, this.#emptyText());
    const height = `${count * this.#rowHeight}px`;
    if (this.#body.style.height !== height) this.#body.style.height = height;
    this.#paintRows();
    this.#tick(rows.live > 0 && !this.#feed.clock.frozen);
  }

  #emptyText(): string {
    const { filter } = this.#summary;
    if (filter) return `No task is in the state “${statusLabel(filter)}”.`;
    if (!this.#feed.filled) return "Waiting for the kernel…";
    return "No tasks yet. They appear here as soon as they are started.";
  }

  #paintRows(): void {
    const { scrollTop, clientHeight } = this.#scroller;
    const count = this.#keys.length;
    const span = visibleSpan(scrollTop, clientHeight, this.#rowHeight, count, OVERSCAN);
    this.#grow(span.end - span.first);
    const now = this.#feed.clock.now();
    const used = new Set<number>();
    for (let index = span.first; index < span.end; index += 1) {
      // A row keeps its line while it stays in the window, so focus and running animations survive.
      const slot = index % this.#pool.length;
      const view = this.#pool[slot];
      const row = this.#rows.get(this.#keys[index] ?? "");
      if (!view || !row) continue;
      used.add(slot);
      view.place(index, this.#rowHeight);
      view.show(row, now);
      view.node.tabIndex = index === this.#active ? 0 : -1;
      view.cancel.tabIndex = index === this.#active ? 0 : -1;
      view.node.hidden = false;
    }
    for (const [slot, view] of this.#pool.entries()) {
      if (used.has(slot) || view.node.hidden) continue;
      view.node.hidden = true;
      view.clear();
    }
  }

  #grow(wanted: number): void {
    if (wanted <= this.#pool.length) return;
    // Growing changes which line a row takes, so it is done generously and rarely.
    const size = Math.max(wanted, 12);
    while (this.#pool.length < size) {
      const view = new RowView((key) =>
        this.#channel.send({ kind: "action", action: "cancel", key }),
      );
      view.node.hidden = true;
      this.#pool.push(view);
      this.#body.append(view.node);
    }
  }

  #tick(wanted: boolean): void {
    if (wanted === (this.#stopTicking !== null)) return;
    this.#stopTicking?.();
    this.#stopTicking = wanted ? everySecond(() => this.#tickRows()) : null;
  }

  #tickRows(): void {
    const now = this.#feed.clock.now();
    for (const view of this.#pool) {
      const row = view.key === null ? undefined : this.#rows.get(view.key);
      if (row && isLive(row)) view.tick(row, now);
    }
  }

  #focused(event: FocusEvent): void {
    const index = this.#indexOf(event.target);
    if (index === null || index === this.#active) return;
    this.#active = index;
    this.#schedule();
  }

  #indexOf(target: EventTarget | null): number | null {
    const node = target instanceof Element ? target.closest("[aria-rowindex]") : null;
    return node ? Number(node.getAttribute("aria-rowindex")) - 2 : null;
  }

  #key(event: KeyboardEvent): void {
    const from = this.#indexOf(event.target);
    if (from === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#viewport() / this.#rowHeight) - 1);
    const last = this.#keys.length - 1;
    const moves: Record<string, number> = {
      ArrowUp: from - 1,
      ArrowDown: from + 1,
      PageUp: from - page,
      PageDown: from + page,
      Home: 0,
      End: last,
    };
    const to = moves[event.key];
    if (to !== undefined) this.#focusRow(Math.min(last, Math.max(0, to)));
    else if (event.key === "ArrowRight") this.#line(from)?.cancel.focus();
    else if (event.key === "ArrowLeft") this.#line(from)?.node.focus();
    else return;
    event.preventDefault();
    // The notebook has plans of its own for these keys.
    event.stopPropagation();
  }

  #focusRow(index: number): void {
    this.#active = index;
    const { scrollTop } = this.#scroller;
    this.#scroller.scrollTop = scrollTo(index, scrollTop, this.#viewport(), this.#rowHeight);
    this.#paintRows();
    this.#line(index)?.node.focus({ preventScroll: true });
  }

  #viewport(): number {
    const header = this.#scroller.firstElementChild as HTMLElement;
    return this.#scroller.clientHeight - header.offsetHeight;
  }

  #line(index: number): RowView | undefined {
    return this.#pool[index % this.#pool.length];
  }
}
