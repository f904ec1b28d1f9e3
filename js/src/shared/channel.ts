import { hasKernel, listen, type Model, watchKernel } from "./anywidget";
import { type Link, Liveness } from "./liveness";

/** Any message of MESSAGES.md, before its `kind` is known. */
export interface Message {
  kind: string;
  to?: string;
  seq?: number;
  now?: number;
  [field: string]: unknown;
}

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && typeof (value as Message).kind === "string";
}

export function randomId(): string {
  const words = crypto.getRandomValues(new Uint32Array(2));
  return Array.from(words, (word) => word.toString(36)).join("");
}

interface ChannelOptions {
  model: Model;
  signal: AbortSignal;
  /** The last delta this view knows of. */
  seq: () => number;
  receive: (message: Message) => void;
  /** The link is another one now. What it was at first, the channel says. */
  linked: (link: Link) => void;
  /** Milliseconds until the first hello, for a view that has better to do first and waits for nothing. */
  helloDelay?: number;
}

/** One view's end of the comm: its id, its hello, and whether anybody answers. */
export class Channel {
  readonly view = randomId();
  readonly #liveness: Liveness;
  #greeting = false;

  constructor(private readonly options: ChannelOptions) {
    const { model, signal } = options;
    this.#liveness = new Liveness((n) => this.send({ kind: "ping", n }), options.linked);
    // Not told: whoever makes a channel has none yet to ask.
    if (hasKernel(model) === false) this.#liveness.link = "static";
    listen(model, "msg:custom", signal, (content: unknown) => this.#receive(content));
    watchKernel(model, signal, () => {
      const live = hasKernel(model) !== false;
      this.#greeting = false;
      this.#liveness.setStatic(!live);
      if (live) this.hello();
    });
    signal.addEventListener("abort", () => {
      this.#liveness.dispose();
      this.send({ kind: "bye" });
    });
    if (options.helloDelay === undefined) this.hello();
    else {
      const first = setTimeout(() => this.hello(), options.helloDelay);
      signal.addEventListener("abort", () => clearTimeout(first));
    }
  }

  get link(): Link {
    return this.#liveness.link;
  }

  send(message: { kind: string; [field: string]: unknown }): void {
    if (this.link === "static") return;
    this.options.model.send({ ...message, view: this.view });
  }

  /** At most one hello is under way: a burst of gaps asks once. */
  hello(): void {
    if (this.#greeting || this.link === "static") return;
    this.#greeting = true;
    this.#liveness.expect();
    this.send({ kind: "hello", seq: this.options.seq() });
  }

  expect(): void {
    this.#liveness.expect();
  }

  settle(answered = true): void {
    this.#liveness.settle(answered);
  }

  #receive(content: unknown): void {
    if (!isMessage(content)) return;
    if (content.to !== undefined && content.to !== this.view) return;
    if (content.kind === "pong") {
      this.#liveness.pong(Number(content.n));
      return;
    }
    if ((content.kind === "welcome" || content.kind === "state") && this.#greeting) {
      this.#greeting = false;
      this.#liveness.settle();
    }
    this.options.receive(content);
  }
}
