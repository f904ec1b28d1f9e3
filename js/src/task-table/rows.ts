import type { Asked } from "../form/question";
import type { Message } from "../shared/channel";
import type { Sink } from "../shared/feed";
import { knownStatus, type Moment, type Row, STATUSES, type Status } from "../shared/task";

export type Counts = Record<Status, number>;

/** A row by its number, the kernel's order of starting. */
export interface TableRow extends Omit<Row, "key" | "updated"> {
  n: number;
  set: string | null;
  /** Arguments and fields of the result, by the names of their columns. */
  cells: Record<string, unknown>;
  /** Grows with every change, so that a line knows whether it shows the present. */
  version: number;
}

/** What an expanded row shows beyond its cells. */
export interface Detail {
  row: number;
  from: number;
  history: Moment[];
  variables: Record<string, unknown>;
  arguments: Record<string, unknown>;
  /** Its open questions with their forms. */
  asked?: Asked[];
  result: string | null;
  stderr?: string;
}

interface Column {
  values: unknown[];
  /** Places in the patch's rows; absent: one value for each. */
  at?: number[];
  /** Values are codes into these. */
  words?: unknown[];
}

/** What the kernel says of all rows; see MESSAGES.md. */
export interface About {
  columns: [name: string, label: string, numeric: boolean][];
  more: number;
  shown: string[];
  title?: string;
  alike: [label: string, value: string][];
  failures: [count: number, reason: string][];
  moreFailures: number;
}

const NOTHING: About = {
  columns: [],
  more: 0,
  shown: [],
  alike: [],
  failures: [],
  moreFailures: 0,
};

export interface Patch {
  rows: number[] | { first: number; count: number };
  columns?: Record<string, Column>;
  variables?: Record<string, Column>;
  cells?: Record<string, Column>;
}

const FIELDS = new Set([
  "server",
  "tool",
  "set",
  "taskId",
  "status",
  "message",
  "progress",
  "started",
  "ended",
  "ttl",
  "trouble",
  "error",
  "result",
  "questions",
  "variables",
]);

export function noCounts(): Counts {
  return Object.fromEntries(STATUSES.map((status) => [status, 0])) as Counts;
}

export function blank(n: number): TableRow {
  return {
    n,
    server: "",
    tool: "",
    set: null,
    taskId: "",
    status: "working",
    message: null,
    progress: null,
    variables: bag(),
    started: 0,
    ended: null,
    ttl: null,
    trouble: null,
    error: null,
    result: null,
    questions: [],
    cells: bag(),
    version: 0,
  };
}

/** Servers choose these names: none may mean something to JavaScript. */
function bag(from: object = {}): Record<string, unknown> {
  return Object.assign(Object.create(null), from);
}

/** The table's rows, in the order of their numbers, with running totals. */
export class Rows implements Sink {
  title: string | null = null;
  about: About = NOTHING;
  /** The least and the greatest number seen in a column. */
  readonly spans = new Map<string, [number, number]>();
  counts: Counts = noCounts();
  /** How many rows the kernel has; more than there are here while they are being loaded. */
  total = 0;
  /** Grows when all rows were replaced. */
  generation = 0;
  readonly details = new Map<number, Detail>();
  /** Rows that changed since somebody last took this list. */
  changed: number[] = [];
  /** Whether the missing rows were asked for. */
  asked = false;
  #rows: TableRow[] = [];

  get size(): number {
    return this.#rows.length;
  }

  get live(): number {
    return this.counts.working + this.counts.queued + this.counts.input_required;
  }

  get partial(): boolean {
    return this.#rows.length < this.total;
  }

  get(n: number): TableRow | undefined {
    return this.#rows[n];
  }

  replace(state: unknown): void {
    const { patch, total, title, details, about } = (state ?? {}) as {
      patch?: Patch | null;
      total?: number;
      title?: string;
      details?: Detail[];
      about?: About;
    };
    this.about = about ?? NOTHING;
    this.spans.clear();
    this.#rows = [];
    this.counts = noCounts();
    this.title = title ?? null;
    this.total = total ?? 0;
    this.asked = false;
    this.changed = [];
    this.details.clear();
    this.generation += 1;
    this.#patch(patch);
    this.#detail(details);
  }

