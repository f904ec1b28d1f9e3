import type { Field } from "./field";
import { type Content, Form } from "./form";

/** A form that is sent once: until the kernel says what was wrong with it, and while nobody hears, it is off. */
export class SentForm {
  readonly form: Form;
  #sent = false;
  #dead = false;

  /** `settled` shows whether the form is off, and whether that is because it was sent. */
  constructor(
    fields: Field[],
    send: (content: Content) => void,
    private readonly settled: (off: boolean, sent: boolean) => void,
  ) {
    this.form = new Form(fields, () => {
      const content = this.#sent || this.#dead ? null : this.form.read();
      if (!content) return;
      this.sent();
      send(content);
    });
  }

  /** Something was answered, with these fields or without. */
  sent(): void {
    this.#sent = true;
    this.settle();
  }

  /** The kernel's word: it can be sent again, and this is wrong with it. */
  returned(problems: Record<string, string>): void {
    this.#sent = false;
    this.settle();
    this.form.show(problems);
  }

  set dead(value: boolean) {
    this.#dead = value;
    this.form.disabled = value;
    this.settle();
  }

  settle(): void {
    this.settled(this.#sent || this.#dead, this.#sent);
  }
}
