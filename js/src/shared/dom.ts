/** Elements without a framework. Server strings only ever arrive here as text. */

type Child = Node | string | null | undefined;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** Opens a page in a new tab, which learns nothing of this one. A link is all that leads out of a webview of VS Code. */
export function visit(url: string): void {
  const link = element("a");
  link.href = url;
  link.target = "_blank";
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}

export function button(
  label: string | Node,
  className: string,
  action?: (event: Event) => void,
): HTMLButtonElement {
  const node = element("button", className, label);
  node.type = "button";
  if (action) node.addEventListener("click", action);
  return node;
}

/** Writes only what differs: a text node that is left alone costs neither layout nor a screen reader's breath. */
export function setText(node: HTMLElement, text: string): boolean {
  const first = node.firstChild;
  if (first instanceof Text && first === node.lastChild) {
    if (first.data === text) return false;
    first.data = text;
    return true;
  }
  if (text === "" && first === null) return false;
  node.textContent = text;
  return true;
}

/** The same, for a node that is only there with words in it. */
export function showText(node: HTMLElement, text: string): void {
  setText(node, text);
  node.hidden = text === "";
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (value === null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Pure, so that a bundle that lights nothing up does not ask. */
const calm = /* @__PURE__ */ matchMedia("(prefers-reduced-motion: reduce)");

/** Lights a cell up for a moment after its content changed. */
export function flash(node: HTMLElement): void {
  if (calm.matches || typeof node.animate !== "function") return;
  for (const running of node.getAnimations()) running.cancel();
  node.animate([{ backgroundColor: "var(--pmcp-flash)" }, { backgroundColor: "transparent" }], {
    duration: 900,
    easing: "ease-out",
  });
}
