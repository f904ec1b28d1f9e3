import { listen, type Model } from "../shared/anywidget";

/** The changes of a model's traits, from when the model was made: one may be lost before there is a view. */
export class Changes {
  /** The last one, or -1 when one before it is missing, or came after it. */
  last: number;
  readonly #watchers = new Set<() => void>();

  constructor(model: Model, signal: AbortSignal) {
    const number = (trait: string) => Number(model.get(trait)) || 0;
    this.last = number("_seq");
    const count = () => {
      const now = number("_seq");
      const next = now === this.last + 1;
      this.last = next || now === number("_whole") ? now : -1;
      if (!next) for (const missed of this.#watchers) missed();
    };
    for (const trait of ["_seq", "_whole"]) listen(model, `change:${trait}`, signal, count);
  }

  /** Calls back when the kernel is to be asked for all of them, until the signal aborts. */
  watch(signal: AbortSignal, missed: () => void): void {
    this.#watchers.add(missed);
    signal.addEventListener("abort", () => this.#watchers.delete(missed), { once: true });
  }
}
