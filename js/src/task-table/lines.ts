import { isLive, knownStatus, progressOf, STATUSES } from "../shared/task";
import { dataOf } from "./columns";
import { isEmpty, matches, parse, type Query } from "./query";
import { type Counts, noCounts, type Rows, type TableRow } from "./rows";

export type GroupBy = "server" | "tool" | "status" | "set";

/** How a person wants the rows; see the traits of MESSAGES.md. */
export interface Wish {
  filter: string;
  sort: string;
  group: GroupBy | null;
  folded: string[];
}

export interface Group {
  name: string;
  count: number;
  counts: Counts;
  /** Mean over its rows, 0..1. */
  progress: number;
  folded: boolean;
}

/** Milliseconds between two new orders while rows stream in: lines that jump about can't be read. */
const REORDER_INTERVAL_MS = 500;

/**
 * Which lines the table has: rows by number, and groups as -1, -2, …
 *
 * What changed is taken out of the order and merged in again, so a thousand changes among many rows cost
 * a walk over the list and no sort.
 */
export class Lines {
  groups: Group[] = [];
  /** Grows when the list of lines is another one. */
  generation = 0;
  /** Rows that passed the filter. */
  matching = 0;
  #list: number[] = [];
  #order: number[] = [];
  #position = new Int32Array(0);
  #wish: Wish = { filter: "", sort: "", group: null, folded: [] };
  #query: Query = parse("");
  #compare: ((a: TableRow, b: TableRow) => number) | null = null;
  #seen = -1;
  #size = 0;
  #stale: number[] = [];
  #due = 0;
  #rebuild = true;
  #regroup = true;

  constructor(private readonly rows: Rows) {}

  get count(): number {
    return this.#list.length;
  }

  /** The line at a place: a row's number, or -1 - index of a group. */
  at(index: number): number {
    return this.#list[index] ?? 0;
  }

  /** Where a row is among the lines, or -1. */
  indexOf(n: number): number {
    return this.#position[n] ?? -1;
  }

  indexOfGroup(name: string): number {
    const index = this.groups.findIndex((group) => group.name === name);
    return index < 0 ? -1 : this.#list.indexOf(-1 - index);
  }

  /** All rows that pass the filter, folded or not. */
  get order(): readonly number[] {
    return this.#order;
  }

  want(wish: Wish): void {
    const { filter, sort, group, folded } = this.#wish;
    if (filter !== wish.filter || sort !== wish.sort) this.#rebuild = true;
    if (group !== wish.group || String(folded) !== String(wish.folded)) this.#regroup = true;
    this.#wish = wish;
    this.#query = parse(wish.filter);
    this.#compare = comparator(wish.sort);
  }

