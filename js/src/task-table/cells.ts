import { Badge } from "../shared/badge";
import { element, setAttribute, setText } from "../shared/dom";
import { compact, duration, spoken } from "../shared/format";
import { ProgressBar } from "../shared/progress";
import { elapsed, headline } from "../shared/task";
import { type Column, dataOf } from "./columns";
import type { Rows, TableRow } from "./rows";

/** What one column shows of a row. Each writes only what differs. */
export interface Cell {
  readonly node: HTMLElement;
  show(row: TableRow, now: number): void;
  /** Present where time alone changes what is shown. */
  tick?(row: TableRow, now: number): void;
}

const MAX_CHIPS = 6;

export function cell(column: Column, rows: Rows): Cell {
  const data = column.name.includes(".");
  const node = element("div", `pmcp-cell pmcp-cell-${data ? "data" : column.name}`);
  node.setAttribute("role", "gridcell");
  if (column.end) node.dataset.end = "";
  switch (column.name) {
    case "status":
      return new StatusCell(node);
    case "progress":
      return new ProgressCell(node);
    case "message":
      return new MessageCell(node);
    case "age":
      return new TimeCell(node, (row, now) => (row.status === "queued" ? null : now - row.started));
    case "duration":
      return new TimeCell(node, (row, now) => (row.status === "queued" ? null : elapsed(row, now)));
    case "ttl":
      return new TimeCell(node, (row, now) =>
        row.ttl === null ? null : row.started + row.ttl - now,
      );
    case "variables":
      return new VariablesCell(node);
    default:
      return data
        ? new DataCell(node, column, rows)
        : new TextCell(node, textOf(column.name, rows));
  }
}

function textOf(name: string, rows: Rows): (row: TableRow) => string {
  if (name === "given") {
    // In a narrow table of a sweep, which has no room for columns: what tells its rows apart.
    return (row) =>
      [
        `#${row.n}`,
        ...rows.about.shown
          .filter((each) => each.startsWith("arguments."))
          .map((each) => `${each.slice(10)}=${compact(row.cells[each], 24)}`),
      ].join("  ");
  }
  if (name === "id") return (row) => row.taskId ?? "";
  if (name === "n") return (row) => String(row.n);
  return (row) => row[name as "server" | "tool" | "set"] ?? "";
}

/** A value of the task's data; of a number, where it is between the least and the greatest of its column. */
class DataCell implements Cell {
  readonly #text = element("span", "");
  #at = "";

  constructor(
    readonly node: HTMLElement,
    private readonly column: Column,
    private readonly rows: Rows,
  ) {
    node.append(this.#text);
  }

  show(row: TableRow): void {
    const value = dataOf(row, this.column.name);
    const text = value === null ? "" : compact(value, 80);
    if (setText(this.#text, text)) setAttribute(this.node, "title", text || null);
    const [least, greatest] = this.rows.spans.get(this.column.name) ?? [0, 0];
    const known = this.column.bar && typeof value === "number" && greatest > least;
    const at = known ? `${Math.round((100 * (value - least)) / (greatest - least))}%` : "";
    if (at === this.#at) return;
    this.#at = at;
    this.node.style.setProperty("--at", at || null);
  }
}

class TextCell implements Cell {
  constructor(
    readonly node: HTMLElement,
    private readonly text: (row: TableRow) => string,
  ) {}

  show(row: TableRow): void {
    const text = this.text(row);
    if (setText(this.node, text)) setAttribute(this.node, "title", text || null);
  }
}

class StatusCell implements Cell {
  readonly #badge = new Badge();

  constructor(readonly node: HTMLElement) {
    node.append(this.#badge.node);
  }

  show(row: TableRow): void {
    this.#badge.set(row.status);
  }
}

class ProgressCell implements Cell {
  readonly #bar = new ProgressBar();

  constructor(readonly node: HTMLElement) {
    node.append(this.#bar.node);
  }

  show(row: TableRow): void {
    this.#bar.set(row);
  }
}

class MessageCell implements Cell {
  readonly #trouble = element("span", "pmcp-trouble", "⚠");
  readonly #text = element("span", "pmcp-row-message");

  constructor(readonly node: HTMLElement) {
    this.#trouble.setAttribute("role", "img");
    node.append(this.#trouble, this.#text);
  }

  show(row: TableRow): void {
    const { trouble } = row;
    const text = headline(row) || (trouble ?? "");
    this.#trouble.hidden = trouble === null;
    setAttribute(this.#trouble, "aria-label", trouble);
    if (setText(this.#text, text) || trouble !== null) {
      setAttribute(this.node, "title", [trouble, text].filter(Boolean).join("\n") || null);
    }
  }
}

class TimeCell implements Cell {
  constructor(
    readonly node: HTMLElement,
    private readonly time: (row: TableRow, now: number) => number | null,
  ) {}

  show(row: TableRow, now: number): void {
    this.tick(row, now);
  }

  tick(row: TableRow, now: number): void {
    const time = this.time(row, now);
    const text =
      time === null
        ? "–"
        : time <= 0 && this.node.matches(".pmcp-cell-ttl")
          ? "over"
          : duration(time);
    if (setText(this.node, text)) {
      setAttribute(this.node, "title", time === null ? null : spoken(Math.max(0, time)));
    }
  }
}

class VariablesCell implements Cell {
  #shown = "";

  constructor(readonly node: HTMLElement) {
    // The words are in the title, which is made when somebody asks for it.
    node.addEventListener("pointerenter", () => setAttribute(node, "title", this.#title || null));
  }

  get #title(): string {
    const entries = Object.entries(this.#variables).slice(0, 40);
    return entries.map(([name, value]) => `${name} = ${compact(value, 80)}`).join("\n");
  }

  #variables: Record<string, unknown> = {};

  show(row: TableRow): void {
    this.#variables = row.variables;
    const shown: [string, string][] = [];
    let key = "";
    for (const name in row.variables) {
      if (shown.length === MAX_CHIPS) break;
      const value = compact(row.variables[name], 24);
      shown.push([name, value]);
      key += `${name}=${value}\n`;
    }
    if (key === this.#shown) return;
    this.#shown = key;
    while (this.node.childElementCount > shown.length) this.node.lastChild?.remove();
    for (const [index, [name, value]] of shown.entries()) {
      let chip = this.node.children[index] as HTMLElement | undefined;
      if (!chip) {
        chip = element("span", "pmcp-chip", element("b", ""), element("span", ""));
        this.node.append(chip);
      }
      setText(chip.firstChild as HTMLElement, name);
      setText(chip.lastChild as HTMLElement, value);
    }
  }
}
