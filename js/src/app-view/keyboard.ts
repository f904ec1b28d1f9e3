/** Whose keys they are: an app may take the keyboard by script, and with it what is being typed into the notebook. */

function editable(node: Element | null): node is HTMLElement {
  return (
    node instanceof HTMLElement &&
    (node.isContentEditable || /^(INPUT|TEXTAREA)$/.test(node.tagName))
  );
}

/** Gives the keyboard back to where somebody was typing, unless it went into `stage` by the pointer or by Tab. */
export function keepKeyboard(stage: HTMLElement, signal: AbortSignal): void {
  let typing: Element | null = null;
  let tabbed = false;
  const options = { capture: true, signal };
  document.addEventListener("focusin", ({ target }) => (typing = target as Element), options);
  document.addEventListener("keydown", ({ key }) => (tabbed = key === "Tab"), options);
  document.addEventListener("pointerdown", () => (tabbed = false), options);
  window.addEventListener(
    "blur",
    () => {
      const taken = stage.contains(document.activeElement) && !tabbed && !stage.matches(":hover");
      if (taken && editable(typing) && typing.isConnected) typing.focus({ preventScroll: true });
    },
    { signal },
  );
}
