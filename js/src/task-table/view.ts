import type { Content } from "../form/form";
import { Channel, type Link, type Message } from "../shared/channel";
import { everySecond } from "../shared/clock";
import { element, setAttribute, setText } from "../shared/dom";
import { linkText } from "../shared/link-text";
import { followTheme } from "../shared/theme";
import { type Alike, Answers } from "./answers";
import { type Column, columnOf, fitting, template, wanted } from "./columns";
import type { TableContext } from "./context";
import { emptyText } from "./empty-text";
import { Footer } from "./footer";
import { Forms } from "./forms";
import { Header } from "./header";
import { Keys } from "./keys";
import { followLinks } from "./links";
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
  readonly #answers: Answers;
  readonly #forms: Forms;
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
    const forms = new Forms(
      // The first painting comes before the channel.
      () => queueMicrotask(() => this.#channel.send({ kind: "code", name: "cards" })),
      () => this.#schedule(),
    );
    this.#forms = forms;
    this.#answers = new Answers(
      rows,
      forms,
      (form, asked, action, content) => this.#answer(form, asked, action, content),
      () => this.#pool.view(this.#keys.active)?.node.focus({ preventScroll: true }),
    );
    this.#footer = new Footer(rows, lines, settings, {
      act: (action, numbers) => this.#act(action, numbers),
      clear: () => {
        settings.selection.clear();
        settings.selected();
      },
    });
    this.#panels = new Panels(this.#body, context, {
      forms,
      left: (n) => this.#pool.view(lines.indexOf(n))?.node.focus({ preventScroll: true }),
      answer: (n, key, action, content) =>
        this.#answer(`row ${n} ${key}`, [[n, key]], action, content),
      raw: (n) => this.#channel.send({ kind: "raw", rows: [n, n] }),
      resized: () => this.#schedule(),
    });
    this.#pool = new Pool(this.#body, context, (n) => this.#act("cancel", [n]));
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
    followLinks((anchor) => this.#channel.send({ kind: "find", anchor }), signal);
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
    const top = element("div", "pmcp-top", this.#header.node);
    top.setAttribute("role", "rowgroup");
    this.#body.setAttribute("role", "rowgroup");
    this.#scroller.append(top, this.#body);
    this.#grid.append(this.#scroller);
    this.#root.append(
      this.#toolbar.node,
      this.#overview.node,
      this.#grid,
      this.#empty,
      this.#answers.node,
      this.#footer.node,
    );
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  #scrolled(): void {
    this.#context.settings.scrollTop = this.#top = this.#scroller.scrollTop;
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
    const { kind, text } = message;
    if (kind === "found") this.#found(Number(message.row));
    if (kind === "raw") this.#panels.showRaw(Number(message.row), String(text));
    if (kind === "code") void this.#forms.arrived((message.payload as { module: string }).module);
    if (!["done", "answered", "asked", "cell"].includes(kind)) return;
    this.#channel.settle();
    this.#footer.say(String(text ?? ""));
    if (kind === "done") for (const n of message.refused as number[]) this.#pool.refused(n);
    else if (kind === "asked") this.#answers.show(message.groups as Alike[]);
    else if (kind === "cell") void this.#copy(text as string | null);
    else this.#answered(String(message.form), message.problems as Record<string, string>);
  }

  #found(n: number): void {
    const { lines, settings } = this.#context;
    settings.expand(n, true);
    this.#root.scrollIntoView({ block: "nearest" });
    this.#paint();
    const line = lines.indexOf(n);
    if (line >= 0) this.#keys.go(line);
    else this.#footer.say(`row ${n} is filtered out, or in a closed group`);
  }

  #answered(form: string, problems: Record<string, string>): void {
    const [, n, key] = /^row (\d+) (.*)$/s.exec(form) ?? [];
    if (key === undefined) this.#answers.answered(form, problems);
    else this.#panels.answered(Number(n), key, problems);
  }

  #ask(message: { kind: string; [field: string]: unknown }): void {
    this.#channel.expect();
    this.#channel.send(message);
  }

  #act(action: string, numbers: number[]): void {
    this.#ask({ kind: "action", action, rows: toRanges(numbers) });
    if (action === "cancel") this.#pool.cancelling(numbers);
    this.#footer.say(action === "cancel" || action === "retry" ? "under way…" : "");
  }

  #answer(form: string, asked: [number, string][], action: string, content: Content): void {
    this.#ask({ kind: "answer", form, asked, action, content });
  }

  async #copy(code: string | null): Promise<void> {
    this.#footer.say(await this.#answers.copy(code));
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
    this.#answers.sync();
    const count = lines.count;
    const moved = lines.generation !== this.#generation;
    if (moved) this.#keys.follow();
    this.#generation = lines.generation;
    this.#geometry = new Geometry(this.#rowHeight, count, this.#panels.layOut());
    setAttribute(this.#grid, "aria-rowcount", String(count + this.#geometry.panels.length + 1));
    this.#grid.hidden = count === 0;
    this.#empty.hidden = count > 0;
    if (count === 0) setText(this.#empty, emptyText(this.#context));
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

  #paintLines(): void {
    if (this.#tall === 0) {
      this.#tall = this.#scroller.clientHeight;
      this.#top = this.#scroller.scrollTop;
      // Nowhere for a moment, as while a theme is loaded: who watches sizes and visibility may never hear of it.
      if (this.#tall === 0 && !this.#grid.hidden) this.#schedule();
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
