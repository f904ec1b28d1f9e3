import { button, element } from "../shared/dom";
import type { DisplayMode } from "./bridge";
import type { Chrome } from "./chrome";
import type { Wire } from "./wire";
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

interface Port {
  /** Whether the app can be shown so. */
  takes(mode: DisplayMode): boolean;
  changed(): void;
}

/**
 * Where an app is shown, and the buttons that change it. It stays where it is in the document, because a frame that is moved starts anew: as a
 * popover it is painted in the top layer, whatever the notebook does around its cells. A note holds its place.
 */
export class Display {
  mode: DisplayMode = "inline";
  readonly #note: HTMLElement;
  readonly #noteText = element("span");

  constructor(
    private readonly chrome: Chrome,
    private readonly wire: Wire,
    signal: AbortSignal,
    private readonly port: Port,
  ) {
    const back = button("Bring it back", "pmcp-button", () => this.show("inline"));
    this.#note = element("div", "pmcp pmcp-app-elsewhere", this.#noteText, back);
    chrome.root.dataset.mode = "inline";
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !this.leaveFullscreen()) return;
      event.preventDefault();
      event.stopPropagation();
    };
    document.addEventListener("keydown", leave, { capture: true, signal });
    signal.addEventListener("abort", () => this.#note.remove());
    wire.on("display", ({ mode }) => {
      this.show(mode as DisplayMode);
    });
  }

  /** The mode that is in force then. */
  show(mode: DisplayMode): DisplayMode {
    const { root } = this.chrome;
    if (mode === this.mode || !DISPLAY_MODES.includes(mode) || !root.isConnected) {
      return this.mode;
    }
    const inline = this.mode === "inline";
    if (inline) {
      const { height } = root.getBoundingClientRect();
      this.#note.style.minHeight = `${Math.min(height, 160)}px`;
      root.before(this.#note);
    }
    this.mode = mode;
    root.dataset.mode = mode;
    this.#noteText.textContent = `The app is shown ${mode === "inline" ? said.inline : NAMES[mode]}.`;
    this.#note.dataset.theme = root.dataset.theme ?? "light";
    if (mode === "inline") {
      root.hidePopover();
      root.removeAttribute("popover");
      this.#note.remove();
    } else if (inline) {
      // Manual: the other kind is closed by a click anywhere else.
      root.popover = "manual";
      root.showPopover();
    }
    this.offer();
    if (mode === "fullscreen") this.chrome.focusModes();
    this.port.changed();
    this.wire.event("display", { mode });
    return mode;
  }

  /** The app asks. */
  ask(mode: DisplayMode): DisplayMode {
    // An app that could do it by itself would come back whenever it is sent away.
    const wanted = mode === "inline" || navigator.userActivation?.isActive !== false;
    return wanted && this.port.takes(mode) ? this.show(mode) : this.mode;
  }

  /** Whether that was so. */
  leaveFullscreen(): boolean {
    const was = this.mode === "fullscreen";
    if (was) this.show("inline");
    return was;
  }

  /** Buttons for the way back always, for another way where the app can take it. */
  offer(): void {
    const offered = DISPLAY_MODES.filter(
      (mode) => mode !== this.mode && (mode === "inline" || this.port.takes(mode)),
    );
    this.chrome.offerModes(offered, (mode) => this.show(mode));
  }
}
