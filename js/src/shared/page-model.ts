import type { Model } from "./anywidget";

type Callback = (value?: unknown) => void;

/** An anywidget model for a page without Jupyter: state, and messages that somebody else carries. */
export class PageModel implements Model {
  readonly #state: Record<string, unknown>;
  readonly #callbacks = new Map<string, Set<Callback>>();
  #live = true;

  constructor(
    state: Record<string, unknown>,
    private readonly carry: (content: object) => void,
  ) {
    this.#state = { ...state };
  }

  get(name: string): unknown {
    // What tells of the comm in a notebook.
    return name === "layout" ? { comm_live: this.#live } : this.#state[name];
  }

  set(name: string, value: unknown): void {
    this.#state[name] = value;
    this.#emit(`change:${name}`, value);
  }

  /** Only the other end changes what is kept here. */
  save_changes(): void {}

  send(content: object): void {
    this.carry(content);
  }

  on(event: string, callback: Callback): void {
    const known = this.#callbacks.get(event) ?? new Set();
    this.#callbacks.set(event, known.add(callback));
  }

  off(event: string, callback: Callback): void {
    this.#callbacks.get(event)?.delete(callback);
  }

  /** Traits from the other end. */
  assign(traits: Record<string, unknown>): void {
    Object.assign(this.#state, traits);
    for (const [name, value] of Object.entries(traits)) this.#emit(`change:${name}`, value);
  }

  /** A message from the other end. */
  arrived(content: unknown): void {
    this.#emit("msg:custom", content);
  }

  /** Whether there is another end. */
  setLive(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.#emit("comm_live_update");
  }

  #emit(event: string, value?: unknown): void {
    for (const callback of [...(this.#callbacks.get(event) ?? [])]) callback(value);
  }
}
