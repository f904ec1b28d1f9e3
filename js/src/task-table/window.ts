/** Where lines of one height are in a scrolled box, when some have a panel of another height below them. */

export interface Span {
  first: number;
  end: number;
}

/** A panel below a line. */
export interface Panel {
  line: number;
  height: number;
}

export class Geometry {
  constructor(
    readonly rowHeight: number,
    readonly count: number,
    /** In the order of their lines. */
    readonly panels: readonly Panel[] = [],
  ) {}

  get height(): number {
    return this.top(this.count);
  }

  top(line: number): number {
    let top = line * this.rowHeight;
    for (const panel of this.panels) if (panel.line < line) top += panel.height;
    return top;
  }

  /** How many panels are above a line. */
  panelsBefore(line: number): number {
    let before = 0;
    for (const panel of this.panels) if (panel.line < line) before += 1;
    return before;
  }

  /** The line at a height; a panel counts as its line. */
  lineAt(y: number): number {
    let above = 0;
    for (const panel of this.panels) {
      const begin = (panel.line + 1) * this.rowHeight + above;
      if (y < begin) break;
      if (y < begin + panel.height) return panel.line;
      above += panel.height;
    }
    return Math.floor((y - above) / this.rowHeight);
  }

  /** The lines worth having in the document. */
  visible(scrollTop: number, viewport: number, overscan: number): Span {
    if (this.count === 0 || this.rowHeight <= 0) return { first: 0, end: 0 };
    const end = Math.min(this.count, Math.max(0, this.lineAt(scrollTop + viewport) + 1 + overscan));
    return { first: Math.min(Math.max(0, this.lineAt(scrollTop) - overscan), end), end };
  }

  /** The scroll position that brings a line into view, or the present one if it is there already. */
  reveal(line: number, scrollTop: number, viewport: number): number {
    const top = this.top(line);
    if (top < scrollTop) return top;
    if (top + this.rowHeight > scrollTop + viewport) return top + this.rowHeight - viewport;
    return scrollTop;
  }
}
