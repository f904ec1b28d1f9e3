/** What the kernel says of an app in the traits of the widget's model; see MESSAGES.md. */

import type { Stored } from "../prelude/names";
import { listen, type Model } from "../shared/anywidget";
import type { Call, Host } from "./bridge";
import type { Resource } from "./frame";

const HOST: Host = {
  info: { name: "pmcp_lab", version: "0" },
  capabilities: {},
  initTimeout: 10_000,
  server: "",
};

export class Traits {
  constructor(
    private readonly model: Model,
    private readonly signal: AbortSignal,
  ) {}

  get call(): Call | null {
    return this.#get("_call");
  }

  get resource(): Resource | null {
    return this.#get("_resource");
  }

  get host(): Host {
    return { ...HOST, ...this.#get<Partial<Host>>("_host") };
  }

  get prelude(): string {
    return this.#get("_prelude") ?? "";
  }

  get stored(): Stored | null {
    return this.#get("_storage");
  }

  get closed(): boolean {
    return this.#get("_closed") === true;
  }

  /** Calls back after each change of the trait. */
  on(trait: string, changed: () => void): void {
    listen(this.model, `change:${trait}`, this.signal, changed);
  }

  /** Calls back with the trait's value now, though never before the view is made, and with every later one. */
  follow<T>(trait: string, changed: (value: T | null) => void): void {
    const tell = () => changed(this.#get(trait));
    this.on(trait, tell);
    // The frame before all else: nothing may stand between the person and the app's first paint.
    if (this.#get(trait)) queueMicrotask(tell);
  }

  #get<T>(trait: string): T | null {
    return this.model.get(trait) as T | null;
  }
}
