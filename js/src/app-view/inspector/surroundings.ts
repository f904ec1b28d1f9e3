/** What the app is told of its surroundings, and the controls that change it. */
import { element } from "../../shared/dom";
import type { DisplayMode } from "../bridge";
import type { Pretence } from "../host-context";
import type { Inspected } from "../inspection";

type Choices = readonly (readonly [value: string, label: string])[];

const THEMES: Choices = [
  ["", "the page’s"],
  ["light", "light"],
  ["dark", "dark"],
];
const MODES: Choices = [
  ["inline", "inline"],
  ["fullscreen", "fullscreen"],
  ["pip", "pip"],
];
const WIDTHS: Choices = [
  ["", "the cell’s"],
  ["320", "320 px"],
  ["480", "480 px"],
  ["768", "768 px"],
];
const INSETS: Choices = [
  ["0", "none"],
  ["12", "12 px"],
  ["44", "44 px"],
];

function field(label: string, control: HTMLElement): HTMLElement {
  return element("label", "pmcp-ins-field", element("span", "", label), control);
}

function choice(choices: Choices, changed: (value: string) => void): HTMLSelectElement {
  const select = element("select");
  for (const [value, label] of choices) {
    const option = element("option", "", label);
    option.value = value;
    select.append(option);
  }
  select.addEventListener("change", () => changed(select.value));
  return select;
}

function isLocale(text: string): boolean {
  try {
    return Intl.getCanonicalLocales(text).length === 1;
  } catch {
    return false;
  }
}

export class Surroundings {
  readonly node = element("section", "pmcp-ins-host");
  readonly #mode: HTMLSelectElement;

  constructor(
    private readonly inspected: Inspected,
    signal: AbortSignal,
  ) {
    const pretence: Pretence = {};
    const pretend = () => inspected.pretend({ ...pretence });
    const theme = choice(THEMES, (value) => {
      if (value === "light" || value === "dark") pretence.theme = value;
      else delete pretence.theme;
      pretend();
    });
    const locale = element("input");
    locale.placeholder = inspected.context().locale ?? "";
    locale.size = 8;
    locale.addEventListener("change", () => {
      const value = locale.value.trim();
      locale.setAttribute("aria-invalid", String(value !== "" && !isLocale(value)));
      if (value && isLocale(value)) pretence.locale = value;
      else delete pretence.locale;
      pretend();
    });
    this.#mode = choice(MODES, (value) => {
      this.#mode.value = inspected.display(value as DisplayMode);
    });
    const width = choice(WIDTHS, (value) => inspected.limitWidth(value ? Number(value) : null));
    const insets = choice(INSETS, (value) => {
      const inset = Number(value);
      if (inset > 0) {
        pretence.safeAreaInsets = { top: inset, right: inset, bottom: inset, left: inset };
      } else delete pretence.safeAreaInsets;
      pretend();
    });
    this.node.append(
      element("h3", "", "Host context"),
      field("Theme", theme),
      field("Locale", locale),
      field("Display mode", this.#mode),
      field("Width", width),
      field("Safe area", insets),
    );
    this.refresh();
    // What was pretended ends with the inspector.
    signal.addEventListener("abort", () => {
      if (Object.keys(pretence).length > 0) inspected.pretend({});
      if (width.value) inspected.limitWidth(null);
    });
  }

  refresh(): void {
    this.#mode.value = this.inspected.mode;
  }
}
