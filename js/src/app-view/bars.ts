/** What the person must be told of an app, in one line above it. */
import { button, element, showText } from "../shared/dom";

export type Tone = "info" | "warning" | "error";

export interface BarOptions {
  detail?: string;
  actions?: BarAction[];
  /** In place of actions: the person can send it away. */
  closable?: boolean;
}

interface BarAction {
  label: string;
  run: () => void;
  main?: boolean;
}

interface Bar {
  bar: HTMLElement;
  words: HTMLElement;
  buttons: HTMLButtonElement[];
}

/**
 * The bars of a view, of which one is seen: the newest, at the same place always, in one line. The others, and what is
 * longer than a line, come when the person wants them.
 */
export class Bars {
  readonly node = element("div", "pmcp-app-bars");
  readonly #named = new Map<string, HTMLElement>();
  readonly #more = button("", "pmcp-button", () => {
    this.node.toggleAttribute("data-open");
    this.#stack();
  });
  readonly #fitting = new ResizeObserver((seen) => {
    for (const { target } of seen) this.#count(target);
  });

  /** One bar per name; the same name again replaces its text. */
  show(name: string, tone: Tone, text: string, options: BarOptions = {}): Bar {
    this.#named.get(name)?.remove();
    const { detail, closable, actions = [] } = options;
    const words = element("div", "pmcp-bar-text", element("span", "", text));
    if (detail) words.append(element("code", "pmcp-bar-detail", detail));
    const close: BarAction = { label: "Close", run: () => this.hide(name) };
    const buttons = (closable ? [close] : actions).map(({ label, run, main }) =>
      button(label, main ? "pmcp-button pmcp-button-main" : "pmcp-button", run),
    );
    const bar = element("div", "pmcp-bar", words, element("div", "pmcp-bar-actions", ...buttons));
    bar.dataset.tone = tone;
    bar.setAttribute("role", tone === "error" ? "alert" : "status");
    this.#named.set(name, bar);
    const first = this.node.firstElementChild;
    // Not in the place of a question that the person is at.
    if (first?.matches("[data-guarded]:is(:hover, :focus-within)")) first.after(bar);
    else this.node.prepend(bar);
    this.#stack();
    return { bar, words, buttons };
  }

  hide(name: string): void {
    const bar = this.#named.get(name);
    if (!bar) return;
    this.#named.delete(name);
    bar.remove();
    this.#stack();
  }

  #stack(): void {
    const { node } = this;
    const words = node.firstElementChild?.firstElementChild;
    this.#fitting.disconnect();
    if (words) {
      // Put there again, it would lose the focus.
      if (words.nextSibling !== this.#more) words.after(this.#more);
      this.#fitting.observe(words);
    } else node.removeAttribute("data-open");
  }

  /** What there is besides what is seen, once that is laid out. */
  #count(words: Element): void {
    const open = this.node.hasAttribute("data-open");
    const others = this.node.children.length - 1;
    const cut = words.scrollWidth > words.clientWidth;
    showText(this.#more, open ? "Less" : others ? `${others} more` : cut ? "More" : "");
    this.#more.setAttribute("aria-expanded", String(open));
  }
}
