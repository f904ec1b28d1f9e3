/** The kernel's clock as seen from here, and the one timer that all elapsed times share. */
export class KernelClock {
  #offset: number | null = null;
  #frozen: number | null = null;

  /** `fresh` forgets what earlier messages said (a new answer from the kernel). */
  hear(now: unknown, fresh = false): void {
    if (typeof now !== "number" || !Number.isFinite(now)) return;
    const offset = now - Date.now();
    // A message that waited somewhere makes the kernel look late, never early.
    this.#offset = fresh || this.#offset === null ? offset : Math.max(this.#offset, offset);
  }

  /** A static snapshot does not age. */
  freeze(now: number | null): void {
    this.#frozen = now;
  }

  get frozen(): boolean {
    return this.#frozen !== null;
  }

  now(): number {
    return this.#frozen ?? Date.now() + (this.#offset ?? 0);
  }
}

const tickers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Calls back once a second until the returned function is called. */
export function everySecond(callback: () => void): () => void {
  tickers.add(callback);
  timer ??= setInterval(() => {
    for (const each of tickers) each();
  }, 1000);
  return () => {
    tickers.delete(callback);
    if (tickers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}
