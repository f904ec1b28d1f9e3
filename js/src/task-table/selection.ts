/** Which rows are selected, by number, and what clicks and keys make of that. */
export class Selection {
  #rows = new Set<number>();
  #anchor: number | null = null;

  get size(): number {
    return this.#rows.size;
  }

  has(n: number): boolean {
    return this.#rows.has(n);
  }

  [Symbol.iterator](): IterableIterator<number> {
    return this.#rows.values();
  }

  only(n: number): void {
    this.#rows = new Set([n]);
    this.#anchor = n;
  }

  toggle(n: number): void {
    if (!this.#rows.delete(n)) this.#rows.add(n);
    this.#anchor = n;
  }

  all(rows: Iterable<number>): void {
    this.#rows = new Set(rows);
  }

  clear(): void {
    this.#rows = new Set();
    this.#anchor = null;
  }

  /** From where the selection began to `n`, as the lines are now. */
  extend(n: number, lines: { indexOf(n: number): number; at(index: number): number }): void {
    const from = this.#anchor === null ? -1 : lines.indexOf(this.#anchor);
    const to = lines.indexOf(n);
    if (from < 0 || to < 0) {
      this.only(n);
      return;
    }
    const rows = new Set<number>();
    for (let index = Math.min(from, to); index <= Math.max(from, to); index += 1) {
      const line = lines.at(index);
      if (line >= 0) rows.add(line);
    }
    this.#rows = rows;
  }

  get ranges(): number[] {
    return toRanges(this.#rows);
  }

  set ranges(stretches: readonly number[]) {
    this.#rows = new Set();
    for (let index = 0; index + 1 < stretches.length; index += 2) {
      for (let n = stretches[index] ?? 0; n <= (stretches[index + 1] ?? -1); n += 1) {
        this.#rows.add(n);
      }
    }
  }
}

/** Numbers as stretches: first and last of each, alternating. */
export function toRanges(numbers: Iterable<number>): number[] {
  const found: number[] = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    if (found.length > 0 && found[found.length - 1] === n - 1) found[found.length - 1] = n;
    else found.push(n, n);
  }
  return found;
}
