/** An app of the server in the place of a question's form, which is a click away. */
import type { Asked, QuestionView } from "../form/question";
import type { Host } from "../shared/anywidget";
import { button, element, setText, showText } from "../shared/dom";

export class QuestionApp {
  readonly #place = element("div", "pmcp-ask-app");
  readonly #who = element("span");
  readonly #note = element("p", "pmcp-field-error");
  readonly #toggle = button("", "pmcp-button", () => this.#show(!this.#folded));
  readonly #head = element("div", "pmcp-ask-head pmcp-hint", this.#who, this.#toggle);
  #life: AbortController | null = null;
  #app: string | null = null;
  /** Whether this front end finds other widgets, as far as it is known. */
  #able = true;
  /** Whether the form is out of sight. */
  #folded = false;

  constructor(
    private readonly view: QuestionView,
    server: string,
    private readonly host: Host | undefined,
  ) {
    setText(this.#who, `An app of ${server} asks this here.`);
    this.#note.setAttribute("role", "status");
    view.node.firstElementChild?.after(this.#head, this.#place, this.#note);
    this.set({});
  }

  set({ app = null, note = "" }: Pick<Asked, "app" | "note">): void {
    showText(this.#note, note);
    if (!this.#able || (app === this.#app && app !== null)) return;
    this.#app = app;
    this.#life?.abort();
    this.#life = null;
    this.#head.hidden = app === null;
    this.#place.replaceChildren();
    this.#show(app !== null);
    if (app) void this.#mount(app);
    else if (app === "") this.#place.append(element("p", "pmcp-hint", "Opening it…"));
  }

  end(): void {
    this.#life?.abort();
  }

  #show(app: boolean): void {
    this.#folded = app;
    this.#place.hidden = !app;
    this.view.node.toggleAttribute("data-app", app);
    setText(this.#toggle, app ? "Answer in a form" : "Answer in the app");
  }

  async #mount(app: string): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    try {
      const widget = await this.host?.getWidget(`anywidget:${app}`);
      if (!widget) throw new Error("no host");
      if (!life.signal.aborted) await widget.render({ el: this.#place, signal: life.signal });
    } catch {
      // The form will do.
      if (life.signal.aborted) return;
      this.set({});
      this.#able = false;
    }
  }
}
