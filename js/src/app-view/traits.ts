/** What the kernel says of an app in the traits of the widget's model; see MESSAGES.md. */

import type { Stored } from "../prelude/names";
import { hasKernel, listen, type Model } from "../shared/anywidget";
import type { Policy, Resource } from "./frame";

/** The `_call` trait. */
export interface Call {
  tool?: Record<string, unknown> | null;
  /** None until all of them are known. */
  arguments?: Record<string, unknown> | null;
  /** Counts the calls that one view is shown, one after the other. */
  number?: number;
  /** What is known of them so far. */
  partial?: Record<string, unknown> | null;
  result?: Record<string, unknown> | null;
  cancelled?: string | null;
  error?: string | null;
  /** Counts the calls that the view began anew with. */
  turn?: number;
}

/** The `_host` trait. */
export interface Host {
  info: { name: string; version: string };
  capabilities: Record<string, unknown>;
  initTimeout: number;
  server: string;
  /** What an app that declares nothing gets. */
  policy?: Policy;
  /** The host that is played; `only` names it for people, where an app gets nothing but what that one has. */
  only?: string | null;
  /** Why what is shown is not what it is now. */
  stale?: string | null;
  profile?: string;
}

const HOST: Host = {
  info: { name: "pmcp_lab", version: "0" },
  capabilities: {},
  initTimeout: 10_000,
  server: "",
};

/** What an app may have without a kernel: nothing from anywhere. */
const SEALED: Partial<Resource> = {
  csp: "default-src 'unsafe-inline' data: blob:; frame-src 'none'; base-uri 'none'; form-action 'none'",
  allow: "",
  proxy: null,
  wanted: {},
};

/** The `_resource` trait, of which a file, that may be anybody's, says what the app is, and not what it may reach. */
export function resourceOf(model: Model): Resource | null {
  const resource = model.get("_resource") as Resource | null;
  return resource && hasKernel(model) === false ? { ...resource, ...SEALED } : resource;
}

export class Traits {
  constructor(
    private readonly model: Model,
    private readonly signal: AbortSignal,
  ) {}

  get call(): Call | null {
    return this.#get("_call");
  }

  get resource(): Resource | null {
    return resourceOf(this.model);
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

  /** The models of cards. */
  get cards(): string[] {
    return this.#get("_cards") ?? [];
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
