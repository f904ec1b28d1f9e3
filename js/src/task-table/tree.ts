import { element, flash, setAttribute, setText } from "../shared/dom";
import { compact } from "../shared/format";

const MAX_ENTRIES = 100;
const MAX_TEXT = 2000;

/** A JSON value as nested lines that fold; what changes lights up, and what is open stays open. */
export class Tree {
  readonly node = element("ul", "pmcp-tree");
  readonly #branches = new Map<string, Branch>();

  /** `lit` says whether what differs from before changed, rather than became known. */
  show(value: Record<string, unknown>, lit: boolean): void {
    update(this.node, this.#branches, value, lit);
  }
}

class Branch {
  readonly node = element("li", "");
  readonly #name = element("span", "pmcp-tree-name");
  readonly #value = element("span", "pmcp-tree-value");
  readonly #branches = new Map<string, Branch>();
  #inside: { details: HTMLDetailsElement; list: HTMLElement } | null = null;

  constructor(name: string) {
    this.#name.textContent = `${name}: `;
    this.node.append(this.#name, this.#value);
  }

  show(value: unknown, lit: boolean): void {
    const nested = typeof value === "object" && value !== null && Object.keys(value).length > 0;
    if (nested) this.#nest(value as Record<string, unknown>, lit);
    else this.#flat(value, lit);
  }

  #flat(value: unknown, lit: boolean): void {
    if (this.#inside) {
      this.#inside = null;
      this.#branches.clear();
      this.node.replaceChildren(this.#name, this.#value);
    }
    setAttribute(this.#value, "data-type", value === null ? "null" : typeof value);
    const text =
      typeof value === "string"
        ? JSON.stringify(value.slice(0, MAX_TEXT))
        : compact(value, MAX_TEXT);
    if (setText(this.#value, text) && lit) flash(this.#value);
  }

  #nest(value: Record<string, unknown>, lit: boolean): void {
    if (!this.#inside) {
      const list = element("ul", "");
      const details = element("details", "", element("summary", "", this.#name, this.#value), list);
      this.#inside = { details, list };
      this.node.replaceChildren(details);
      setAttribute(this.#value, "data-type", "size");
    }
    const size = Object.keys(value).length;
    setText(this.#value, Array.isArray(value) ? `[${size}]` : `{${size}}`);
    update(this.#inside.list, this.#branches, value, lit);
  }
}

function update(
  list: HTMLElement,
  branches: Map<string, Branch>,
  value: Record<string, unknown>,
  lit: boolean,
): void {
  const names = Object.keys(value).slice(0, MAX_ENTRIES);
  const gone = new Set(branches.keys());
  for (const name of names) {
    gone.delete(name);
    let branch = branches.get(name);
    if (!branch) {
      branch = new Branch(name);
      branches.set(name, branch);
      list.append(branch.node);
    }
    branch.show(value[name], lit);
  }
  for (const name of gone) {
    branches.get(name)?.node.remove();
    branches.delete(name);
  }
}
