import { notify } from "./host";
import { ESCAPED } from "./names";

/** The app has the keyboard, and the notebook hears nothing of it: full screen could not be left. */
export function escaping(): void {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) {
      notify(ESCAPED, {});
    }
  });
}

/**
 * Links within the document. Our base hides the notebook's address, and would make them links to elsewhere, which the
 * policy forbids: the app would be gone.
 */
export function anchors(): void {
  addEventListener("click", (event) => {
    const node = event.composedPath().find((each) => each instanceof HTMLAnchorElement);
    const href = (node as HTMLAnchorElement | undefined)?.getAttribute("href");
    if (event.defaultPrevented || !href?.startsWith("#")) return;
    event.preventDefault();
    location.hash = href;
  });
}
