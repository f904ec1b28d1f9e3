import { element, flash, setAttribute, setText, showText } from "../shared/dom";
import { duty, type Step } from "./record";

/** One step: its line, and its arguments and result when it is opened. */
class StepView {
  readonly node = element("li", "pmcp-flow-step");
  readonly #name = element("span", "pmcp-flow-name");
  readonly #tool = element("code", "pmcp-flow-tool");
  readonly #duty = element("span", "pmcp-flow-duty");
  readonly #status = element("span", "pmcp-flow-status");
  readonly #line = element("span", "pmcp-flow-line");
  readonly #details = element("details", "pmcp-flow-details");
  readonly #given = element("pre", "pmcp-outcome-text");
  readonly #gave = element("pre", "pmcp-outcome-text");
  readonly #givenTitle = element("p", "pmcp-hint", "Called with");
  readonly #gaveTitle = element("p", "pmcp-hint");
  #was = "";

  constructor() {
    const dot = element("span", "pmcp-flow-dot");
    dot.setAttribute("aria-hidden", "true");
    const head = element(
      "span",
      "pmcp-flow-head",
      this.#name,
      this.#tool,
      this.#duty,
      this.#status,
    );
    const summary = element("summary", "", head, this.#line);
    this.#details.append(summary, this.#givenTitle, this.#given, this.#gaveTitle, this.#gave);
    this.node.append(dot, this.#details);
    // A step that has nothing to show does not open.
    summary.addEventListener("click", (event) => {
      if (!this.node.hasAttribute("data-opens")) event.preventDefault();
    });
  }

  show(step: Step, waits: boolean): void {
    const status = waits && step.status === "pending" ? "waits" : step.status;
    setAttribute(this.node, "data-status", status.replace(" ", "-"));
    setAttribute(this.node, "aria-current", waits || status === "running" ? "step" : null);
    setText(this.#name, step.name);
    setText(this.#tool, step.tool ?? "");
    showText(this.#duty, duty(step));
    this.#tool.hidden = step.tool === null || step.tool === step.name;
    setText(this.#status, step.tries > 1 ? `${status} · ${step.tries} times` : status);
    showText(this.#line, step.line);
    this.#showInside(step);
    if (this.#was !== "" && this.#was !== status) flash(this.#details);
    this.#was = status;
  }

  /** What is seen of it when it is opened. */
  #showInside({ arguments: given, result: gave, failed }: Step): void {
    setText(this.#given, given ?? "");
    setText(this.#gave, gave ?? "");
    setText(this.#gaveTitle, failed ? "Failed with" : "Gave");
    this.#given.hidden = this.#givenTitle.hidden = given === null;
    this.#gave.hidden = this.#gaveTitle.hidden = gave === null;
    this.node.toggleAttribute("data-opens", given !== null || gave !== null);
  }
}

/** The steps from top to bottom. */
export class Track {
  readonly node = element("ol", "pmcp-flow");
  readonly #views: StepView[] = [];

  constructor() {
    this.node.setAttribute("aria-label", "Steps");
  }

  show(steps: Step[], waiting: string | null): void {
    while (this.#views.length > steps.length) this.#views.pop()?.node.remove();
    for (const [index, step] of steps.entries()) {
      let view = this.#views[index];
      if (!view) {
        view = new StepView();
        this.#views.push(view);
        this.node.append(view.node);
      }
      view.show(step, step.name === waiting);
    }
  }
}
