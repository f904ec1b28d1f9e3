/** What one document of an app leaves to the next. */
import type { Left, Stored } from "../prelude/names";
import type { Traits } from "./traits";

export class Keeping {
  /** What was typed into the document that went last. */
  left: Left | null = null;
  /** What the app stored that the kernel has not confirmed yet. */
  #unconfirmed: Stored = {};

  constructor(private readonly traits: Traits) {
    traits.on("_storage", () => this.#confirm());
  }

  store(stored: Stored): void {
    Object.assign(this.#unconfirmed, stored);
  }

  /** For the app that is opened now, whenever its document begins. What was typed goes to no later one. */
  hand(): () => Stored {
    const { left } = this;
    this.left = null;
    return () => ({ ...this.traits.stored, ...this.#unconfirmed, left });
  }

  #confirm(): void {
    const known = this.traits.stored;
    for (const name of ["local", "state"] as const) {
      const same = JSON.stringify(known?.[name]) === JSON.stringify(this.#unconfirmed[name]);
      if (same) delete this.#unconfirmed[name];
    }
  }
}
