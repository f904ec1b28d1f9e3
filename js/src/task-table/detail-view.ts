import type { Host } from "../shared/anywidget";
import { element, setAttribute, setText } from "../shared/dom";
import { clock, offset } from "../shared/format";
import { renderQuestion } from "../shared/question";
import { Stderr } from "../shared/stderr";
import { knownStatus, type Moment, statusLabel } from "../shared/task";
import { lifeline } from "./lifeline";
import type { Detail, TableRow } from "./rows";
import { Tree } from "./tree";

const MAX_LOG = 100;
const MIN_STRETCH_PERCENT = 1.5;

/** What an expanded row may ask for. */
export interface DetailWishes {
  card(n: number): void;
  raw(n: number): void;
}

/** The panel below an expanded row: its life, variables, question, result, and all of it as JSON. */
export class DetailView {
  readonly node = element("div", "pmcp-detail");
  readonly #cell = element("div", "pmcp-detail-cell");
  readonly #facts = element("p", "pmcp-detail-facts");
  readonly #question = section("Needs your input");
  readonly #life = section("Lifecycle");
  readonly #track = element("div", "pmcp-life");
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
  readonly #life_end = new AbortController();
  #asked = "";
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
    this.#life.body.append(this.#track, this.#log);
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
    setText(this.#facts, facts(row));
    this.#showQuestions(row);
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

  /** Puts the task's card, which has the form, where the question is. */
  async mountCard(host: Host | undefined, model: string): Promise<void> {
    const place = element("div", "pmcp-detail-card");
    try {
      if (!host) throw new Error("no host");
      const card = await host.getWidget(`anywidget:${model}`);
      await card.render({ el: place, signal: this.#life_end.signal });
      this.#question.body.replaceChildren(place);
    } catch (error) {
      console.warn("The card can't be shown here", error);
      const how = element(
        "p",
        "pmcp-hint pmcp-detail-how",
        "Show the task in a cell to answer, or call ",
      );
      how.append(element("code", "", "table.selected[0].answer({…})"));
      this.#question.body.append(how);
    }
  }

  remove(): void {
    this.#life_end.abort();
    this.node.remove();
  }

  #fill(into: Section, tree: Tree, value: Record<string, unknown>): void {
    const empty = Object.keys(value).length === 0;
    into.node.hidden = empty;
    if (!empty) tree.show(value, this.#known);
  }

  #showQuestions(row: TableRow): void {
    const asked = JSON.stringify(row.questions);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#question.node.hidden = row.questions.length === 0;
    const places = row.questions.map((question) => {
      const place = element("div", "pmcp-question-place");
      renderQuestion(place, question, () => this.wishes.card(this.n));
      return place;
    });
    this.#question.body.replaceChildren(...places);
  }

  #showLife(row: TableRow, history: Moment[], now: number): void {
    this.#drawTrack(row, history, now);
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

  /** The stretches of its life, as wide as they were long. */
  #drawTrack(row: TableRow, history: Moment[], now: number): void {
    const stretches = lifeline(row, history, now);
    const whole = stretches.reduce((sum, each) => sum + each.length, 0) || 1;
    while (this.#track.childElementCount > stretches.length) this.#track.lastChild?.remove();
    for (const [index, { status, length }] of stretches.entries()) {
      let part = this.#track.children[index] as HTMLElement | undefined;
      if (!part) {
        part = element("span", "pmcp-life-part");
        this.#track.append(part);
      }
      setAttribute(part, "data-status", status);
      const width = `${Math.max(MIN_STRETCH_PERCENT, (100 * length) / whole).toFixed(1)}%`;
      if (part.style.flexBasis !== width) part.style.flexBasis = width;
      setAttribute(part, "title", `${statusLabel(status)}: ${offset(length).slice(1)}`);
    }
    const words = stretches.map(
      ({ status, length }) => `${statusLabel(status)} ${offset(length).slice(1)}`,
    );
    setAttribute(this.#track, "role", "img");
    setAttribute(this.#track, "aria-label", words.slice(-8).join(", "));
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

function facts(row: TableRow): string {
  const when = row.started ? `started ${clock(row.started)}` : "";
  const end = row.ended ? `ended ${clock(row.ended)}` : "";
  return [row.server, row.tool, row.set, row.taskId, when, end].filter(Boolean).join(" · ");
}
