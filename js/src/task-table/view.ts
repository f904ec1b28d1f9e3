import { Channel, type Link, type Message } from "../shared/channel";
import { everySecond } from "../shared/clock";
import { element, setAttribute, setText } from "../shared/dom";
import { linkText } from "../shared/link-text";
import { type Status, statusLabel } from "../shared/task";
import { followTheme } from "../shared/theme";
import { type Column, columnOf, fitting, template, wanted } from "./columns";
import type { TableContext } from "./context";
import { Footer } from "./footer";
import { Header } from "./header";
import { Keys } from "./keys";
import { Overview } from "./overview";
import { Panels } from "./panels";
import { Pool } from "./pool";
import { toRanges } from "./selection";
import { Toolbar } from "./toolbar";
import { Geometry, type Span } from "./window";

const OVERSCAN = 6;
const NARROW_BELOW = 600;
const NARROW_COLUMNS = ["status", "tool", "duration", "progress", "message"];
/** Milliseconds of rest after which the kernel hears which rows are looked at. */
const VISIBLE_DELAY_MS = 250;

/** One mounted table: a window of pooled lines over the model's rows. */
export class TableView {
  readonly #context: TableContext;
  readonly #root = element("section", "pmcp pmcp-table");
  readonly #grid = element("div", "pmcp-grid");
  readonly #scroller = element("div", "pmcp-scroller");
  readonly #body = element("div", "pmcp-body");
  readonly #empty = element("p", "pmcp-empty");
  readonly #toolbar: Toolbar;
  readonly #overview: Overview;
  readonly #header: Header;
  readonly #footer: Footer;
  readonly #panels: Panels;
  readonly #pool: Pool;
  readonly #keys: Keys;
  readonly #channel: Channel;
  #columns: Column[] = [];
  #layout = "";
  #geometry = new Geometry(34, 0);
  #generation = -1;
  #rowHeight = 34;
  #frame = 0;
  #later: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setTimeout> | undefined;
  #looked = "";
  #awake = true;
  #onScreen = true;
  #stopTicking: (() => void) | null = null;

