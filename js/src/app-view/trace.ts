import { weigh } from "./jsonrpc";

const MAX_ENTRIES = 500;
const MAX_STEPS = 50;
const MAX_WEIGHT = 8 * 1024 * 1024;

export interface Entry {
  /** Counts from 1. */
  number: number;
  /** Of `performance.now()`. */
  at: number;
  from: "app" | "host";
  /** As it crossed the frame's edge, whatever it is. */
  message: unknown;
  /** Bytes of JSON, give or take; what weighs more than all that is kept is kept as a note. */
  size: number;
}

/** What went over the frame's edge, kept so that an inspector that is opened later has missed nothing recent. */
export class Trace {
  readonly entries: Entry[] = [];
  /** When each method was first said in the document that is shown now; besides, "opened", "document", "answered". */
  readonly steps = new Map<unknown, number>();
  /** Entries that were given up for newer ones. */
  lost = 0;
  #weight = 0;
  #count = 0;
  readonly #watchers = new Set<(entry: Entry | null) => void>();

  add(from: Entry["from"], message: unknown): void {
    const at = performance.now();
    const { method, result } = (message ?? {}) as Record<string, unknown>;
    const answer = (result as { hostContext?: unknown } | undefined)?.hostContext;
    this.#step(answer ? "answered" : method, at);
    const size = weigh(message, MAX_WEIGHT);
    const kept = size > MAX_WEIGHT ? { method, note: "too large to be kept" } : message;
    this.#count += 1;
    const entry = { number: this.#count, at, from, message: kept, size };
    this.entries.push(entry);
    this.#weight += Math.min(size, MAX_WEIGHT);
    const full = () => this.entries.length > MAX_ENTRIES || this.#weight > MAX_WEIGHT;
    while (full() && this.entries.length > 1) {
      this.#weight -= Math.min((this.entries.shift() as Entry).size, MAX_WEIGHT);
      this.lost += 1;
    }
    for (const watcher of this.#watchers) watcher(entry);
  }

  /** Taken now, if it was not before. An app that asks twice has a new document. */
  #step(step: unknown, at: number): void {
    if (step === "ui/initialize" && this.steps.has(step)) this.begin("document");
    if (step && !this.steps.has(step) && this.steps.size < MAX_STEPS) this.steps.set(step, at);
  }

  /** The frame is opened anew, or takes a new document. */
  begin(step: "opened" | "document"): void {
    if (step === "opened" || this.steps.has("document")) this.steps.clear();
    this.steps.set(step, performance.now());
    for (const watcher of this.#watchers) watcher(null);
  }

  clear(): void {
    this.entries.length = 0;
    this.#weight = 0;
    this.lost = 0;
  }

  /** Calls back with each new entry, and with null when only a step was taken. */
  watch(watcher: (entry: Entry | null) => void, signal: AbortSignal): void {
    this.#watchers.add(watcher);
    signal.addEventListener("abort", () => this.#watchers.delete(watcher));
  }
}
