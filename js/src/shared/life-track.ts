import { element, setAttribute } from "./dom";
import { offset } from "./format";
import { type Lived, lifeline } from "./lifeline";
import { type Moment, statusLabel } from "./task";

/** The stretches of a task's life, as wide as they were long. */
export class LifeTrack {
  readonly node = element("div", "pmcp-life");

  constructor() {
    this.node.setAttribute("role", "img");
  }

  show(row: Lived, history: Moment[], now: number): void {
    const stretches = lifeline(row, history, now);
    while (this.node.childElementCount > stretches.length) this.node.lastChild?.remove();
    const words = stretches.map(({ status, length }, index) => {
      let part = this.node.children[index] as HTMLElement | undefined;
      if (!part) {
        part = element("span", "pmcp-life-part");
        this.node.append(part);
      }
      const said = `${statusLabel(status)} ${offset(length).slice(1)}`;
      setAttribute(part, "data-status", status);
      setAttribute(part, "title", said);
      // Milliseconds are large enough: below 1 in all, room would be left over.
      const share = String(length + 1);
      if (part.style.flexGrow !== share) part.style.flexGrow = share;
      return said;
    });
    setAttribute(this.node, "aria-label", words.slice(-8).join(", "));
  }
}
