import { addressOf } from "../shared/address";
import { button, element, setAttribute, setText } from "../shared/dom";
import type { Field } from "./field";
import { type Content, submitButton } from "./form";
import { SentForm } from "./sent-form";

/** A question that is open, with the fields of its form or the address it sends the person to. */
export interface Asked {
  key: string;
  message: string;
  url: string | null;
  openable?: boolean;
  fields: Field[];
  /** Of an app of the server that asks it (its model's id), "" while that is on its way; none where there is nothing. */
  app?: string | null;
  /** Why the app does not ask it any more. */
  note?: string;
}

/** One question with its form, or with the address it sends the person to. */
export class QuestionView {
  readonly node: HTMLElement;
  readonly #form: SentForm;
  readonly #buttons: HTMLElement[] = [];

  constructor(
    readonly asked: Asked,
    private readonly send: (action: string, content: Content) => void,
    private label = "Send",
  ) {
    this.#form = new SentForm(
      asked.fields,
      (content) => send("accept", content),
      (off, sent) => this.#settle(off, sent),
    );
    const { form } = this.#form;
    const message = element("p", "pmcp-question", asked.message);
    this.node = element("div", "pmcp-ask", message);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", asked.message);
    if (asked.url === null) {
      this.#buttons.push(submitButton(label));
    } else this.#address(asked.url);
    this.#button("Decline", "pmcp-button", () => this.#say("decline"));
    this.#button("Dismiss", "pmcp-button", () => this.#say("cancel")).title =
      "Close the question without deciding";
    const actions = element("div", "pmcp-form-actions", ...this.#buttons);
    form.node.append(actions);
    actions.style.gridColumn = "1 / -1";
    this.node.append(form.node);
  }

  #button(label: string, className: string, action: () => void): HTMLElement {
    const node = button(label, className, () => {
      if (node.ariaDisabled !== "true") action();
    });
    this.#buttons.push(node);
    return node;
  }

  #address(url: string): void {
    const address = this.asked.openable ? addressOf(url) : null;
    const whole = element("code", "pmcp-url", url);
    if (!address) {
      const text = "It gives an address that is no web page, so it is not opened:";
      this.node.append(element("p", "pmcp-hint", text), whole);
      return;
    }
    const host = element("strong", "", address.host);
    this.node.append(
      element("p", "pmcp-hint", "It sends you to a page of ", host, ":"),
      whole,
      element(
        "p",
        "pmcp-hint",
        "What you enter there goes to that page, not through this notebook.",
      ),
    );
    if (address.disguised)
      this.node.append(
        element("p", "pmcp-field-error", "The host's name may look like another: read it closely."),
      );
    const link = element("a", "pmcp-button pmcp-button-main", `Open ${address.host}`);
    link.href = url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.addEventListener("click", (event) => {
      if (link.ariaDisabled === "true") event.preventDefault();
      else this.#say("accept");
    });
    this.#buttons.push(link);
  }

  #say(action: string): void {
    this.#form.sent();
    this.send(action, {});
  }

  /** The kernel's word on the answer: nothing wrong, or what. */
  answered(problems: Record<string, string>): void {
    if (Object.keys(problems).length > 0) this.#form.returned(problems);
  }

  set dead(value: boolean) {
    this.#form.dead = value;
  }

  #settle(off: boolean, sent: boolean): void {
    // Buttons that are really disabled would lose the keyboard's focus.
    for (const node of this.#buttons) setAttribute(node, "aria-disabled", off ? "true" : null);
    const [main] = this.#buttons;
    if (this.asked.url === null && main) setText(main, sent ? "Sending…" : this.label);
  }

  /** What the button says now. */
  relabel(label: string): void {
    this.label = label;
    this.#form.settle();
  }

  focus(): void {
    this.#form.form.focus();
  }
}
