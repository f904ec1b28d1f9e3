import type { Message } from "../shared/channel";
import type { Sink } from "../shared/feed";
import { knownStatus, type Row, STATUSES, type Status } from "../shared/task";

export type Counts = Record<Status, number>;

function noCounts(): Counts {
  return Object.fromEntries(STATUSES.map((status) => [status, 0])) as Counts;
}

/** The table's rows by key, in the order the kernel first named them, with running totals. */
export class Rows implements Sink {
  title: string | null = null;
  counts: Counts = noCounts();
  /** Grows with every change of the set of rows or of a status: the order must be computed anew. */
  generation = 0;
  #rows = new Map<string, Row>();
  #order: { of: string; keys: string[] } | null = null;

  get size(): number {
    return this.#rows.size;
  }

  get live(): number {
    return this.counts.working + this.counts.input_required;
  }

  get(key: string): Row | undefined {
    return this.#rows.get(key);
  }

  /** The keys to show, `only` those of one status if given. Cached until the rows change. */
  keys(only: Status | null): string[] {
    const of = `${this.generation}/${only}`;
    if (this.#order?.of !== of) {
      const keys: string[] = [];
      for (const [key, row] of this.#rows) {
        if (only === null || knownStatus(row.status) === only) keys.push(key);
      }
      this.#order = { of, keys };
    }
    return this.#order.keys;
  }

  replace(state: unknown): void {
    const { rows, title } = (state ?? {}) as { rows?: Row[]; title?: string };
    this.#rows = new Map();
    this.counts = noCounts();
    this.title = title ?? null;
    this.generation += 1;
    for (const row of rows ?? []) this.#put(row);
  }

  apply(delta: Message): void {
    for (const row of (delta.rows as Row[] | undefined) ?? []) this.#put(row);
    for (const key of (delta.removed as string[] | undefined) ?? []) this.#drop(key);
  }

  #put(row: Row): void {
    const before = this.#rows.get(row.key);
    this.#rows.set(row.key, row);
    if (before?.status === row.status) return;
    if (before) this.counts[knownStatus(before.status)] -= 1;
    this.counts[knownStatus(row.status)] += 1;
    this.generation += 1;
  }

  #drop(key: string): void {
    const row = this.#rows.get(key);
    if (!row) return;
    this.counts[knownStatus(row.status)] -= 1;
    this.#rows.delete(key);
    this.generation += 1;
  }
}
