import { randomId } from "../shared/channel";
import { element, setAttribute, setText } from "../shared/dom";
import { bounds, type Field, parse, pick, type Reading, textOf } from "./field";

export type Content = Record<string, unknown>;

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** One field: its title, its control, what may be entered, and what is wrong with what was. */
class FieldView {
  readonly node: HTMLElement;
  readonly #error = element("p", "pmcp-field-error");
  readonly #controls: Control[] = [];
  #touched = false;

  constructor(readonly field: Field) {
    const id = `pmcp-${randomId()}`;
    const hint = element("p", "pmcp-field-hint", this.#hint());
    hint.id = `${id}-hint`;
    hint.hidden = hint.textContent === "";
    this.#error.id = `${id}-error`;
    this.#error.hidden = true;
    this.node = this.#build(id, hint);
    for (const control of this.#controls) {
      control.setAttribute("aria-describedby", `${hint.id} ${this.#error.id}`);
      // Not when a field is left: a message that comes or goes then moves the button that is being clicked.
      control.addEventListener("input", () => {
        this.#touched = true;
        if (!this.#error.hidden) this.check();
      });
    }
  }

  #hint(): string {
    return [this.field.description, bounds(this.field)].filter((part) => part !== "").join(" · ");
  }

  #title(): (Node | string)[] {
    const mark = element("span", "pmcp-required", " *");
    mark.setAttribute("aria-hidden", "true");
    return this.field.required && this.field.kind !== "boolean"
      ? [this.field.title, mark]
      : [this.field.title];
  }

  #build(id: string, hint: HTMLElement): HTMLElement {
    const { field } = this;
    if (field.kind === "boolean") {
      const box = this.#box(id, field.default === true);
      const label = element("label", "pmcp-option", box, element("span", "", ...this.#title()));
      return element("div", "pmcp-field", label, hint, this.#error);
    }
    if (field.kind === "choices") {
      const chosen = Array.isArray(field.default) ? field.default : [];
      const legend = element("legend", "pmcp-field-title", ...this.#title());
      const options = (field.options ?? []).map(({ value, title }, index) =>
        element("label", "pmcp-option", this.#box(`${id}-${index}`, chosen.includes(value)), title),
      );
      const group = element("fieldset", "pmcp-field pmcp-choices", legend, ...options);
      group.append(hint, this.#error);
      return group;
    }
    const control = field.kind === "choice" ? this.#select() : this.#text();
    control.id = id;
    setAttribute(control, "aria-required", field.required ? "true" : null);
    this.#controls.push(control);
    const label = element("label", "pmcp-field-title", ...this.#title());
    label.htmlFor = id;
    return element("div", "pmcp-field", label, control, hint, this.#error);
  }

  #box(id: string, checked: boolean): HTMLInputElement {
    const box = element("input");
    box.type = "checkbox";
    box.id = id;
    box.checked = checked;
    this.#controls.push(box);
    return box;
  }

  #select(): HTMLSelectElement {
    const { field } = this;
    const control = element("select", "pmcp-control");
    const options = field.options ?? [];
    const first = options.findIndex(({ value }) => value === field.default);
    if (first < 0 || !field.required) {
      const none = element("option", "", field.required ? "Choose…" : "–");
      none.value = "";
      control.append(none);
    }
    for (const [index, { title }] of options.entries()) {
      const option = element("option", "", title);
      option.value = String(index);
      control.append(option);
    }
    control.value = first < 0 ? "" : String(first);
    return control;
  }

  #text(): HTMLInputElement | HTMLTextAreaElement {
    const { field } = this;
    const text = textOf(field, field.default);
    if (field.kind === "json" || field.long) {
      const area = element("textarea", "pmcp-control");
      area.rows = 3;
      area.value = text;
      area.spellcheck = field.kind !== "json";
      return area;
    }
    const input = element("input", "pmcp-control");
    const types: Partial<Record<Field["kind"], string>> = {
      date: "date",
      "date-time": "datetime-local",
    };
    const modes: Partial<Record<Field["kind"], string>> = {
      email: "email",
      uri: "url",
      integer: "numeric",
      number: "decimal",
    };
    // Not type=number: that one gives nothing away of what is typed wrongly, and changes when scrolled over.
    input.type = types[field.kind] ?? "text";
    input.inputMode = modes[field.kind] ?? "";
    input.autocomplete = "off";
    if (field.kind === "date-time") input.step = "1";
    input.value = text;
    return input;
  }

  read(): Reading {
    const { field } = this;
    const boxes = this.#controls as HTMLInputElement[];
    if (field.kind === "boolean") {
      const checked = boxes[0]?.checked ?? false;
      // Nobody decided, and nobody has to: the tool's own default counts.
      const open = !field.required && field.default === undefined && !this.#touched;
      return open ? null : { value: checked };
    }
    if (field.kind === "choices")
      return pick(
        field,
        boxes.flatMap((box, index) => (box.checked ? [index] : [])),
      );
    const text = this.#controls[0]?.value ?? "";
    if (field.kind === "choice") return pick(field, text === "" ? [] : [Number(text)]);
    return parse(field, text);
  }

  check(): Reading {
    const reading = this.read();
    this.show(reading && "problem" in reading ? reading.problem : "");
    return reading;
  }

  show(problem: string): void {
    setText(this.#error, problem);
    this.#error.hidden = problem === "";
    for (const control of this.#controls)
      setAttribute(control, "aria-invalid", problem === "" ? null : "true");
  }

  focus(): void {
    this.#controls[0]?.focus();
  }

  set disabled(value: boolean) {
    for (const control of this.#controls) control.disabled = value;
  }
}

/** Inside the form, so that Enter in any field does the same. */
export function submitButton(label: string): HTMLButtonElement {
  const node = element("button", "pmcp-button pmcp-button-main", label);
  node.type = "submit";
  return node;
}

/** Fields with what is wrong beside them. Whatever a server says arrives here as text. */
export class Form {
  readonly node = element("form", "pmcp-form");
  readonly #views: FieldView[];
  readonly #general = element("p", "pmcp-field-error pmcp-form-error");

  constructor(fields: Field[], submit: () => void) {
    this.#views = fields.map((field) => new FieldView(field));
    this.#general.setAttribute("role", "alert");
    this.#general.hidden = true;
    this.node.noValidate = true;
    this.node.append(...this.#views.map(({ node }) => node), this.#general);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
  }

  /** What was entered, or null after showing what is wrong. */
  read(): Content | null {
    const content: [string, unknown][] = [];
    let wrong: FieldView | null = null;
    for (const view of this.#views) {
      const reading = view.check();
      if (reading && "problem" in reading) wrong ??= view;
      else if (reading) content.push([view.field.name, reading.value]);
    }
    this.#say("");
    wrong?.focus();
    // Not by assignment: a field may be called __proto__.
    return wrong ? null : Object.fromEntries(content);
  }

  /** What the kernel found, by field; what belongs to no field goes to the end. */
  show(problems: Record<string, string>): void {
    const rest: string[] = [];
    const views = new Map(this.#views.map((view) => [view.field.name, view]));
    let first: FieldView | undefined;
    for (const [name, problem] of Object.entries(problems)) {
      const view = views.get(name);
      view?.show(problem);
      first ??= view;
      if (!view) rest.push(name ? `${name}: ${problem}` : problem);
    }
    this.#say(rest.join("\n"));
    first?.focus();
  }

  #say(text: string): void {
    setText(this.#general, text);
    this.#general.hidden = text === "";
  }

  focus(): void {
    this.#views[0]?.focus();
  }

  set disabled(value: boolean) {
    for (const view of this.#views) view.disabled = value;
  }
}
