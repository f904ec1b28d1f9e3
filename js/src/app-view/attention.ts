import type { Wire } from "./wire";

/** How long an app that nobody can see goes on as before: what a click began may take several requests. */
const HIDDEN_GRACE_MS = 3000;

/**
 * Whether anybody can see the view. In a page in the background, or a notebook behind another tab, an app that asks
 * its server again and again would do so for nobody; what it asks waits until it is seen again.
 */
export class Attention {
  paused = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = false;
  #waiting: (() => void)[] = [];

  constructor(
    private readonly node: HTMLElement,
    private readonly wire: Wire,
    signal: AbortSignal,
  ) {
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    const observer = new ResizeObserver(() => this.#look());
    observer.observe(node);
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      observer.disconnect();
      this.#resume();
    });
  }

  /** Null while somebody can see it, which is nearly always. */
  get seen(): Promise<void> | null {
    return this.paused ? new Promise((resolve) => this.#waiting.push(resolve)) : null;
  }

  #look(): void {
    const rendered = this.node.clientWidth > 0;
    // What was not laid out yet is not hidden.
    this.#shown ||= rendered;
    if (document.hidden || (this.#shown && !rendered)) {
      this.#timer ??= setTimeout(() => this.#pause(), HIDDEN_GRACE_MS);
    } else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#resume();
    }
  }

  #pause(): void {
    this.paused = true;
    this.wire.event("paused", {});
  }

  #resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.wire.event("resumed", {});
    for (const go of this.#waiting.splice(0)) go();
  }
}
