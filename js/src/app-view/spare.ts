import { currentTheme } from "../shared/theme";
import { Frame, INITIAL_HEIGHT, type Policy } from "./frame";

/** A spare that nobody took in this time is given back. */
const SPARE_LIFETIME_MS = 60_000;
/** An app that was loaded ahead, and that nobody shows, ends after so long. */
const LOADED_LIFETIME_MS = 3000;

interface Spare {
  frame: Frame;
  holder: HTMLElement;
  timer: ReturnType<typeof setTimeout>;
}

/** Moves a connected node without reloading the frames in it. Not in every browser, nor in TypeScript's library. */
type Movable = Element & { moveBefore(node: Node, before: Node | null): void };

function movable(node: Element): node is Movable {
  return "moveBefore" in node;
}

/** The page's: its models share this module. */
let spare: Spare | undefined;

/** Whether there is a spare for this policy. */
export function hasSpare(policy: Policy): boolean {
  if (spare?.frame.lost) drop();
  const frame = spare?.frame;
  return (
    frame !== undefined &&
    frame.policy.csp === policy.csp &&
    frame.policy.allow === policy.allow &&
    !policy.proxy
  );
}

/**
 * Make an outer frame ahead of the app that will need one. A sandboxed frame takes a process and a navigation of its
 * own before it can take the app, about as long as the kernel takes to read the app; made ahead, that costs nothing.
 * @param width That of the last view, in pixels: an app that is loaded ahead finds the room it will have.
 */
export function prepareSpare({ csp, allow }: Policy, width = 0): void {
  const holder = document.createElement("div");
  if (spare || !movable(holder)) return;
  const frame = new Frame({ csp, allow }, currentTheme(), true);
  // Not `display: none`: a frame that is not rendered may be left alone by the browser. Fixed, so that a page that
  // becomes narrower has nothing to scroll to.
  const height = width && INITIAL_HEIGHT;
  holder.style.cssText = `position:fixed;top:0;width:${width}px;height:${height}px;overflow:hidden;visibility:hidden`;
  frame.node.style.cssText += ";border:0;width:100%;height:100%";
  holder.setAttribute("aria-hidden", "true");
  holder.append(frame.node);
  document.body.append(holder);
  spare = { frame, holder, timer: setTimeout(drop, SPARE_LIFETIME_MS) };
}

/** Puts the spare into `slot` and hands it over; null when there is none that fits. `slot` must be in the page. */
export function takeSpare(policy: Policy, slot: Element, document: string): Frame | null {
  if (!spare || !hasSpare(policy) || !slot.isConnected || !movable(slot)) return null;
  const { frame, holder } = spare;
  if (frame.loaded !== null && frame.loaded !== document) {
    drop();
    return null;
  }
  clearTimeout(spare.timer);
  spare = undefined;
  slot.replaceChildren();
  slot.moveBefore(frame.node, null);
  holder.remove();
  frame.setTheme(currentTheme());
  return frame;
}

/** Have an app begin in the spare while the notebook makes its view. Not where nobody knows how wide that will be. */
export function loadSpare(policy: Policy, document: string): void {
  if (!spare || !hasSpare(policy) || spare.frame.loaded !== null || !spare.holder.clientWidth)
    return;
  clearTimeout(spare.timer);
  spare.timer = setTimeout(drop, LOADED_LIFETIME_MS);
  spare.frame.load(document);
}

/** Also for who doubts that it is alive: it shares a process with the apps, and that may have ended, or be busy for good. */
export function drop(): void {
  clearTimeout(spare?.timer);
  spare?.frame.remove();
  spare?.holder.remove();
  spare = undefined;
}
