/** A view's end of the comm, of which each part of the view hears what is for it. */
import type { Model } from "../shared/anywidget";
import { Channel, type Link, type Message } from "../shared/channel";
import type { Changes } from "./changes";

/** Milliseconds. A hello costs the notebook and the kernel several messages, of which the app's paint has none to spare. */
const HELLO_DELAY_MS = 1000;

type Receive = (payload: Record<string, unknown>, message: Message) => void;

export class Wire extends Channel {
  readonly #parts = new Map<string, Receive>();
  readonly #watchers: ((link: Link) => void)[] = [];

  constructor(model: Model, changes: Changes, signal: AbortSignal) {
    super({
      model,
      signal,
      // Changes of traits are counted as well: one that was missed, or came after a newer, is none to build on.
      seq: () => changes.last,
      // Until the call is settled. After that it is looked for when the kernel had something to do.
      open: () => {
        const { result, cancelled, error } = (model.get("_call") ?? {}) as Record<string, unknown>;
        return !model.get("_closed") && (result ?? cancelled ?? error) == null;
      },
      receive: (message) => {
        const payload = (message.payload ?? {}) as Record<string, unknown>;
        this.#parts.get(message.kind)?.(payload, message);
      },
      linked: (link) => {
        for (const changed of this.#watchers) changed(link);
      },
      helloDelay: changes.last < 0 ? 0 : HELLO_DELAY_MS,
    });
    changes.watch(signal, () => this.hello());
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
