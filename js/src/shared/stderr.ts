import { element, setText } from "./dom";

/** What the server wrote to stderr while the task ran, for whoever unfolds it; open where the task failed. */
export class Stderr {
  readonly node = element("details", "pmcp-details pmcp-stderr");
  readonly #text = element("pre", "pmcp-outcome-text");

  constructor() {
    this.node.append(element("summary", "", "Stderr of the server meanwhile"), this.#text);
    this.node.hidden = true;
  }

  show(text: string, failed: boolean): void {
    if (!setText(this.#text, text)) return;
    this.node.hidden = text === "";
    this.node.open = failed;
  }
}
