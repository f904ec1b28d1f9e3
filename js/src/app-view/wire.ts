/** A view's end of the comm, of which each part of the view hears what is for it. */
import type { Model } from "../shared/anywidget";
import { Channel, type Message } from "../shared/channel";
import type { Link } from "../shared/liveness";

/** Milliseconds. A hello costs the notebook and the kernel several messages, of which the app's paint has none to spare. */
const HELLO_DELAY_MS = 1000;

type Receive = (payload: Record<string, unknown>, message: Message) => void;

export class Wire extends Channel {
  readonly #parts = new Map<string, Receive>();
  readonly #watchers: ((link: Link) => void)[] = [];

  constructor(model: Model, signal: AbortSignal) {
    super({
      model,
      signal,
      seq: () => 0,
      receive: (message) => {
        const payload = (message.payload ?? {}) as Record<string, unknown>;
        this.#parts.get(message.kind)?.(payload, message);
      },
      linked: (link) => {
        for (const changed of this.#watchers) changed(link);
      },
      helloDelay: HELLO_DELAY_MS,
    });
  }

  /** What is received of a kind goes to one part. */
  on(kind: string, receive: Receive): void {
    this.#parts.set(kind, receive);
  }

  /** Calls back with the link now and with every later one. */
  watch(changed: (link: Link) => void): void {
    this.#watchers.push(changed);
    changed(this.link);
  }

  event(event: string, payload: unknown): void {
    this.send({ kind: "event", event, payload });
  }
}
