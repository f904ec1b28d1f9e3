/** Pixels that text gets from the frame's edge where its page gives it less than so many. */
const ROOM = 10;
const LEAST = 4;
/** Milliseconds after the page is there: what is drawn from data comes late. */
const LOOKS = [50, 400, 1500, 4000];
const MOST = 300;

/** Whether nothing between it and the page has a colour or a place of its own. */
function flows(node: Element | null): boolean {
  for (let at = node; at && at !== document.body; at = at.parentElement) {
    const { backgroundColor, backgroundImage, position } = getComputedStyle(at);
    const drawn = backgroundColor !== "rgba(0, 0, 0, 0)" || backgroundImage !== "none";
    if (drawn || position === "absolute" || position === "fixed") return false;
  }
  return true;
}

function touches(): boolean {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let n = 0; n < MOST && texts.nextNode(); n++) {
    const text = texts.currentNode as Text;
    if (!text.data.trim()) continue;
    range.selectNodeContents(text);
    const { left, width } = range.getBoundingClientRect();
    if (width > 0 && left >= 0 && left < LEAST && flows(text.parentElement)) return true;
  }
  return false;
}

/**
 * Many apps leave the space around them to their host, and text that touches the line around a frame reads badly. What
 * is drawn to the edge (a map, a bar with a colour of its own) stays there, and so does a page that would not fit.
 */
export function edges(): void {
  const look = () => {
    const { body, documentElement: root } = document;
    if (body.dataset.pmcpRoom || !touches()) return;
    const { style } = body;
    const before = style.cssText;
    const room = root.scrollWidth - root.clientWidth;
    body.dataset.pmcpRoom = "given";
    style.boxSizing = "border-box";
    style.paddingInline = `${ROOM}px`;
    if (root.scrollWidth - root.clientWidth > room) style.cssText = before;
  };
  addEventListener("load", () => {
    for (const after of LOOKS) setTimeout(look, after);
  });
}
