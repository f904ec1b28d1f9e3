import { element, flash, setAttribute, setText } from "../shared/dom";
import { clock, lined, offset } from "../shared/format";
import { LifeTrack } from "../shared/life-track";
import { type Moment, type Row, statusLabel } from "../shared/task";
import { fitStages, type Stage, stages } from "./record";

const MAX_STAGES = 7;
const MAX_LOG = 60;

/** A part of the card that is only there when it has something to say. */
export function section(name: string, heading: string): { node: HTMLElement; body: HTMLElement } {
  const body = element("div", `pmcp-section-body pmcp-${name}`);
  const title = element("h4", "pmcp-section-title", heading);
  const node = element("section", "pmcp-section", title, body);
  node.hidden = true;
  return { node, body };
}

/** The moments of the task, left to right, and the full log below on demand. */
export class Lifecycle {
  readonly node = element("div", "pmcp-lifecycle");
  readonly #life = new LifeTrack();
  readonly #track = element("ol", "pmcp-track");
  readonly #log = element("ol", "pmcp-log");
  readonly #details = element("details", "pmcp-details");
  readonly #summary = element("summary", "");
  #seen: Moment[] | null = null;
  #status = "";
  #row: Row | null = null;

  constructor() {
    this.#track.setAttribute("aria-label", "Lifecycle");
    this.#details.append(this.#summary, this.#log);
    this.#details.addEventListener("toggle", () => this.#showLog());
    this.node.append(this.#life.node, this.#track, this.#details);
  }

  show(row: Row, history: Moment[]): void {
    this.#row = row;
    const same = this.#seen === history && this.#status === row.status;
    if (same) return;
    this.#seen = history;
    this.#status = row.status;
    const { shown, omitted } = fitStages(stages(row, history), MAX_STAGES);
    while (this.#track.childElementCount > shown.length) this.#track.lastChild?.remove();
    for (const [index, stage] of shown.entries()) {
      this.#step(index, stage, row, index === shown.length - 1, index === 1 ? omitted : 0);
    }
    setText(this.#summary, `History (${history.length})`);
    this.#details.hidden = history.length === 0;
    this.#showLog();
  }

  tick(row: Row, now: number): void {
    this.#life.show(row, this.#seen ?? [], now);
  }

  #step(index: number, stage: Stage, row: Row, last: boolean, omitted: number): void {
    let node = this.#track.children[index] as HTMLElement | undefined;
    if (!node) {
      const dot = element("span", "pmcp-step-dot");
      dot.setAttribute("aria-hidden", "true");
      const words = [element("span", "pmcp-step-name"), element("span", "pmcp-step-time")];
      node = element("li", "pmcp-step", dot, ...words);
      this.#track.append(node);
    }
    setAttribute(node, "data-status", stage.status);
    setAttribute(node, "aria-current", last ? "step" : null);
    setAttribute(node, "data-omitted", omitted > 0 ? String(omitted) : null);
    const [, name, time] = node.children as unknown as [Element, HTMLElement, HTMLElement];
    const label = stage.status === "submitted" ? "submitted" : statusLabel(stage.status);
    setText(name, omitted > 0 ? `${omitted} more … ${label}` : label);
    setText(time, index === 0 ? clock(stage.since) : offset(stage.since - row.started));
    setAttribute(node, "title", stage.message);
  }

  /** Only while it is open: a log that nobody reads costs nothing. */
  #showLog(): void {
    const row = this.#row;
    const history = this.#seen;
    if (!this.#details.open || !row || !history) return;
    const lines = history.slice(-MAX_LOG).reverse();
    while (this.#log.childElementCount > lines.length) this.#log.lastChild?.remove();
    for (const [index, moment] of lines.entries()) {
      const [time, status, message] = this.#logLine(index);
      setText(time, offset(moment.time - row.started));
      setText(status, statusLabel(moment.status));
      setText(message, moment.message ?? "");
    }
  }

  #logLine(index: number): [time: HTMLElement, status: HTMLElement, message: HTMLElement] {
    let line = this.#log.children[index];
    if (!line) {
      line = element("li", "", element("span"), element("span"), element("span"));
      this.#log.append(line);
    }
    return line.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
  }
}

/** The task's variables; what changed lights up. */
export class Variables {
  readonly node: HTMLElement;
  readonly #table = element("table", "pmcp-variables-table");
  readonly #lines = new Map<string, { row: HTMLTableRowElement; value: HTMLElement }>();

  constructor() {
    const { node, body } = section("variables", "Variables");
    this.node = node;
    this.#table.append(element("tbody"));
    body.append(this.#table);
  }

  show(variables: Record<string, unknown>): void {
    const names = Object.keys(variables ?? {});
    this.node.hidden = names.length === 0;
    const gone = new Set(this.#lines.keys());
    const first = this.#lines.size === 0;
    for (const name of names) {
      gone.delete(name);
      let line = this.#lines.get(name);
      const text = lined(variables[name]);
      if (!line) {
        const head = element("th", "", name);
        head.scope = "row";
        const value = element("td");
        const row = element("tr", "", head, value);
        line = { row, value };
        this.#lines.set(name, line);
        this.#table.tBodies[0]?.append(row);
        setText(value, text);
        if (!first) flash(row);
      } else if (setText(line.value, text)) flash(line.value);
    }
    for (const name of gone) {
      this.#lines.get(name)?.row.remove();
      this.#lines.delete(name);
    }
  }
}

/** How it ended: the result's preview or the error. */
export class Outcome {
  readonly node: HTMLElement;
  readonly #text = element("pre", "pmcp-outcome-text");
  readonly #title: HTMLElement;

  constructor() {
    const { node, body } = section("outcome", "Result");
    this.node = node;
    this.#title = node.firstElementChild as HTMLElement;
    body.append(this.#text);
  }

  show(row: Row): void {
    const failed = row.status === "failed";
    const text = failed ? (row.error ?? row.message ?? "The server gave no reason.") : row.result;
    this.node.hidden = text === null || text === undefined || text === "";
    setText(this.#title, failed ? "Error" : "Result");
    setAttribute(this.node, "data-tone", failed ? "error" : null);
    setText(this.#text, text ?? "");
  }
}

/** The task as the server sees it, fetched when somebody looks. */
export class Raw {
  readonly node = element("details", "pmcp-details pmcp-raw");
  readonly #text = element("pre", "pmcp-outcome-text", "…");
  #status = "";

  constructor(private readonly ask: () => void) {
    this.node.append(element("summary", "", "Raw JSON"), this.#text);
    this.node.addEventListener("toggle", () => {
      if (this.node.open) this.ask();
    });
  }

  show(row: Row): void {
    const changed = this.#status !== row.status;
    this.#status = row.status;
    if (changed && this.node.open) this.ask();
  }

  receive(text: string): void {
    setText(this.#text, text);
  }
}
