import { type Content, submitButton } from "../form/form";
import { SentForm } from "../form/sent-form";
import type { Channel, Message } from "../shared/channel";
import { element, setAttribute, setText } from "../shared/dom";
import type { Call } from "./record";

const VERBS = {
  call: ({ target }: Call) => `Call ${target}`,
  read: ({ target }: Call) => `Read ${target}`,
  variable: ({ target }: Call) => `Set ${target}`,
  resume: () => "Try again",
  answer: () => "Answer",
};

/** One call of the handoff with its form. */
class CallView {
  readonly node: HTMLElement;
  readonly #form: SentForm;
  readonly #go: HTMLButtonElement;

  constructor(call: Call, send: (content: Content) => void) {
    const verb = VERBS[call.kind](call);
    this.#go = submitButton(verb);
    this.#form = new SentForm(call.fields, send, (off, sent) => {
      setAttribute(this.#go, "aria-disabled", off ? "true" : null);
      setText(this.#go, sent ? "Working…" : verb);
    });
    const { form } = this.#form;
    const guidance = element("p", "pmcp-question", call.guidance ?? "");
    guidance.hidden = !call.guidance;
    form.node.append(element("div", "pmcp-form-actions", this.#go));
    this.node = element("div", "pmcp-flow-call", guidance, form.node);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", verb);
  }

  made(problems: Record<string, string>): void {
    this.#form.returned(problems);
  }

  set dead(value: boolean) {
    this.#form.dead = value;
  }

  focus(): void {
    this.#go.focus();
  }
}

/** What can be done next: the first call open, those after it folded. */
export class Calls {
  readonly node = element("section", "pmcp-section pmcp-flow-calls");
  readonly #first = element("div");
  readonly #later = element("details", "pmcp-details");
  readonly #body = element("div");
  readonly #summary = element("summary");
  readonly #title = element("h4", "pmcp-section-title");
  readonly #views = new Map<string, CallView>();
  #channel: Channel | null = null;
  #dead = false;

  constructor(private readonly left: () => void) {
    this.#later.append(this.#summary, this.#body);
    this.node.append(this.#title, this.#first, this.#later);
    this.node.hidden = true;
  }

  connect(channel: Channel): void {
    this.#channel = channel;
  }

  set dead(value: boolean) {
    this.#dead = value;
    for (const view of this.#views.values()) view.dead = value;
  }

  /** `asked`: a question is open, which comes first and has its own form. */
  show(calls: Call[], asked: boolean): void {
    const shown = calls.filter(({ kind }) => kind !== "answer");
    const focused = this.#keep(shown);
    for (const [index, call] of shown.entries()) {
      const { node } = this.#view(call);
      const place = index === 0 && !asked ? this.#first : this.#body;
      if (node.parentNode !== place) place.append(node);
    }
    this.node.hidden = shown.length === 0;
    this.#showTitles(shown, asked);
    if (!focused) return;
    const [next] = this.#views.values();
    if (next) next.focus();
    else this.left();
  }

  /** Takes all others away; whether the keyboard was in one of them. */
  #keep(shown: Call[]): boolean {
    const keys = new Set(shown.map(({ key }) => key));
    let focused = false;
    for (const [key, view] of this.#views) {
      if (keys.has(key)) continue;
      focused ||= view.node.contains(document.activeElement);
      view.node.remove();
      this.#views.delete(key);
    }
    return focused;
  }

  #view(call: Call): CallView {
    const known = this.#views.get(call.key);
    if (known) return known;
    const view = new CallView(call, (content) => {
      this.#channel?.expect();
      this.#channel?.send({ kind: "make", call: call.key, content });
    });
    view.dead = this.#dead;
    this.#views.set(call.key, view);
    return view;
  }

  #showTitles(shown: Call[], asked: boolean): void {
    const [first] = shown;
    const step = first?.step && first.kind !== "resume" ? `: ${first.step}` : "";
    setText(this.#title, asked ? "Afterwards" : `Next${step}`);
    const more = asked ? shown.length : shown.length - 1;
    this.#later.hidden = more < 1;
    setText(this.#summary, more === 1 ? "Then one more step" : `Then ${more} more steps`);
  }

  receive(message: Message): void {
    this.#views.get(String(message.call))?.made((message.problems ?? {}) as Record<string, string>);
  }
}
