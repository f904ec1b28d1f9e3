export type Link = "live" | "busy" | "static";

const ANSWER_TIMEOUT_MS = 1000;
const PING_INTERVAL_MS = 2000;

/**
 * Tells a kernel that answers slowly from one that does not read its messages at all.
 *
 * Nothing is sent while nothing is awaited. What the kernel streams by itself proves nothing: it can
 * talk while it cannot listen. Only an answer counts.
 */
export class Liveness {
  link: Link = "live";
  #awaited = 0;
  #number = 0;
  #pinged = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly ping: (n: number) => void,
    private readonly changed: (link: Link) => void,
  ) {}

  /** Something was sent that will be answered. */
  expect(): void {
    this.#awaited += 1;
    if (this.#timer === undefined && !this.#pinged) this.#wait(ANSWER_TIMEOUT_MS);
  }

  /** One awaited answer came, or is no longer wanted. */
  settle(answered = true): void {
    this.#awaited = Math.max(0, this.#awaited - 1);
    if (answered) this.#heard();
    else if (this.#awaited === 0 && !this.#pinged) this.#stop();
  }

  pong(n: number): void {
    if (n === this.#number) this.#heard();
  }

  /** The comm itself is gone (true) or back (false). */
  setStatic(value: boolean): void {
    if (value) {
      this.#stop();
      this.#pinged = false;
      this.#awaited = 0;
    }
    this.#become(value ? "static" : "live");
  }

  dispose(): void {
    this.#stop();
    this.#pinged = true;
  }

  #heard(): void {
    this.#stop();
    this.#pinged = false;
    if (this.link === "busy") this.#become("live");
    if (this.#awaited > 0) this.#wait(PING_INTERVAL_MS);
  }

  #wait(delay: number): void {
    this.#stop();
    if (this.link === "static") return;
    this.#timer = setTimeout(() => this.#due(), delay);
  }

  #due(): void {
    this.#timer = undefined;
    if (this.#pinged) {
      // The ping waits in the kernel's queue behind everything else; a second one would only lengthen it.
      this.#become("busy");
      return;
    }
    this.#pinged = true;
    this.#number += 1;
    this.ping(this.#number);
    this.#wait(ANSWER_TIMEOUT_MS);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #become(link: Link): void {
    if (link === this.link) return;
    this.link = link;
    this.changed(link);
  }
}

/** What a widget says about its link; nothing while all is well. */
export function linkText(link: Link): string {
  if (link === "busy") return "kernel busy, queued";
  if (link === "static") return "no live kernel: static snapshot";
  return "";
}
