import { type Asked, QuestionView } from "../form/question";
import type { Host } from "../shared/anywidget";
import type { Channel, Message } from "../shared/channel";
import { element, setText } from "../shared/dom";
import { QuestionApp } from "./question-app";
import { section } from "./sections";

/** What the task asks, and where to answer. */
export class Questions {
  readonly node: HTMLElement;
  readonly #body: HTMLElement;
  readonly #views = new Map<string, QuestionView>();
  readonly #apps = new Map<string, QuestionApp>();
  #server = "";
  readonly #news = element("p", "pmcp-visually-hidden");
  #channel: Channel | null = null;

  constructor(
    private readonly left: () => void,
    private readonly host?: Host,
  ) {
    const { node, body } = section("questions", "Needs your input");
    this.node = node;
    this.#body = body;
    this.#news.setAttribute("role", "status");
  }

  /** Outside the section: a live region that is hidden says nothing. */
  get news(): HTMLElement {
    return this.#news;
  }

  connect(channel: Channel): void {
    this.#channel = channel;
  }

  set dead(value: boolean) {
    for (const view of this.#views.values()) view.dead = value;
    if (value) for (const app of this.#apps.values()) app.set({});
  }

  /** @param server Whose questions these are. */
  show(asked: Asked[], server = ""): void {
    this.#server = server;
    const keys = new Set(asked.map(({ key }) => key));
    let focused = false;
    for (const [key, view] of this.#views) {
      if (keys.has(key)) continue;
      focused ||= view.node.contains(document.activeElement);
      view.node.remove();
      this.#views.delete(key);
      this.#apps.get(key)?.end();
      this.#apps.delete(key);
    }
    for (const each of asked) {
      if (this.#views.has(each.key)) {
        this.#showApp(each);
        continue;
      }
      const view = new QuestionView(each, (action, content) => {
        this.#channel?.expect();
        this.#channel?.send({ kind: "answer", question: each.key, action, content });
      });
      view.dead = this.#channel?.link === "static";
      this.#views.set(each.key, view);
      this.#body.append(view.node);
      this.#showApp(each);
      setText(this.#news, `Needs your input: ${each.message}`);
    }
    this.node.hidden = asked.length === 0;
    if (asked.length === 0) setText(this.#news, "");
    if (!focused) return;
    // The keyboard goes on where the person would look next.
    const [next] = this.#views.values();
    if (next) next.focus();
    else this.left();
  }

  /** Only where somebody is there to take its answer. */
  #showApp(asked: Asked): void {
    const view = this.#views.get(asked.key);
    const known = this.#apps.get(asked.key);
    if (!view || this.#channel?.link === "static" || (!known && asked.app === undefined)) return;
    const app = known ?? new QuestionApp(view, this.#server, this.host);
    this.#apps.set(asked.key, app);
    app.set(asked);
  }

  /** The view goes. */
  end(): void {
    for (const app of this.#apps.values()) app.end();
  }

  receive(message: Message): void {
    if (message.kind !== "answered") return;
    this.#channel?.settle();
    const view = this.#views.get(String(message.question));
    view?.answered((message.problems ?? {}) as Record<string, string>);
  }
}
