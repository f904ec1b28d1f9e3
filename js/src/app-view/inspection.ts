import { element } from "../shared/dom";
import type { Chrome } from "./chrome";
import type { CodeLoader } from "./code";
import type { Display } from "./display";
import type { standard } from "./old-names";
import type { Requests } from "./requests";
import type { Surroundings } from "./surroundings";
import type { Trace } from "./trace";
import type { Traits } from "./traits";
import type { Words } from "./words";

/** The parts of a view that its inspector looks into. */
export interface Inspected {
  readonly trace: Trace;
  readonly traits: Traits;
  readonly display: Display;
  readonly surroundings: Surroundings;
  readonly requests: Requests;
  /** What the view has already, and an inspector need not bring. */
  readonly words: Words;
  readonly standard: typeof standard;
  /** The page around the view has the controls of the host context already. */
  controlled?: boolean;
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
