import { hasKernel, listen, type Model, watchKernel } from "./anywidget";
import type { Channel, Message } from "./channel";
import { KernelClock } from "./clock";

/** What a widget's store does with what arrives; both answer nothing and throw nothing. */
export interface Sink {
  replace(state: unknown): void;
  apply(delta: Message): void;
}

/**
 * One model's stream of deltas, whatever number of views look at it.
 *
 * It lives as long as the model does, so a view that is mounted again paints from it at once, and it
 * applies every delta exactly once.
 */
export class Feed {
  readonly clock = new KernelClock();
  seq = 0;
  /** False until any state was seen. */
  filled = false;
  readonly #channels = new Set<Channel>();
  readonly #watchers = new Set<() => void>();

  constructor(
    private readonly model: Model,
    signal: AbortSignal,
    private readonly sink: Sink,
  ) {
    this.#adopt(model.get("_state"), false);
    this.#settle();
    listen(model, "change:_state", signal, () => this.#adopt(model.get("_state"), true));
    listen(model, "msg:custom", signal, (content: unknown) => this.receive(content as Message));
    watchKernel(model, signal, () => this.#settle());
  }

  /** Registers a mounted view: its channel asks when something was missed. */
  attach(channel: Channel, changed: () => void, signal: AbortSignal): void {
    this.#channels.add(channel);
    this.#watchers.add(changed);
    signal.addEventListener("abort", () => {
      this.#channels.delete(channel);
      this.#watchers.delete(changed);
    });
  }

  receive(message: Message): void {
    switch (message?.kind) {
      case "welcome":
        this.clock.hear(message.now, true);
        break;
      case "state":
        this.clock.hear(message.now, true);
        // One that is late, or came twice, is older than what is here.
        if (this.filled && !(Number(message.seq) > this.seq)) return;
        this.#replace(message.seq, message.state);
        break;
      case "delta":
      case "rows":
        this.clock.hear(message.now);
        if (message.seq !== this.seq + 1) {
          if (Number(message.seq) > this.seq) this.#missed();
          return;
        }
        this.seq = message.seq;
        this.sink.apply(message);
        break;
      default:
        return;
    }
    this.#changed();
  }

  #missed(): void {
    const [channel] = this.#channels;
    // Nobody is looking: the next view to be mounted will ask.
    channel?.hello();
  }

  #adopt(trait: unknown, onlyNewer: boolean): void {
    const { seq, now, state } = (trait ?? {}) as { seq?: number; now?: number; state?: unknown };
    if (typeof seq !== "number" || !state || (onlyNewer && seq <= this.seq)) return;
    this.clock.hear(now);
    this.#replace(seq, state);
    this.#changed();
  }

  #replace(seq: number | undefined, state: unknown): void {
    this.seq = seq ?? 0;
    this.filled = true;
    this.sink.replace(state);
  }

  /** Without a kernel the ages stay those of the last thing it said. */
  #settle(): void {
    if (hasKernel(this.model) !== false) {
      this.clock.freeze(null);
    } else if (!this.clock.frozen) {
      const saved = this.model.get("_state") as { seq?: number; now?: number } | null;
      const current = saved?.seq === this.seq && typeof saved?.now === "number";
      this.clock.freeze(current ? (saved.now ?? null) : this.clock.now());
    }
    this.#changed();
  }

  #changed(): void {
    for (const each of this.#watchers) each();
  }
}
