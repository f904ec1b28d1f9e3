import { button, element } from "../shared/dom";
import type { DisplayMode } from "./bridge";
import { said } from "./words";

const NAMES: Record<Exclude<DisplayMode, "inline">, string> = {
  fullscreen: "in full screen",
  pip: "in its own window",
};

/** Not every browser has the top layer's door. */
const SUPPORTED = "popover" in HTMLElement.prototype;

export const DISPLAY_MODES: readonly DisplayMode[] = SUPPORTED
  ? ["inline", "fullscreen", "pip"]
  : ["inline"];

/**
 * Where an app is shown. It stays where it is in the document, because a frame that is moved starts anew: as a
 * popover it is painted in the top layer, whatever the notebook does around its cells. A note holds its place.
 */
export class Display {
  mode: DisplayMode = "inline";
  readonly #note: HTMLElement;
  readonly #noteText = element("span");

  constructor(
    private readonly root: HTMLElement,
    private readonly changed: (mode: DisplayMode) => void,
    signal: AbortSignal,
  ) {
    const back = button("Bring it back", "pmcp-button", () => this.show("inline"));
    this.#note = element("div", "pmcp pmcp-app-elsewhere", this.#noteText, back);
    root.dataset.mode = "inline";
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || this.mode !== "fullscreen") return;
      event.preventDefault();
      event.stopPropagation();
      this.show("inline");
    };
    document.addEventListener("keydown", leave, { capture: true, signal });
    signal.addEventListener("abort", () => this.#note.remove());
  }

  /** The mode that is in force then. */
  show(mode: DisplayMode): DisplayMode {
    if (mode === this.mode || !DISPLAY_MODES.includes(mode) || !this.root.isConnected) {
      return this.mode;
    }
    const inline = this.mode === "inline";
    if (inline) {
      const { height } = this.root.getBoundingClientRect();
      this.#note.style.minHeight = `${Math.min(height, 160)}px`;
      this.root.before(this.#note);
    }
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.#noteText.textContent = `The app is shown ${mode === "inline" ? said().inline : NAMES[mode]}.`;
    this.#note.dataset.theme = this.root.dataset.theme ?? "light";
    if (mode === "inline") {
      this.root.hidePopover();
      this.root.removeAttribute("popover");
      this.#note.remove();
    } else if (inline) {
      // Manual: the other kind is closed by a click anywhere else.
      this.root.popover = "manual";
      this.root.showPopover();
    }
    this.changed(mode);
    return mode;
  }
}
