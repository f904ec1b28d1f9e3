import { hasKernel, listen, type Model, watchKernel } from "./anywidget";
import { type Line, lineOf, type Member, type Standing } from "./line";

/** Any message of MESSAGES.md, before its `kind` is known. */
export interface Message {
  kind: string;
  to?: string;
  seq?: number;
  now?: number;
  [field: string]: unknown;
}

/** "busy" is a kernel that does not answer, whatever the reason. */
export type Link = "live" | "busy" | "static";

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
  /** Whether something that the view shows may still change. */
  open: () => boolean;
  receive: (message: Message) => void;
  /** The link, or what is to be said of it, is another one now. What it was at first, the channel says. */
  linked: (link: Link) => void;
  /** Milliseconds until the first hello, for a view that has better to do first and waits for nothing. */
  helloDelay?: number;
}

/**
 * One view's end of the comm. What it sends arrives once and in its order, and so do replies, whatever is lost, late
 * or said twice on the way; both ends count, and the line's pings compare.
 */
export class Channel implements Member {
  readonly view = randomId();
  heard = 0;
  readonly #line: Line;
  #static: boolean;
  /** Commands that the kernel is not known to have taken, and how many pings were sent before each. */
  #commands: { message: object; command: number; n: number }[] = [];
  #sent = 0;
  #awaited = 0;
  /** How many pings were sent before the hello that is under way. */
  #greeting: number | null = null;
  /** Whether anything might have been missed, until the kernel's count says no. */
  #unsure = false;

  constructor(private readonly options: ChannelOptions) {
    const { model, signal, helloDelay } = options;
    this.#line = lineOf(model);
    this.#static = hasKernel(model) === false;
    if (!this.#static) this.#line.join(this);
    listen(model, "msg:custom", signal, (content: unknown) => this.#receive(content));
    watchKernel(model, signal, () => this.#watch(hasKernel(model) === false));
    const first =
      helloDelay === undefined ? this.hello() : setTimeout(() => this.hello(), helloDelay);
    signal.addEventListener("abort", () => {
      clearTimeout(first as number | undefined);
      this.#line.leave(this);
      for (const { message } of this.#commands) this.post(message);
      this.send({ kind: "bye" });
    });
  }

  get link(): Link {
    if (this.#static) return "static";
    return this.trouble() ? "busy" : "live";
  }

  /** What is to be said of a kernel that does not answer; nothing of one that does, or of which nothing is wanted. */
  trouble(whom = "kernel"): string {
    return this.waiting || this.options.open() ? this.#line.text(whom) : "";
  }

  get waiting(): boolean {
    return this.#unsure || this.#awaited > 0 || this.#commands.length > 0;
  }

  get open(): boolean {
    return !document.hidden && this.options.open();
  }

  /** Arrives, unless the kernel is gone. */
  send(content: { kind: string; [field: string]: unknown }): void {
    if (this.#static) return;
    this.#sent += 1;
    const message = { ...content, command: this.#sent };
    this.post(message);
    this.#commands.push({ message, command: this.#sent, n: this.#line.n });
    this.#line.expect();
  }

  post(message: object): void {
    this.options.model.send({ ...message, view: this.view });
  }

  /** At most one hello is under way: a burst of gaps asks once. */
  hello(): void {
    if (this.#greeting !== null || this.#static) return;
    this.#greeting = this.#line.n;
    this.#unsure = true;
    this.post({ kind: "hello", seq: this.options.seq(), heard: this.heard });
    this.#line.expect();
  }

  expect(): void {
    this.#awaited += 1;
    this.#line.expect();
  }

  settle(): void {
    this.#awaited = Math.max(0, this.#awaited - 1);
  }

  told(standing: Standing | null, n: number): void {
    const [seq, taken, said, first] = standing ?? [0, 0, 0, 1];
    this.#commands = this.#commands.filter(({ command }) => command > taken);
    // What was sent after the ping may still be on its way.
    for (const each of this.#commands) if (each.n < n) this.post(each.message);
    // What the kernel no longer has is lost for good.
    this.heard = Math.max(this.heard, first - 1);
    this.#unsure = !standing || seq > this.options.seq() || said > this.heard;
    if (this.#greeting !== null && this.#greeting < n) this.#greeting = null;
    if (this.#unsure) this.hello();
  }

  linked(): void {
    this.options.linked(this.link);
  }

  #watch(gone: boolean): void {
    this.#static = gone;
    this.#greeting = null;
    if (gone) {
      this.#commands = [];
      this.#awaited = 0;
      this.#unsure = false;
      this.#line.leave(this);
    } else {
      this.#line.join(this);
      this.hello();
    }
    this.linked();
  }

  #receive(content: unknown): void {
    if (!isMessage(content)) return;
    const { kind, to } = content;
    if (to !== undefined && to !== this.view) return;
    if (kind === "pong") {
      this.#line.pong(Number(content.n), content.views as Record<string, Standing | null>);
    } else if (this.#next(content)) {
      if (to && (kind === "welcome" || kind === "state")) this.#greeting = null;
      this.#line.stir();
      this.options.receive(content);
    }
  }

  /** Whether it is to be heard now: what has a number is, once and in its order. */
  #next({ reply, replies }: Message): boolean {
    const number = reply ?? (replies as Record<string, unknown> | undefined)?.[this.view];
    if (typeof number !== "number") return true;
    if (number > this.heard + 1) this.hello();
    if (number !== this.heard + 1) return false;
    this.heard = number;
    return true;
  }
}
