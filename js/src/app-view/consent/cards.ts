/** The cards of what the app's calls ask: each is a widget of its own, with the form, beneath the app. */
import type { Host } from "../../shared/anywidget";
import { element } from "../../shared/dom";
import type { Chrome } from "../chrome";

export class Cards {
  readonly #node = element("div", "pmcp-app-cards");
  readonly #shown = new Map<string, AbortController>();

  constructor(
    private readonly chrome: Chrome,
    private readonly host: Host | undefined,
    signal: AbortSignal,
  ) {
    chrome.root.append(this.#node);
    signal.addEventListener("abort", () => this.show([]));
  }

  /** Shows these, by model id, and no others. */
  show(models: readonly string[]): void {
    for (const [model, life] of this.#shown) {
      if (models.includes(model)) continue;
      life.abort();
      this.#shown.delete(model);
    }
    for (const model of models) {
      if (!this.#shown.has(model)) void this.#mount(model);
    }
  }

  async #mount(model: string): Promise<void> {
    const life = new AbortController();
    this.#shown.set(model, life);
    const place = element("div");
    life.signal.addEventListener("abort", () => place.remove());
    this.#node.append(place);
    try {
      if (!this.host) throw new Error("no host");
      const card = await this.host.getWidget(`anywidget:${model}`);
      await card.render({ el: place, signal: life.signal });
    } catch {
      place.remove();
      this.chrome.showBar("asked", "info", "The server asks something. To answer:", {
        detail: "view.asking[0].answer({…})",
        closable: true,
      });
    }
  }
}