  constructor(context: TableContext) {
    const { model, el, signal, feed, rows, lines, settings } = context;
    this.#context = context;
    this.#toolbar = new Toolbar(settings);
    this.#overview = new Overview(rows, settings);
    this.#header = new Header(settings, (all) => {
      if (all) settings.selection.all(lines.order);
      else settings.selection.clear();
      settings.selected();
    });
    this.#footer = new Footer(rows, lines, settings, {
      cancel: (numbers) => this.#cancel(numbers),
      clear: () => {
        settings.selection.clear();
        settings.selected();
      },
    });
    this.#panels = new Panels(this.#body, context, {
      card: (n) => this.#channel.send({ kind: "action", action: "card", rows: [n, n] }),
      raw: (n) => this.#channel.send({ kind: "raw", rows: [n, n] }),
      resized: () => this.#schedule(),
    });
    this.#pool = new Pool(this.#body, context, (n) => this.#cancel([n]));
    this.#keys = new Keys(this.#grid, context, this.#pool, {
      reveal: (line) => this.#reveal(line),
      page: () => Math.max(1, Math.floor(this.#viewport / this.#rowHeight) - 1),
      search: () => this.#toolbar.search(),
      repaint: () => this.#paintLines(),
    });
    this.#build();
    followTheme(this.#root, signal);
    el.append(this.#root);
    this.#measure();
    const { scrollTop } = settings;
    this.#paint();
    this.#scroller.scrollTop = scrollTop;
    this.#channel = new Channel({
      model,
      signal,
      seq: () => feed.seq,
      // Another task may join at any time.
      open: () => this.#awake,
      receive: (message) => this.#receive(message),
      linked: (link) => {
        this.#showLink(link);
        this.#schedule();
      },
    });
    this.#showLink(this.#channel.link);
    feed.attach(this.#channel, () => this.#schedule(), signal);
    settings.watch(() => this.#schedule(), signal);
    this.#watchSizes(signal);
    this.#watchVisibility(signal);
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.#frame);
      clearTimeout(this.#later);
      clearTimeout(this.#looking);
      this.#panels.clear();
      this.#tick(false);
      this.#root.remove();
    });
  }

  #build(): void {
    this.#grid.setAttribute("role", "treegrid");
    this.#grid.setAttribute("aria-label", "Tasks");
    this.#grid.setAttribute("aria-multiselectable", "true");
    const top = element("div", "", this.#header.node);
    top.setAttribute("role", "rowgroup");
    top.className = "pmcp-top";
    this.#body.setAttribute("role", "rowgroup");
    this.#scroller.append(top, this.#body);
    this.#grid.append(this.#scroller);
    this.#root.append(
      this.#toolbar.node,
      this.#overview.node,
      this.#grid,
      this.#empty,
      this.#footer.node,
    );
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  #scrolled(): void {
    this.#top = this.#scroller.scrollTop;
    this.#context.settings.scrollTop = this.#top;
    this.#schedule();
  }

  #showLink(link: Link): void {
    this.#toolbar.showLink(linkText(this.#channel));
    this.#root.toggleAttribute("data-static", link === "static");
  }

  #watchSizes(signal: AbortSignal): void {
    const sizes = new ResizeObserver(() => {
      this.#tall = 0;
      this.#measure();
      this.#schedule();
    });
    sizes.observe(this.#root);
    sizes.observe(this.#scroller);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  /** Nothing is sent to, or painted for, a table that nobody can see. */
  #watchVisibility(signal: AbortSignal): void {
    const judge = () => {
      const awake = this.#onScreen && document.visibilityState !== "hidden";
      if (awake === this.#awake) return;
      this.#awake = awake;
      if (awake) {
        this.#channel.send({ kind: "wake" });
        this.#schedule();
      } else {
        this.#looked = "";
        this.#tick(false);
        this.#channel.send({ kind: "sleep" });
      }
    };
    const observer = new IntersectionObserver((entries) => {
      this.#onScreen = entries[entries.length - 1]?.isIntersecting ?? true;
      judge();
    });
    observer.observe(this.#root);
    document.addEventListener("visibilitychange", judge, { signal });
    signal.addEventListener("abort", () => observer.disconnect());
  }

  #receive(message: Message): void {
    const n = Number(message.row);
    if (message.kind === "refused") this.#pool.refused(n);
    if (message.kind === "raw") this.#panels.showRaw(n, String(message.text));
    if (message.kind === "card") this.#panels.mountCard(n, String(message.model));
  }

  #cancel(numbers: number[]): void {
    this.#channel.send({ kind: "action", action: "cancel", rows: toRanges(numbers) });
    this.#pool.cancelling(numbers);
  }

  /** The columns that fit, and everything that hangs on them. */
  #measure(): void {
    const width = this.#root.clientWidth;
    const narrow = width > 0 && width < NARROW_BELOW;
    const { settings, rows } = this.#context;
    this.#columns = narrow
      ? NARROW_COLUMNS.map((name) =>
          columnOf(name === "tool" && rows.about.title ? "given" : name, rows.about),
        ).filter((column) => column !== null)
      : fitting(wanted(settings.columns, rows.about), width || 1000, rows.about);
    const layout = JSON.stringify([narrow, this.#columns]);
    if (layout !== this.#layout) {
      this.#layout = layout;
      this.#root.toggleAttribute("data-narrow", narrow);
      this.#root.style.setProperty("--columns", narrow ? "none" : template(this.#columns));
      this.#header.build(this.#columns);
      this.#pool.build(this.#columns);
      this.#panels.columns = this.#columns.length + 2;
      setAttribute(this.#grid, "aria-colcount", String(this.#columns.length + 2));
    }
    const height = Number.parseFloat(getComputedStyle(this.#body).getPropertyValue("--row-height"));
    if (height > 0 && height !== this.#rowHeight) {
      this.#rowHeight = height;
      this.#generation = -1;
    }
  }

  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#awake) this.#paint();
    });
  }

  #paint(): void {
    const { rows, lines, settings, feed } = this.#context;
    this.#askForMore();
    if (settings.columns !== this.#seenColumns || rows.about !== this.#seenAbout) {
      this.#seenColumns = settings.columns;
      this.#seenAbout = rows.about;
      this.#measure();
    }
    const wait = lines.update(performance.now());
    clearTimeout(this.#later);
    if (wait !== null) this.#later = setTimeout(() => this.#schedule(), wait);
    this.#toolbar.show(rows);
    this.#overview.show();
    this.#header.show(settings.selection.size, lines.matching);
    this.#footer.show();
    const count = lines.count;
    const moved = lines.generation !== this.#generation;
    if (moved) this.#keys.follow();
    this.#generation = lines.generation;
    this.#geometry = new Geometry(this.#rowHeight, count, this.#panels.layOut());
    setAttribute(this.#grid, "aria-rowcount", String(count + this.#geometry.panels.length + 1));
    this.#grid.hidden = count === 0;
    this.#empty.hidden = count > 0;
    if (count === 0) setText(this.#empty, this.#emptyText());
    const height = `${this.#geometry.height}px`;
    if (this.#body.style.height !== height) {
      this.#body.style.height = height;
      this.#tall = 0;
    }
    this.#paintLines();
    this.#tick(rows.live > 0 && !feed.clock.frozen);
  }

  #seenColumns: unknown = null;
  #seenAbout: unknown = null;
  /** Where it is scrolled to and how tall it is, while that is known: asking has the browser lay out the page. */
  #top = 0;
  #tall = 0;

  /** The model comes with the first rows only. */
  #askForMore(): void {
    const { rows } = this.#context;
    if (!this.#channel || !rows.partial || rows.asked) return;
    rows.asked = true;
    this.#channel.send({ kind: "more", rows: rows.size });
  }

  #emptyText(): string {
    const { settings, feed, rows } = this.#context;
    if (!feed.filled) return "Waiting for the kernel…";
    if (rows.size === 0) return "No tasks yet. They appear here as soon as they are started.";
    const only = /^status:(\w+)$/.exec(settings.filter.trim());
    if (only) return `No task is in the state “${statusLabel(only[1] as Status)}”.`;
    return `Nothing matches “${settings.filter}”.`;
  }

  #paintLines(): void {
    if (this.#tall === 0) {
      this.#tall = this.#scroller.clientHeight;
      this.#top = this.#scroller.scrollTop;
    }
    const span = this.#geometry.visible(this.#top, this.#tall, OVERSCAN);
    this.#pool.show(span, this.#geometry, this.#keys.active);
    this.#panels.show(span, this.#geometry);
    this.#look(span);
  }

  /** Tells the kernel which rows are looked at: their servers are asked first. */
  #look(span: Span): void {
    clearTimeout(this.#looking);
    this.#looking = setTimeout(() => {
      const { lines } = this.#context;
      const numbers: number[] = [];
      for (let index = span.first; index < span.end; index += 1) {
        const line = lines.at(index);
        if (line >= 0) numbers.push(line);
      }
      const rows = toRanges(numbers);
      if (String(rows) === this.#looked) return;
      this.#looked = String(rows);
      this.#channel.send({ kind: "visible", rows });
    }, VISIBLE_DELAY_MS);
  }

  #tick(wanted: boolean): void {
    if (wanted === (this.#stopTicking !== null)) return;
    this.#stopTicking?.();
    this.#stopTicking = wanted ? everySecond(() => this.#tickRows()) : null;
  }

  #tickRows(): void {
    const { rows, feed } = this.#context;
    const now = feed.clock.now();
    for (const view of this.#pool.shown) {
      const row = view.n === null ? undefined : rows.get(view.n);
      if (row) view.tick(row, now);
    }
    this.#panels.tick();
  }

  #reveal(line: number): void {
    const { scrollTop } = this.#scroller;
    this.#scroller.scrollTop = this.#geometry.reveal(line, scrollTop, this.#viewport);
    this.#tall = 0;
    this.#paintLines();
  }

  get #viewport(): number {
    const header = this.#scroller.firstElementChild as HTMLElement;
    return this.#scroller.clientHeight - header.offsetHeight;
  }
}
