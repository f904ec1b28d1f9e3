/** Milliseconds in which a person sees what they are about to say yes to. */
const MOMENT_MS = 500;
/** Pixels that a hand moves which does not mean to. */
const TREMBLE = 8;

/**
 * A button that a person has to mean, because an app may ask right before a click that it lured, and move the page so
 * that the button comes under the pointer. What counts is one of
 *
 * - a click of a pointer that came onto the button by its own movement, a moment ago, and the button has not moved since;
 * - a tap where the button has stood for a moment;
 * - a key pressed on it a moment after the person moved the focus there, which nothing else does.
 *
 * What else listens to its clicks hears of no other.
 *
 * @param early Told of a click that does not count.
 */
export function deliberate(node: HTMLButtonElement, early: () => void): void {
  let place = "";
  /** Since when it stands where it is, and since when each may press it. */
  let stands = 0;
  let pointed = Infinity;
  let touched = Infinity;
  let focused = Infinity;
  /** Where the pointer was found on it that nobody saw come; null after it was seen elsewhere. */
  let found: { clientX: number; clientY: number } | null | undefined;

  const look = () => {
    const { x, y } = node.getBoundingClientRect();
    if (`${x} ${y}` === place) return;
    place = `${x} ${y}`;
    stands = performance.now();
    pointed = Infinity;
    found = undefined;
  };
  look();

  const follow = (event: PointerEvent) => {
    look();
    if (!node.contains(event.target as Node)) {
      pointed = Infinity;
      found = null;
    } else if (pointed === Infinity) {
      // The app does not say where in it the pointer is: a hand that trembles is told from one that goes somewhere.
      if (found === undefined) found = event;
      const way = found && Math.hypot(event.clientX - found.clientX, event.clientY - found.clientY);
      if (way === null || way > TREMBLE) pointed = performance.now();
    }
  };
  document.addEventListener("pointermove", follow, true);

  const timer = setInterval(() => {
    if (node.isConnected) look();
    else {
      clearInterval(timer);
      document.removeEventListener("pointermove", follow, true);
    }
  }, MOMENT_MS / 5);

  node.onpointerdown = ({ pointerType }) => {
    if (pointerType === "mouse") return;
    look();
    touched = stands;
    // Taps that go on and on were begun for something else.
    stands = performance.now();
  };
  // A click that was not meant must not leave the focus here, for the next key.
  node.onmousedown = () => false;
  node.onfocus = () => {
    focused = performance.now();
  };
  node.onkeydown = ({ repeat }) => !repeat;
  const judge = (event: MouseEvent) => {
    look();
    const since = event.detail === 0 ? focused : Math.min(pointed, touched);
    touched = Infinity;
    if (event.isTrusted && performance.now() - since >= MOMENT_MS) return;
    event.stopImmediatePropagation();
    early();
  };
  node.addEventListener("click", judge, true);
}
