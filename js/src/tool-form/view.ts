import type { Field } from "../form/field";
import { Form, submitButton } from "../form/form";
import { Channel, type Message } from "../shared/channel";
import { button, element, setAttribute, setText } from "../shared/dom";
import { linkText } from "../shared/link-text";
import { followTheme } from "../shared/theme";
import { type CardContext, CardView } from "../task-card/view";

interface ToolInfo {
  name: string;
  title: string;
  server: string;
  description: string;
  fields: Field[];
}

/** A tool's arguments, and the card of what was run with them. */
export class ToolFormView {
  readonly #root = element("section", "pmcp pmcp-tool");
  readonly #form: Form;
  readonly #said = element("p", "pmcp-hint");
  readonly #code = element("pre", "pmcp-outcome-text");
  readonly #link = element("span", "pmcp-link-state");
  readonly #run: HTMLButtonElement;
  readonly #copy: HTMLButtonElement;
  readonly #channel: Channel;
  #waiting: "run" | "code" | null = null;
  #card: CardView | null = null;

  constructor(private readonly context: CardContext) {
    const { model, el, signal, feed } = context;
    const tool = model.get("_tool") as ToolInfo;
    this.#form = new Form(tool.fields, () => this.#send("run"));
    this.#run = submitButton("Run");
    this.#copy = button("Copy as cell", "pmcp-button", () => this.#send("code"));
    const name = element("code", "pmcp-tool-name", `${tool.server}.${tool.name}`);
    const header = element("header", "pmcp-tool-header", element("h3", "", tool.title), name);
    header.append(this.#link);
    const about = element("p", "pmcp-hint pmcp-tool-about", tool.description);
    about.hidden = tool.description === "";
    const actions = element("div", "pmcp-form-actions", this.#run, this.#copy);
    this.#form.node.append(actions);
    this.#said.setAttribute("role", "status");
    this.#link.setAttribute("role", "status");
    this.#code.hidden = true;
    this.#root.append(header, about, this.#form.node, this.#said, this.#code);
    this.#root.setAttribute("aria-label", `Run ${tool.title}`);
    followTheme(this.#root, signal);
    el.append(this.#root);
    this.#channel = new Channel({
      model,
      signal,
      seq: () => feed.seq,
      // The card, once there is one, has a channel of its own.
      open: () => false,
      receive: (message) => this.#receive(message),
      linked: () => this.#settle(),
    });
    this.#settle();
    feed.attach(this.#channel, () => this.#showCard(), signal);
    this.#showCard();
    signal.addEventListener("abort", () => this.#root.remove());
  }

  #send(kind: "run" | "code"): void {
    if (this.#waiting || this.#channel.link === "static") return;
    const content = this.#form.read();
    if (!content) return;
    this.#waiting = kind;
    this.#channel.expect();
    this.#channel.send({ kind, content });
    this.#settle();
  }

  #receive(message: Message): void {
    if (message.kind !== "filled") return;
    this.#channel.settle();
    const ran = this.#waiting === "run";
    this.#waiting = null;
    this.#settle();
    const problems = (message.problems ?? {}) as Record<string, string>;
    const wrong = Object.keys(problems).length > 0;
    this.#form.show(problems);
    setText(this.#said, wrong || !ran ? "" : "Started; its card is below.");
    if (typeof message.code === "string") this.#hand(message.code);
  }

  /** The clipboard may be closed to us; the text is there to be taken by hand. */
  #hand(code: string): void {
    setText(this.#code, code);
    this.#code.hidden = false;
    const announce = (text: string) => setText(this.#said, text);
    const writing =
      navigator.clipboard?.writeText(code) ?? Promise.reject(new Error("no clipboard"));
    writing.then(
      () => announce("Copied: paste it into a cell."),
      () => announce("Copy this into a cell:"),
    );
  }

  #settle(): void {
    const { link } = this.#channel;
    const off = this.#waiting !== null || link === "static";
    for (const each of [this.#run, this.#copy])
      setAttribute(each, "aria-disabled", off ? "true" : null);
    setText(this.#run, this.#waiting === "run" ? "Starting…" : "Run");
    this.#form.disabled = link === "static";
    setText(this.#link, linkText(this.#channel));
    this.#link.hidden = linkText(this.#channel) === "";
  }

  #showCard(): void {
    if (this.#card || !this.context.record.row) return;
    this.#card = new CardView(this.context);
  }
}
