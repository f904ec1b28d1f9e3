/** Pixels that text gets from the frame's edge where its page gives it less than so many. */
const ROOM = 10;
const LEAST = 4;
/** Milliseconds after the page is there: what is drawn from data comes late. */
const LOOKS = [50, 400, 1500, 4000];
const MOST = 300;

/** What the space is given to: of what the text is in, the first that is drawn as wide as the frame, or the page. */
function holder(text: Text): HTMLElement | null {
  for (let at = text.parentElement; at && at !== document.body; at = at.parentElement) {
    const { backgroundColor, backgroundImage, position } = getComputedStyle(at);
    if (position === "absolute" || position === "fixed") return null;
    const drawn = backgroundColor !== "rgba(0, 0, 0, 0)" || backgroundImage !== "none";
    if (drawn && at.offsetWidth > 0.9 * innerWidth) return at;
  }
  return document.body;
}

/** Those with text at the edge. */
function crowded(): Set<HTMLElement> {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  const found = new Set<HTMLElement>();
  for (let n = 0; n < MOST && texts.nextNode(); n++) {
    const text = texts.currentNode as Text;
    if (!text.data.trim()) continue;
    range.selectNodeContents(text);
    const { left, width } = range.getBoundingClientRect();
    const node = width > 0 && left >= 0 && left < LEAST ? holder(text) : null;
    if (node) found.add(node);
  }
  return found;
}

/**
 * Many apps leave the space around them to their host, and text that touches the line around a frame reads badly. What
 * is drawn to the edge (a map, a bar with a colour of its own) stays there, and so does a page that would not fit.
 */
export function edges(): void {
  const given = new WeakSet<HTMLElement>();
  const look = () => {
    const root = document.documentElement;
    for (const node of crowded()) {
      if (given.has(node)) continue;
      given.add(node);
      const { style } = node;
      const before = style.cssText;
      const beyond = () =>
        root.scrollWidth - root.clientWidth + node.scrollWidth - node.clientWidth;
      const already = beyond();
      style.boxSizing = "border-box";
      style.paddingInline = `${ROOM}px`;
      if (beyond() > already) style.cssText = before;
    }
  };
  addEventListener("load", () => {
    for (const after of LOOKS) setTimeout(look, after);
  });
}