  apply(message: Message): void {
    const { patch, total, details } = message as { patch?: Patch | null; total?: number } & Message;
    if (message.about) this.about = message.about as About;
    const complete = !this.partial;
    if (typeof total === "number") this.total = total;
    this.#patch(patch, complete || message.kind === "rows");
    this.#detail(details as Detail[] | undefined);
  }

  /** A delta about rows that are not here yet is about rows that will come whole. */
  #patch(patch: Patch | null | undefined, grow = true): void {
    if (!patch) return;
    const numbers = listed(patch.rows);
    const rows = numbers.map((n) => this.#touch(n, grow));
    for (const [name, column] of Object.entries(patch.columns ?? {})) {
      if (name === "status")
        spread(rows, column, (row, value) => this.#become(row, value as Status));
      else if (FIELDS.has(name)) fill(rows, name as keyof TableRow, column);
    }
    for (const [name, column] of Object.entries(patch.variables ?? {})) {
      this.#measure(`variables.${name}`, column);
      spread(rows, column, (row, value) => {
        row.variables[name] = value;
      });
    }
    for (const [name, column] of Object.entries(patch.cells ?? {})) {
      this.#measure(name, column);
      spread(rows, column, (row, value) => {
        row.cells[name] = value;
      });
    }
  }

  #measure(name: string, { values }: Column): void {
    let [least, greatest] = this.spans.get(name) ?? [Infinity, -Infinity];
    for (const value of values) {
      if (typeof value !== "number") continue;
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
    if (least <= greatest) this.spans.set(name, [least, greatest]);
  }

  /** The row that is about to change; a new one where it is the next. */
  #touch(n: number, grow: boolean): TableRow | undefined {
    if (grow && n === this.#rows.length) {
      this.#rows.push(blank(n));
      this.counts.working += 1;
    }
    const row = this.#rows[n];
    if (!row) return undefined;
    row.version += 1;
    this.changed.push(n);
    return row;
  }

  #become(row: TableRow, status: Status): void {
    this.counts[knownStatus(row.status)] -= 1;
    this.counts[knownStatus(status)] += 1;
    row.status = status;
  }

  #detail(details: Detail[] | undefined): void {
    for (const detail of details ?? []) {
      const held = this.details.get(detail.row);
      const end = held ? held.from + held.history.length : -1;
      // An addition to what is here, or all there is to know.
      if (held && detail.from === end) {
        const history = held.history.concat(detail.history);
        this.details.set(detail.row, { ...detail, from: held.from, history });
      } else this.details.set(detail.row, detail);
      const row = this.#rows[detail.row];
      if (row) row.version += 1;
    }
  }
}

/** Gives each value of a column to its row. */
function spread(
  rows: (TableRow | undefined)[],
  { values, at, words }: Column,
  give: (row: TableRow, value: unknown) => void,
): void {
  for (let index = 0; index < values.length; index += 1) {
    const row = rows[at ? (at[index] ?? -1) : index];
    if (row) give(row, words ? words[values[index] as number] : values[index]);
  }
}

/** Fields that are not as they travel. */
const READ: Partial<Record<keyof TableRow, (value: unknown) => unknown>> = {
  variables: (value) => bag(value as object),
  questions: asked,
};

function fill(rows: (TableRow | undefined)[], name: keyof TableRow, column: Column): void {
  const read = READ[name];
  spread(rows, column, (row, value) => {
    (row as unknown as Record<string, unknown>)[name] = read ? read(value) : value;
  });
}

function asked(value: unknown): Row["questions"] {
  const pairs = (value ?? []) as [string, string][];
  return pairs.map(([key, message]) => ({ key, message }));
}

function listed(rows: Patch["rows"]): number[] {
  if (Array.isArray(rows)) return rows;
  return Array.from({ length: rows.count }, (_, index) => rows.first + index);
}
