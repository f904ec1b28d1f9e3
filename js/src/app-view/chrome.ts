import { button, element, setText } from "../shared/dom";
import { Bars } from "./bars";
import type { DisplayMode } from "./bridge";
import { said } from "./words";

export type AppState = "loading" | "ready" | "busy" | "silent" | "trouble" | "closed" | "static";

const STATE_TEXT: Partial<Record<AppState, string>> = {
  loading: "loading",
  ready: "ready",
  silent: "app does not answer",
  closed: "closed",
};

/** Drawn, because fonts have no signs for these that look alike everywhere. */
const MODE_BUTTONS: Record<DisplayMode, { lines: string; label: string }> = {
  inline: { lines: "M7 3v4H3M9 13V9h4M7 7 2 2M9 9l5 5", label: "" },
  fullscreen: { lines: "M3 7V3h4M13 9v4H9M3 3l5 5M13 13 8 8", label: "Full screen" },
  pip: { lines: "M13 7V3H2v9h5M8 9h6v5H8z", label: "Own window" },
};

const INSPECT = "M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2zM11 11l4 4";

function drawing(lines: string): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  const looks = { viewBox: "0 0 16 16", width: "14", height: "14", fill: "none" };
  for (const [name, value] of Object.entries(looks)) svg.setAttribute(name, value);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", lines);
  path.setAttribute("stroke", "currentColor");
  path.setAttribute("stroke-width", "1.5");
  svg.append(path);
  return svg;
}

/** The name of a button that has no words on it. */
function label(node: HTMLButtonElement, text: string): void {
  node.setAttribute("aria-label", text);
  node.title = text;
}

/** What is ours around the app: who it is, how it is doing, and the few things the person must be told. */
export class Chrome {
  readonly root = element("section", "pmcp pmcp-app");
  readonly stage = element("div", "pmcp-app-stage");
  readonly #name = element("span", "pmcp-app-name");
  readonly #server = element("span", "pmcp-app-server");
  readonly #state = element("span", "pmcp-app-state");
  readonly #stateText = element("span", "pmcp-app-state-text");
  readonly #reload: HTMLButtonElement;
  /** Opens the inspector. */
  readonly inspect = button(drawing(INSPECT), "pmcp-icon-button pmcp-app-inspect");
  readonly #modes = element("span", "pmcp-app-modes");
  readonly #bars = new Bars();

  constructor(reload: () => void) {
    this.#reload = button("↻", "pmcp-icon-button", reload);
    label(this.#reload, "Reload the app");
    this.setInspected(false);
    this.setProblems(0);
    const dot = element("span", "pmcp-app-dot");
    dot.setAttribute("aria-hidden", "true");
    this.#state.setAttribute("role", "status");
    this.#state.append(dot, this.#stateText);
    const header = element(
      "header",
      "pmcp-app-header",
      this.#name,
      this.#server,
      element("span", "pmcp-spacer"),
      this.#state,
      this.#modes,
      this.inspect,
      this.#reload,
    );
    this.root.append(header, this.#bars.node, this.stage);
    this.setState("loading");
  }

  setTitle(name: string, server: string): void {
    setText(this.#name, name);
    setText(this.#server, server);
    this.root.setAttribute("aria-label", `MCP app ${name}`);
  }

  setBorder(border: boolean): void {
    this.root.dataset.border = String(border);
  }

  /** @param text What is to be read, where that is not always the same. */
  setState(state: AppState, text = STATE_TEXT[state] ?? ""): void {
    this.root.dataset.state = state;
    setText(this.#stateText, text);
    this.#state.title = state === "trouble" ? text : "";
    this.#reload.disabled = state === "closed";
  }

  setInspected(open: boolean): void {
    this.inspect.setAttribute("aria-expanded", String(open));
  }

  /** What went wrong in the app, or was kept from it. */
  setProblems(count: number): void {
    const problems = count === 1 ? "1 problem" : `${count} problems`;
    label(this.inspect, count === 0 ? "Inspector" : `Inspector (${problems})`);
    this.inspect.dataset.problems = String(count > 0);
  }

  /** The ways in which the app can be shown besides the present one. */
  offerModes(modes: readonly DisplayMode[], show: (mode: DisplayMode) => void): void {
    const focused = this.#modes.contains(document.activeElement);
    this.#modes.replaceChildren(
      ...modes.map((mode) => {
        const { lines, label: name } = MODE_BUTTONS[mode];
        const node = button(drawing(lines), "pmcp-icon-button", () => show(mode));
        label(node, name || said.back);
        return node;
      }),
    );
    if (focused) this.focusModes();
  }

  /** Where Escape is heard, unlike in the app. */
  focusModes(): void {
    (this.#modes.firstElementChild as HTMLElement | null)?.focus();
  }

  showBar(...bar: Parameters<Bars["show"]>): ReturnType<Bars["show"]> {
    return this.#bars.show(...bar);
  }

  hideBar(name: string): void {
    this.#bars.hide(name);
  }
}
