import type { McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import { element } from "../shared/dom";
import type { CallPayload, DisplayMode } from "./bridge";
import type { Resource } from "./frame";
import type { Pretence } from "./host-context";
import type { Trace } from "./trace";

/** What the inspector sees of a view, and what it can do to it. */
export interface Inspected {
  readonly trace: Trace;
  readonly server: string;
  readonly resource: Resource | null;
  readonly mode: DisplayMode;
  /** What the app is told of its surroundings now. */
  context(): McpUiHostContext;
  /** Tell the app this instead of the truth; replaces what was pretended before. */
  pretend(pretence: Pretence): void;
  /** Keep the app to a size in pixels; what is not named is the page's. */
  limit(size: Partial<Record<"width" | "height", number>>): void;
  /** The page around the view has the controls of the host context already. */
  controlled?: boolean;
  /** The mode that is in force then. */
  display(mode: DisplayMode): DisplayMode;
  /** The same request again as if the app made it; it does not hear of the answer. */
  repeat(method: string, params: unknown): Promise<CallPayload>;
}

/** What `inspector.js` exports. */
export interface InspectorModule {
  mount(panel: HTMLElement, inspected: Inspected, signal: AbortSignal): void;
}

/** The kernel's `inspector` message. */
export interface InspectorCode {
  module: string;
  style: string;
}

/**
 * Opens and closes the inspector. Its code is no part of this bundle: most apps are never inspected, and a widget's
 * code travels with every instance.
 */
export class Inspection {
  readonly panel = element("div", "pmcp-inspector");
  #life: AbortController | null = null;
  #module: Promise<InspectorModule> | null = null;

  constructor(
    private readonly inspected: Inspected,
    private readonly fetch: () => void,
    private readonly failed: (why: string) => void,
    signal: AbortSignal,
  ) {
    this.panel.hidden = true;
    signal.addEventListener("abort", () => this.#life?.abort());
  }

  get open(): boolean {
    return !this.panel.hidden;
  }

  toggle(): void {
    this.panel.hidden = this.open;
    this.#life?.abort();
    this.#life = null;
    this.panel.replaceChildren();
    if (!this.open) return;
    this.panel.append(element("p", "pmcp-empty", "Loading the inspector…"));
    if (this.#module) void this.#mount();
    else this.fetch();
  }

  arrived({ module, style }: InspectorCode): void {
    // From the kernel, so as much ours as this module is.
    const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    this.#module = import(address).finally(() => URL.revokeObjectURL(address));
    const sheet = element("style", "", style);
    this.panel.before(sheet);
    void this.#mount();
  }

  async #mount(): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    try {
      const module = await this.#module;
      if (life.signal.aborted || !this.open) return;
      this.panel.replaceChildren();
      module?.mount(this.panel, this.inspected, life.signal);
    } catch (error) {
      // A page may forbid scripts from blob addresses.
      this.#module = null;
      this.panel.hidden = true;
      this.failed(String(error));
    }
  }
}
