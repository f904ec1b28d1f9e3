import { Form, submitButton } from "../form/form";
import type { Channel, Message } from "../shared/channel";
import { element, setAttribute, setText } from "../shared/dom";

const REASON = {
  name: "reason",
  title: "Why?",
  description: "Recorded with the step.",
  required: true,
  kind: "text",
} as const;

/** Leaves out the step where the workflow stands, for a reason. */
export class Skip {
  readonly node = element("details", "pmcp-details pmcp-raw pmcp-flow-skip");
  readonly #summary = element("summary");
  readonly #go = submitButton("Skip");
  readonly #form: Form;
  #step: string | null = null;
  #channel: Channel | null = null;
  #sent = false;
  #dead = false;

  constructor() {
    this.#form = new Form([{ ...REASON }], () => this.#submit());
    this.#form.node.append(element("div", "pmcp-form-actions", this.#go));
    this.node.append(this.#summary, this.#form.node);
    this.node.hidden = true;
  }

  connect(channel: Channel): void {
    this.#channel = channel;
  }

  set dead(value: boolean) {
    this.#dead = value;
    this.#form.disabled = value;
    this.#settle();
  }

  show(step: string | null): void {
    if (step !== this.#step) {
      this.node.open = false;
      this.#form.show({});
    }
    this.#step = step;
    this.node.hidden = step === null;
    setText(this.#summary, `Skip ${step ?? ""}…`);
  }

  receive(message: Message): void {
    if (message.call !== "skip") return;
    this.#sent = false;
    this.#settle();
    this.#form.show((message.problems ?? {}) as Record<string, string>);
  }

  #submit(): void {
    if (this.#sent || this.#dead || this.#step === null) return;
    const content = this.#form.read();
    if (!content) return;
    this.#sent = true;
    this.#settle();
    this.#channel?.expect();
    this.#channel?.send({ kind: "skip", step: this.#step, content });
  }

  #settle(): void {
    setAttribute(this.#go, "aria-disabled", this.#sent || this.#dead ? "true" : null);
    setText(this.#go, this.#sent ? "Working…" : "Skip");
  }
}
