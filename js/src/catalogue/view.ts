import { button, element, setText } from "../shared/dom";
import { followTheme } from "../shared/theme";
import { type Catalogue, type Item, matching, type Table } from "./item";

/** A server's tools, resources, prompts or skills: filtered, unfolded and copied from without a kernel. */
export class CatalogueView {
  readonly #root = element("section", "pmcp pmcp-catalogue");
  readonly #filter = element("input", "pmcp-catalogue-filter");
  readonly #count = element("span", "pmcp-catalogue-count");
  readonly #list = element("ul", "pmcp-catalogue-list");
  readonly #empty = element("p", "pmcp-empty");
  readonly #nodes = new Map<Item, HTMLLIElement>();

  constructor(
    private readonly catalogue: Catalogue,
    el: HTMLElement,
    signal: AbortSignal,
  ) {
    const { noun, server, items } = catalogue;
    const title = element("h3", "", `${noun[0]?.toUpperCase()}${noun.slice(1)} of ${server}`);
    this.#filter.type = "search";
    this.#filter.placeholder = "Filter";
    this.#filter.setAttribute("aria-label", `Filter ${noun}`);
    this.#filter.addEventListener("input", () => this.#show());
    this.#filter.hidden = items.length < 2;
    this.#count.setAttribute("role", "status");
    this.#root.setAttribute("aria-label", `${noun} of ${server}`);
    for (const item of items) {
      const node = element("li", "", this.#entry(item));
      this.#nodes.set(item, node);
      this.#list.append(node);
    }
    const header = element("header", "pmcp-catalogue-header", title, this.#count, this.#filter);
    this.#root.append(header, this.#list, this.#empty);
    followTheme(this.#root, signal);
    this.#show();
    el.append(this.#root);
    signal.addEventListener("abort", () => this.#root.remove());
  }

  #show(): void {
    const { noun, items } = this.catalogue;
    const found = new Set(matching(items, this.#filter.value));
    for (const [item, node] of this.#nodes) node.hidden = !found.has(item);
    const all = found.size === items.length;
    setText(this.#count, all ? `${items.length}` : `${found.size} of ${items.length}`);
    setText(this.#empty, items.length ? `No ${noun} with all of these words.` : `No ${noun}.`);
    this.#empty.hidden = found.size > 0;
    this.#list.hidden = found.size === 0;
  }

  #entry(item: Item): HTMLDetailsElement {
    const head = element("summary", "", element("code", "pmcp-catalogue-name", item.name));
    for (const badge of item.badges) head.append(element("span", "pmcp-tag", badge));
    if (item.trouble) head.append(element("span", "pmcp-tag pmcp-tag-trouble", item.trouble));
    if (item.summary) head.append(element("span", "pmcp-catalogue-what", item.summary));
    const node = element("details", "", head);
    // Built when it is first looked into: a catalogue may be long.
    node.addEventListener("toggle", () => node.append(body(item)), { once: true });
    return node;
  }
}

function body(item: Item): HTMLElement {
  const node = element("div", "pmcp-catalogue-body");
  if (item.title !== item.name) node.append(element("p", "pmcp-catalogue-title", item.title));
  if (item.description) node.append(element("p", "pmcp-catalogue-about", item.description));
  for (const each of item.tables) node.append(table(each));
  for (const { label, text } of item.code) node.append(snippet(label, text));
  return node;
}

function table({ caption, heads, rows }: Table): HTMLTableElement {
  const has = heads.map((head) => head !== "");
  const titles = heads.filter(Boolean).map((name) => {
    const head = element("th", "", name);
    head.scope = "col";
    return head;
  });
  const lines = element("tbody");
  for (const field of rows) {
    const name = element("th", "", element("code", "", field.name));
    name.scope = "row";
    if (field.required) name.append(element("span", "pmcp-required", "required"));
    const type = element("td", "", element("code", "", field.type));
    const about = element("td");
    if (field.description) about.append(element("span", "", field.description));
    if (field.notes) about.append(element("span", "pmcp-notes", field.notes));
    lines.append(element("tr", "", ...[name, type, about].filter((_, column) => has[column])));
  }
  const head = element("thead", "", element("tr", "", ...titles));
  return element("table", "pmcp-fields", element("caption", "", caption), head, lines);
}

function snippet(label: string, text: string): HTMLElement {
  const code = element("pre", "", text);
  code.tabIndex = 0;
  const said = element("span", "pmcp-notes");
  said.setAttribute("role", "status");
  const copy = button("Copy as cell", "pmcp-button", () => {
    const writing =
      navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"));
    writing.then(
      () => setText(said, "Copied: paste it into a cell."),
      () => {
        getSelection()?.selectAllChildren(code);
        setText(said, "Selected: copy it with the keyboard.");
      },
    );
  });
  copy.setAttribute("aria-label", `Copy as cell: ${label}`);
  const actions = element("div", "pmcp-snippet-actions", element("span", "", label), copy, said);
  return element("div", "pmcp-snippet", actions, code);
}
