import { element, setText } from "./dom";
import { knownStatus, type Status, statusLabel } from "./task";

const SVG = "http://www.w3.org/2000/svg";

// Shapes differ as much as colours do: ring, dots, question, tick, cross, bar, dotted ring.
const SHAPES: Record<Status, string> = {
  working: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5",
  queued: "M3 8h.1M8 8h.1M13 8h.1",
  input_required: "M5.5 5.8a2.5 2.5 0 1 1 3.6 2.2C8.4 8.4 8 8.9 8 9.7M8 12.6v.1",
  completed: "M3 8.6l3.2 3.2L13 4.8",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M3 8h10",
  unknown: "M8 2.5v.1M12.8 5.2v.1M12.8 10.8v.1M8 13.5v.1M3.2 10.8v.1M3.2 5.2v.1",
};

export class Badge {
  readonly node = element("span", "pmcp-badge");
  readonly #text = element("span", "pmcp-badge-text");
  readonly #path: SVGPathElement;
  #status: string | null = null;

  constructor() {
    const icon = document.createElementNS(SVG, "svg");
    icon.setAttribute("viewBox", "0 0 16 16");
    icon.setAttribute("aria-hidden", "true");
    icon.setAttribute("class", "pmcp-badge-icon");
    this.#path = document.createElementNS(SVG, "path");
    icon.append(this.#path);
    this.node.append(icon, this.#text);
  }

  /** `label`: a word that says more than the status. */
  set(status: string, label?: string): boolean {
    if (`${status} ${label}` === this.#status) return false;
    this.#status = `${status} ${label}`;
    const known = knownStatus(status);
    this.node.dataset.status = known;
    this.#path.setAttribute("d", SHAPES[known]);
    setText(this.#text, label ?? statusLabel(known));
    return true;
  }
}
