/** The resources that are apps; one of them is open. */
import { button, element } from "../shared/dom";
import type { ResourceInfo } from "./state";

export class Picker {
  readonly node = element("section", "pv-part");
  readonly #list = element("ul", "pv-list");
  #resources: ResourceInfo[] = [];
  #open = "";

  constructor(private readonly show: (uri: string) => void) {
    this.node.append(element("h2", "", "Apps"), this.#list);
    this.node.setAttribute("aria-label", "Apps");
  }

  get first(): string | null {
    return this.#resources[0]?.uri ?? null;
  }

  set(resources: ResourceInfo[]): void {
    this.#resources = resources;
    this.#draw();
  }

  mark(uri: string): void {
    this.#open = uri;
    this.#draw();
  }

  #draw(): void {
    const focused = this.#list.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.uri
      : null;
    const items = this.#resources.map(({ uri, name, description }) => {
      const node = button("", "pv-item", () => this.show(uri));
      node.dataset.uri = uri;
      node.append(element("span", "pv-item-name", name), element("code", "pv-item-uri", uri));
      if (description) node.title = description;
      node.setAttribute("aria-current", String(uri === this.#open));
      if (focused === uri) queueMicrotask(() => node.focus());
      return element("li", "", node);
    });
    this.#list.replaceChildren(...items);
    if (items.length === 0) {
      this.#list.append(element("li", "pmcp-empty", "This server has no apps for this host."));
    }
  }
}
