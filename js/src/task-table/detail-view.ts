import type { Content } from "../form/form";
import type { Asked, QuestionView } from "../form/question";
import { element, setAttribute, setText, showText } from "../shared/dom";
import { clock, offset, spoken } from "../shared/format";
import { LifeTrack } from "../shared/life-track";
import { Stderr } from "../shared/stderr";
import { knownStatus, type Moment, statusLabel } from "../shared/task";
import type { Forms } from "./forms";
import type { Detail, TableRow } from "./rows";
import { Tree } from "./tree";

const MAX_LOG = 100;

/** What an expanded row may ask for. */
export interface DetailWishes {
  answer(n: number, key: string, action: string, content: Content): void;
  /** The last question that had the keyboard is answered. */
  left(n: number): void;
  forms: Forms;
  raw(n: number): void;
}

/** The panel below an expanded row: its life, variables, question, result, and all of it as JSON. */
export class DetailView {
  readonly node = element("div", "pmcp-detail");
  readonly #cell = element("div", "pmcp-detail-cell");
  readonly #facts = element("p", "pmcp-detail-facts");
  readonly #question = section("Needs your input");
  readonly #life = section("Lifecycle");
  readonly #track = new LifeTrack();
  readonly #log = element("ol", "pmcp-life-log");
  readonly #variables = section("Variables");
  readonly #arguments = section("Arguments");
  readonly #outcome = section("Result");
  readonly #text = element("pre", "pmcp-outcome-text");
  readonly #stderr = new Stderr();
  readonly #raw = element("details", "pmcp-raw", element("summary", "", "Raw JSON"));
  readonly #json = element("pre", "pmcp-outcome-text", "…");
  readonly #tree = new Tree();
  readonly #given = new Tree();
  readonly #forms = new Map<string, QuestionView>();
  #open: string[] = [];
  readonly #words = element("p", "pmcp-question");
  #known = false;
  #history: Moment[] | null = null;
  #shownStatus = "";
  #rawVersion = -1;
  #top = -1;

