/** The server's tools: to be found, filled in and run. */
import { type Content, Form, submitButton } from "../form/form";
import { button, element, setText } from "../shared/dom";
import type { ToolInfo } from "./state";

const ARGUMENTS_KEY = "pmcp-lab-preview-arguments";

function matching(tools: ToolInfo[], text: string): ToolInfo[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return tools.filter(({ name, title, description }) => {
    const all = `${name} ${title} ${description}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

export class ToolList {
  readonly node = element("section", "pv-part pv-tools");
  readonly #filter = element("input", "pmcp-control");
  readonly #list = element("ul", "pv-list");
  readonly #count = element("span", "pv-count");
  readonly #chosen = element("div", "pv-tool");
  #tools: ToolInfo[] = [];
  #tool: ToolInfo | null = null;
  #form: Form | null = null;

  constructor(private readonly run: (tool: ToolInfo, content: Content) => void) {
    this.#filter.type = "search";
    this.#filter.placeholder = "Filter tools";
    this.#filter.setAttribute("aria-label", "Filter tools");
    this.#filter.addEventListener("input", () => this.#draw());
    this.#count.setAttribute("role", "status");
    this.node.setAttribute("aria-label", "Tools");
    const head = element("div", "pv-part-head", element("h2", "", "Tools"), this.#count);
    this.node.append(head, this.#filter, this.#list, this.#chosen);
  }

  get(name: string): ToolInfo | undefined {
    return this.#tools.find((tool) => tool.name === name);
  }

  /** The first tool for people that an app shows. */
  using(uri: string): ToolInfo | undefined {
    return this.#tools.find(({ app, appOnly }) => app === uri && !appOnly);
  }

  /** The tool whose form is shown. */
  get chosen(): ToolInfo | null {
    return this.#tool;
  }

  set(tools: ToolInfo[]): void {
    const before = JSON.stringify(this.#tool);
    this.#tools = tools;
    this.#filter.hidden = tools.length < 6;
    const again = this.#tool ? (this.get(this.#tool.name) ?? null) : null;
    // What was typed stays, as long as the tool is what it was.
    if (this.#tool && JSON.stringify(again) !== before) this.choose(again);
    else {
      this.#tool = again;
      this.#draw();
    }
  }

  choose(tool: ToolInfo | null): void {
    this.#tool = tool;
    this.#draw();
    this.#form = null;
    if (!tool) {
      this.#chosen.replaceChildren();
      return;
    }
    const kept = recall(tool.name);
    const fields = tool.fields.map((field) =>
      Object.hasOwn(kept, field.name) ? { ...field, default: kept[field.name] } : field,
    );
    const form = new Form(fields, () => this.#send());
    this.#form = form;
    const submit = submitButton("Run");
    submit.classList.add("pv-run");
    form.node.append(element("div", "pmcp-form-actions", submit));
    const title = element("h3", "", tool.title);
    const name = element("code", "pv-tool-name", tool.name);
    const parts: HTMLElement[] = [element("div", "pv-tool-head", title, name)];
    if (tool.description) parts.push(element("p", "pv-tool-about", tool.description));
    if (tool.fields.length === 0) parts.push(element("p", "pmcp-hint", "It takes no arguments."));
    form.node.setAttribute("aria-label", `Arguments of ${tool.title}`);
    this.#chosen.replaceChildren(...parts, form.node);
  }

  /** What the server's side found wrong with what was entered. */
  wrong(tool: string, problems: Record<string, string>): void {
    if (this.#tool?.name === tool) this.#form?.show(problems);
  }

  #send(): void {
    const content = this.#form?.read();
    if (!content || !this.#tool) return;
    keep(this.#tool.name, content);
    this.run(this.#tool, content);
  }

  #draw(): void {
    const focused = this.#list.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.tool
      : null;
    const found = matching(this.#tools, this.#filter.hidden ? "" : this.#filter.value);
    const all = this.#tools.length;
    setText(this.#count, found.length === all ? `${all}` : `${found.length} of ${all}`);
    const items = found.map((tool) => {
      // What was entered stays when the tool is chosen that is chosen already.
      const node = button("", "pv-item", () => tool !== this.#tool && this.choose(tool));
      node.dataset.tool = tool.name;
      const head = element("span", "pv-item-name", tool.title);
      const tags = [
        ...tool.badges,
        ...(tool.app ? ["app"] : []),
        ...(tool.appOnly ? ["apps only"] : []),
      ];
      for (const tag of tags) head.append(element("span", "pv-tag", tag));
      node.append(head, element("code", "pv-item-uri", tool.name));
      node.setAttribute("aria-current", String(tool.name === this.#tool?.name));
      if (focused === tool.name) queueMicrotask(() => node.focus());
      return element("li", "", node);
    });
    this.#list.replaceChildren(...items);
    if (items.length === 0) {
      const text = all === 0 ? "No tools." : "No tool with all of these words.";
      this.#list.append(element("li", "pmcp-empty", text));
    }
  }
}

/** What was entered last survives a reload of the page. */
function keep(tool: string, content: Content): void {
  sessionStorage.setItem(`${ARGUMENTS_KEY} ${tool}`, JSON.stringify(content));
}

function recall(tool: string): Content {
  try {
    return JSON.parse(sessionStorage.getItem(`${ARGUMENTS_KEY} ${tool}`) ?? "{}") as Content;
  } catch {
    return {};
  }
}
