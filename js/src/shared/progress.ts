import { element, setAttribute, setText } from "./dom";
import { percent } from "./format";
import { isLive, progressOf, type Row } from "./task";

/** A bar with its figure; without a figure, a live task shows that it moves and a dead one shows nothing. */
export class ProgressBar {
  readonly node = element("div", "pmcp-progress");
  readonly #fill = element("div", "pmcp-progress-fill");
  readonly #text = element("span", "pmcp-progress-text");

  constructor() {
    const track = element("div", "pmcp-progress-track", this.#fill);
    this.node.append(track, this.#text);
    this.node.setAttribute("role", "progressbar");
    this.node.setAttribute("aria-valuemin", "0");
    this.node.setAttribute("aria-valuemax", "100");
  }

  set(row: Pick<Row, "status" | "progress" | "tool">): void {
    const progress = progressOf(row);
    const live = isLive(row);
    const state = progress !== null ? "known" : row.status === "working" ? "moving" : "none";
    setAttribute(this.node, "data-state", state);
    setAttribute(this.node, "data-status", row.status);
    setAttribute(this.node, "aria-label", `progress of ${row.tool}`);
    setAttribute(
      this.node,
      "aria-valuenow",
      progress === null ? null : percent(progress).slice(0, -1),
    );
    setText(this.#text, progress === null ? (live ? "" : "–") : percent(progress));
    const scale = `scaleX(${progress === null ? 0 : Math.round(progress * 1000) / 1000})`;
    if (this.#fill.style.transform !== scale)
      this.#fill.style.transform = state === "moving" ? "" : scale;
  }
}