  constructor(
    readonly n: number,
    columns: number,
    private readonly wishes: DetailWishes,
  ) {
    this.node.setAttribute("role", "row");
    this.#cell.setAttribute("role", "gridcell");
    this.#cell.setAttribute("aria-colspan", String(columns));
    this.#life.body.append(this.#track.node, this.#log);
    this.#question.body.append(this.#words);
    this.#variables.body.append(this.#tree.node);
    this.#arguments.body.append(this.#given.node);
    this.#outcome.body.append(this.#text);
    this.#raw.append(this.#json);
    this.#raw.addEventListener("toggle", () => {
      this.#rawVersion = -1;
      if (this.#raw.open) this.wishes.raw(this.n);
    });
    const left = element("div", "pmcp-detail-side", this.#life.node);
    const right = element("div", "pmcp-detail-side", this.#variables.node, this.#arguments.node);
    this.#cell.append(
      this.#facts,
      this.#question.node,
      element("div", "pmcp-detail-sides", left, right),
      this.#outcome.node,
      this.#stderr.node,
      this.#raw,
    );
    this.node.append(this.#cell);
  }

  place(top: number, rowIndex: number, level: number): void {
    if (top !== this.#top) {
      this.#top = top;
      this.node.style.transform = `translateY(${top}px)`;
    }
    setAttribute(this.node, "aria-rowindex", String(rowIndex));
    setAttribute(this.node, "aria-level", String(level));
  }

  show(row: TableRow, detail: Detail | undefined, now: number): void {
    setAttribute(this.node, "aria-label", `Details of ${row.tool}`);
    setAttribute(this.node, "data-status", row.status);
    setText(this.#facts, facts(row, now));
    this.#showQuestions(row, detail);
    this.#showLife(row, detail?.history ?? [], now);
    this.#fill(this.#variables, this.#tree, detail?.variables ?? row.variables);
    this.#fill(this.#arguments, this.#given, detail?.arguments ?? {});
    this.#known = detail !== undefined;
    this.#showOutcome(row, detail?.result ?? row.result);
    this.#stderr.show(detail?.stderr ?? "", row.status !== "completed");
    if (this.#raw.open && this.#rawVersion >= 0 && this.#rawVersion !== row.version) {
      this.#rawVersion = -1;
      this.wishes.raw(this.n);
    }
  }

  showRaw(text: string, version: number): void {
    this.#rawVersion = version;
    setText(this.#json, text);
  }

  /** The kernel's word on an answer: nothing wrong, or what. */
  answered(key: string, problems: Record<string, string>): void {
    this.#forms.get(key)?.answered(problems);
  }

  /** Whether it holds what a person may be filling in. */
  get asks(): boolean {
    return this.#forms.size > 0;
  }

  remove(): void {
    this.node.remove();
  }

  #fill(into: Section, tree: Tree, value: Record<string, unknown>): void {
    const empty = Object.keys(value).length === 0;
    into.node.hidden = empty;
    if (!empty) tree.show(value, this.#known);
  }

  #showQuestions(row: TableRow, detail: Detail | undefined): void {
    const { questions } = row;
    const { forms } = this.wishes;
    this.#question.node.hidden = questions.length === 0;
    this.#open = questions.map(({ key }) => key);
    for (const key of this.#forms.keys()) if (!this.#open.includes(key)) this.#forget(key);
    if (questions.length > 0 && detail) this.#drawAll(forms.make, detail.asked ?? []);
    const how = "\nSelect the row, and answer in a cell: lab.selected.answer({…})";
    const words = questions.map(({ message }) => message).join("\n");
    showText(this.#words, this.asks ? "" : words + (forms.failed ? how : ""));
  }

  #drawAll(make: typeof QuestionView | null, asked: Asked[]): void {
    const open = asked.filter(({ key }) => this.#open.includes(key) && !this.#forms.has(key));
    if (make) for (const each of open) this.#draw(make, each);
  }

  #draw(make: typeof QuestionView, asked: Asked): void {
    const view = new make(asked, (action, content) =>
      this.wishes.answer(this.n, asked.key, action, content),
    );
    this.#forms.set(asked.key, view);
    this.#question.body.append(view.node);
  }

  #forget(key: string): void {
    const node = this.#forms.get(key)?.node;
    this.#forms.delete(key);
    if (node?.contains(document.activeElement)) this.wishes.left(this.n);
    node?.remove();
  }

  #showLife(row: TableRow, history: Moment[], now: number): void {
    this.#track.show(row, history, now);
    if (history === this.#history && row.status === this.#shownStatus) return;
    this.#history = history;
    this.#shownStatus = row.status;
    const lines = history.slice(-MAX_LOG).reverse();
    while (this.#log.childElementCount > lines.length) this.#log.lastChild?.remove();
    for (const [index, moment] of lines.entries()) {
      let line = this.#log.children[index] as HTMLElement | undefined;
      if (!line) {
        line = element(
          "li",
          "",
          element("span"),
          element("span", "pmcp-life-status"),
          element("span"),
        );
        this.#log.append(line);
      }
      const [time, status, message] = line.children as unknown as [
        HTMLElement,
        HTMLElement,
        HTMLElement,
      ];
      setText(time, offset(moment.time - row.started));
      setAttribute(time, "title", clock(moment.time));
      setAttribute(status, "data-status", knownStatus(moment.status));
      setText(status, statusLabel(moment.status));
      setText(message, moment.message ?? "");
    }
  }

  #showOutcome(row: TableRow, result: string | null): void {
    const failed = row.status === "failed";
    const text = failed ? (row.error ?? row.message ?? "The server gave no reason.") : result;
    this.#outcome.node.hidden = !text;
    setText(this.#outcome.title, failed ? "Error" : "Result");
    setAttribute(this.#outcome.node, "data-tone", failed ? "error" : null);
    setText(this.#text, text ?? "");
  }
}

interface Section {
  node: HTMLElement;
  title: HTMLElement;
  body: HTMLElement;
}

function section(name: string): Section {
  const title = element("h4", "pmcp-section-title", name);
  const body = element("div", "pmcp-detail-body");
  return { node: element("section", "pmcp-detail-section", title, body), title, body };
}

function facts(row: TableRow, now: number): string {
  const { started, ended, ttl } = row;
  const times = [
    started ? `started ${clock(started)}` : "",
    ended ? `ended ${clock(ended)}` : "",
    remaining(row, now),
    ttl === null ? "" : `kept until ${clock(started + ttl)}`,
  ];
  return [row.server, row.tool, row.set, row.taskId, ...times].filter(Boolean).join(" · ");
}

/** What its progress so far lets expect; nothing of one that has hardly begun. */
function remaining(row: TableRow, now: number): string {
  const done = row.progress ?? 0;
  if (row.status !== "working" || done < 0.02 || done >= 1) return "";
  return `about ${spoken(((now - row.started) * (1 - done)) / done)} to go`;
}
