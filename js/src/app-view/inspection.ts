import type { McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import { element } from "../shared/dom";
import type { DisplayMode } from "./bridge";
import type { Chrome } from "./chrome";
import type { CodeLoader } from "./code";
import type { Display } from "./display";
import type { Resource } from "./frame";
import type { Pretence } from "./host-context";
import type { Requests } from "./requests";
import type { Surroundings } from "./surroundings";
import type { Trace } from "./trace";
import type { Traits } from "./traits";
import type { Answer } from "./transport";

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
  repeat(method: string, params: unknown): Promise<Answer>;
}

/** A view as its inspector sees it. */
export function inspected(
  trace: Trace,
  traits: Traits,
  display: Display,
  surroundings: Surroundings,
  requests: Requests,
): Inspected {
  return {
    trace,
    get server() {
      return traits.host.server;
    },
    get resource() {
      return traits.resource;
    },
    get mode() {
      return display.mode;
    },
    context: () => surroundings.context(),
    pretend: (pretence) => surroundings.pretend(pretence),
    limit: (size) => surroundings.limit(size),
    display: (mode) => display.show(mode),
    repeat: (method, params) => requests.repeat(method, params),
  };
}

/** What `inspector.js` exports. */
export interface InspectorModule {
  mount(panel: HTMLElement, inspected: Inspected, signal: AbortSignal): void;
}

/**
 * Opens and closes the inspector. Its code is no part of this bundle: most apps are never inspected.
 */
export class Inspection {
  readonly #panel = element("div", "pmcp-inspector");
  #life: AbortController | null = null;

  constructor(
    private readonly inspected: Inspected,
    private readonly chrome: Chrome,
    private readonly code: CodeLoader,
    signal: AbortSignal,
  ) {
    chrome.root.append(this.#panel);
    this.#panel.hidden = true;
    chrome.inspect.addEventListener("click", () => this.#toggle());
    signal.addEventListener("abort", () => this.#life?.abort());
  }

  #toggle(): void {
    this.chrome.hideBar("inspector");
    this.#life?.abort();
    this.#life = null;
    this.#panel.replaceChildren();
    this.#show(this.#panel.hidden === true);
    if (this.#panel.hidden) return;
    this.#panel.append(element("p", "pmcp-empty", "Loading the inspector…"));
    void this.#mount();
  }

  async #mount(): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    try {
      const module = await this.code.load<InspectorModule>("inspector");
      if (life.signal.aborted) return;
      this.#panel.replaceChildren();
      module.mount(this.#panel, this.inspected, life.signal);
    } catch (error) {
      this.#show(false);
      this.chrome.showBar("inspector", "warning", "The inspector could not be opened.", {
        detail: String(error),
        closable: true,
      });
    }
  }

  #show(open: boolean): void {
    this.#panel.hidden = !open;
    this.chrome.setInspected(open);
  }
}
