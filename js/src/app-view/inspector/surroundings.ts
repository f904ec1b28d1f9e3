/** What the app is told of its surroundings, and the controls that change it. */
import { element } from "../../shared/dom";
import type { DisplayMode } from "../bridge";
import type { Inspected } from "../inspection";
import { type Pretence, pretend } from "./pretence";

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

interface Device {
  label: string;
  width: number;
  height: number;
  touch: boolean;
  /** What is left free for a camera and a home bar. */
  insets: [top: number, bottom: number];
}

const DEVICES: Record<string, Device> = {
  "phone-small": { label: "small phone", width: 320, height: 568, touch: true, insets: [20, 0] },
  phone: { label: "phone", width: 390, height: 700, touch: true, insets: [47, 34] },
  tablet: { label: "tablet", width: 820, height: 1000, touch: true, insets: [24, 20] },
  laptop: { label: "laptop", width: 1280, height: 720, touch: false, insets: [0, 0] },
};
/** What an app on such a device is told. */
function being({ touch, insets: [top, bottom] }: Device): Pretence {
  return {
    safeAreaInsets: { top, right: 0, bottom, left: 0 },
    platform: touch ? "mobile" : "desktop",
    deviceCapabilities: { touch, hover: !touch },
  };
}

const WIDTHS = [480, 640, 768];
const HEIGHTS: Choices = [
  ["", "no limit"],
  ["200", "200 px"],
  ["400", "400 px"],
  ["600", "600 px"],
  ["800", "800 px"],
];
const INSETS: Choices = [
  ["", "the device’s"],
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

/** One app's surroundings at a time; another app gets the same. */
export class Surroundings {
  readonly node = element("section", "pmcp-ins-host");
  readonly #mode: HTMLSelectElement;
  readonly #locale = element("input");
  #inspected: Inspected | null = null;
  #theme = "";
  #size = "";
  #height = "";
  #insets = "";

  /** @param width What the page’s own width is called. */
  constructor(width: string) {
    const set = (change: (value: string) => void) => (value: string) => {
      change(value);
      this.#apply();
    };
    const theme = set((value) => {
      this.#theme = value;
    });
    this.#mode = choice(MODES, (value) => {
      if (this.#inspected) this.#mode.value = this.#inspected.display.show(value as DisplayMode);
    });
    this.#locale.size = 8;
    this.#locale.addEventListener("change", () => this.#apply());
    const sizes: Choices = [
      ["", width],
      ...Object.entries(DEVICES).map(
        ([name, { label, width, height }]) => [name, `${label} ${width} × ${height}`] as const,
      ),
      ...WIDTHS.map((width) => [String(width), `${width} px`] as const),
    ];
    const size = set((value) => {
      this.#size = value;
    });
    const height = set((value) => {
      this.#height = value;
    });
    const insets = set((value) => {
      this.#insets = value;
    });
    this.node.append(
      element("h3", "", "Host context"),
      field("Theme", choice(THEMES, theme)),
      field("Locale", this.#locale),
      field("Display mode", this.#mode),
      field("Size", choice(sizes, size)),
      field("Max height", choice(HEIGHTS, height)),
      field("Safe area", choice(INSETS, insets)),
    );
  }

  /** Have these be the surroundings of an app, until the signal aborts. */
  attach(inspected: Inspected, signal: AbortSignal): void {
    this.#inspected = inspected;
    this.#locale.placeholder = inspected.surroundings.context().locale ?? "";
    this.#apply();
    this.refresh();
    inspected.trace.watch(() => this.refresh(), signal);
    signal.addEventListener("abort", () => {
      if (this.#inspected !== inspected) return;
      this.#inspected = null;
      pretend(inspected.surroundings, {});
      inspected.surroundings.limit({});
    });
  }

  refresh(): void {
    if (this.#inspected) this.#mode.value = this.#inspected.display.mode;
  }

  #apply(): void {
    const device = DEVICES[this.#size];
    const pretence = this.#pretence(device);
    const { surroundings } = this.#inspected ?? {};
    if (!surroundings) return;
    pretend(surroundings, pretence);
    const width = device?.width ?? (Number(this.#size) || undefined);
    const height = Number(this.#height) || device?.height;
    surroundings.limit({ ...(width && { width }), ...(height && { height }) });
  }

  #pretence(device: Device | undefined): Pretence {
    const locale = this.#locale.value.trim();
    const valid = locale === "" || isLocale(locale);
    this.#locale.setAttribute("aria-invalid", String(!valid));
    const pretence: Pretence = device ? being(device) : {};
    if (this.#theme === "light" || this.#theme === "dark") pretence.theme = this.#theme;
    if (locale && valid) pretence.locale = locale;
    if (this.#insets !== "") {
      const all = Number(this.#insets);
      pretence.safeAreaInsets = { top: all, right: all, bottom: all, left: all };
    }
    return pretence;
  }
}