  /** Brings the lines up to date; returns the milliseconds after which to come again, if it was too early. */
  update(now: number): number | null {
    if (this.#seen !== this.rows.generation) this.#rebuild = true;
    this.#collect();
    if (this.#rebuild) this.#fromScratch();
    else if (this.#stale.length === 0 || this.#indifferent) {
      this.#append();
      if (!this.#regroup) return null;
    } else if (now < this.#due && !this.#regroup) return this.#due - now;
    else this.#merge();
    this.#layOut();
    this.#due = now + REORDER_INTERVAL_MS;
    return null;
  }

  /** The rows that changed since the last time. */
  #collect(): void {
    const { changed } = this.rows;
    if (changed.length === 0) return;
    this.rows.changed = [];
    this.#stale = this.#stale.length === 0 ? changed : this.#stale.concat(changed);
  }

  /** Whether the order of starting is all there is to it. */
  get #indifferent(): boolean {
    return !this.#compare && !this.#wish.group && isEmpty(this.#query);
  }

  #fromScratch(): void {
    const order: number[] = [];
    const empty = isEmpty(this.#query);
    for (let n = 0; n < this.rows.size; n += 1) {
      if (empty || matches(this.rows.get(n) as TableRow, this.#query)) order.push(n);
    }
    this.#order = this.#sorted(order);
    this.#seen = this.rows.generation;
    this.#size = this.rows.size;
    this.#stale = [];
    this.#rebuild = false;
    this.#regroup = true;
  }

  #sorted(numbers: number[]): number[] {
    const compare = this.#compare;
    if (!compare) return numbers.sort((a, b) => a - b);
    const rows = numbers.map((n) => this.rows.get(n) as TableRow);
    return rows.sort((a, b) => compare(a, b) || a.n - b.n).map((row) => row.n);
  }

  /** New rows come last, and nothing else changes. */
  #append(): void {
    this.#stale = [];
    if (this.#size === this.rows.size) return;
    const position = new Int32Array(this.rows.size);
    position.set(this.#position.subarray(0, this.#size));
    for (let n = this.#size; n < this.rows.size; n += 1) {
      position[n] = this.#list.length;
      this.#list.push(n);
    }
    this.#order = this.#list;
    this.#position = position;
    this.#size = this.rows.size;
    this.matching = this.#list.length;
    this.generation += 1;
  }

  #merge(): void {
    const moved = new Uint8Array(this.rows.size);
    const fresh: number[] = [];
    for (const n of this.#stale) {
      if (moved[n]) continue;
      moved[n] = 1;
      if (matches(this.rows.get(n) as TableRow, this.#query)) fresh.push(n);
    }
    const staying = this.#order.filter((n) => !moved[n]);
    this.#order = this.#interleaved(staying, this.#sorted(fresh));
    this.#size = this.rows.size;
    this.#stale = [];
  }

  /** Two sorted lists as one. */
  #interleaved(staying: number[], incoming: number[]): number[] {
    const compare = this.#compare;
    const before = (a: number, b: number) =>
      (compare?.(this.rows.get(a) as TableRow, this.rows.get(b) as TableRow) || a - b) <= 0;
    const merged: number[] = [];
    let next = 0;
    for (const n of staying) {
      while (next < incoming.length && before(incoming[next] as number, n)) {
        merged.push(incoming[next++] as number);
      }
      merged.push(n);
    }
    return merged.concat(incoming.slice(next));
  }

  #layOut(): void {
    const { group } = this.#wish;
    this.matching = this.#order.length;
    this.groups = [];
    if (group) this.#grouped(group);
    else this.#list = this.#order;
    const position = new Int32Array(this.rows.size).fill(-1);
    for (let index = 0; index < this.#list.length; index += 1) {
      const line = this.#list[index] as number;
      if (line >= 0) position[line] = index;
    }
    this.#position = position;
    this.#regroup = false;
    this.generation += 1;
  }

  #grouped(by: GroupBy): void {
    const members = this.#members(by);
    const rank = (name: string) => (STATUSES as readonly string[]).indexOf(name);
    const names = [...members.keys()].sort((a, b) =>
      by === "status" ? rank(a) - rank(b) : a.localeCompare(b),
    );
    const folded = new Set(this.#wish.folded);
    const list: number[] = [];
    for (const name of names) {
      const inside = members.get(name) as number[];
      this.groups.push({ name, folded: folded.has(name), ...this.#tally(inside) });
      list.push(-this.groups.length);
      if (!folded.has(name)) for (const n of inside) list.push(n);
    }
    this.#list = list;
  }

  #members(by: GroupBy): Map<string, number[]> {
    const members = new Map<string, number[]>();
    for (const n of this.#order) {
      const name = (this.rows.get(n) as TableRow)[by] ?? "";
      const list = members.get(name);
      if (list) list.push(n);
      else members.set(name, [n]);
    }
    return members;
  }

  #tally(inside: number[]): Pick<Group, "count" | "counts" | "progress"> {
    const counts = noCounts();
    let progress = 0;
    for (const n of inside) {
      const row = this.rows.get(n) as TableRow;
      counts[knownStatus(row.status)] += 1;
      progress += isLive(row) ? (progressOf(row) ?? 0) : 1;
    }
    return { count: inside.length, counts, progress: progress / inside.length };
  }
}

type Key = (row: TableRow) => string | number | null;

const KEYS: Record<string, Key> = {
  n: (row) => row.n,
  server: (row) => row.server,
  tool: (row) => row.tool,
  set: (row) => row.set,
  id: (row) => row.taskId,
  status: (row) => STATUSES.indexOf(knownStatus(row.status)),
  progress: progressOf,
  message: (row) => row.error ?? row.message,
  // Later is younger.
  age: (row) => -row.started,
  // What still runs is counted from its start: among the running, the order never changes.
  duration: (row) =>
    row.status === "queued" ? null : (row.ended === null ? Date.now() : row.ended) - row.started,
  ttl: (row) => (row.ttl === null ? null : row.started + row.ttl),
  variables: (row) => Object.keys(row.variables).length,
};

function keyOf(column: string): Key | null {
  if (!column.includes(".")) return KEYS[column] ?? null;
  return (row) => {
    const value = dataOf(row, column) ?? null;
    if (typeof value === "number" || value === null || value === "nan")
      return value === "nan" ? null : value;
    // Infinities, and numbers with more digits than a browser has, travel as texts.
    const number = /^-?(inf|\d{16,})$/.test(String(value))
      ? String(value).replace("inf", "Infinity")
      : Number.NaN;
    return Number.isNaN(Number(number)) ? String(value) : Number(number);
  };
}

/** By a column's name, "-" before it for descending. What has no value comes last either way. */
export function comparator(sort: string): ((a: TableRow, b: TableRow) => number) | null {
  const key = keyOf(sort.replace(/^-/, ""));
  if (!key) return null;
  const sign = sort.startsWith("-") ? -1 : 1;
  return (left, right) => ordered(key(left), key(right), sign);
}

/** Numbers come before texts. */
function ordered(a: ReturnType<Key>, b: ReturnType<Key>, sign: number): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  const first = typeof a === typeof b ? a < b : typeof a === "number";
  return first ? -sign : sign;
}
