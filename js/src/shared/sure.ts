const TIMEOUT_MS = 5000;

/** A button that means it at the second click, within five seconds of the first. */
export class Sure {
  /** Whether it was clicked once. */
  asked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly changed: () => void) {}

  /** Whether this click is the one that counts. */
  press(): boolean {
    const second = this.asked;
    this.reset(!second);
    return second;
  }

  reset(asked = false): void {
    clearTimeout(this.#timer);
    if (asked) this.#timer = setTimeout(() => this.reset(), TIMEOUT_MS);
    if (asked === this.asked) return;
    this.asked = asked;
    this.changed();
  }
}
