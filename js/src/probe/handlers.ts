import type { Tell } from "./tell";

/** Said once, right after the app said that it is ready. */
const ONCE = new Set(["ui/notifications/tool-input", "ui/notifications/tool-result"]);

/** Handlers that are set when what they are for may be over. Returns what to call when the app says that it is ready. */
export function handlers(tell: Tell): () => void {
  let ready = false;
  let listening = false;
  const set = Map.prototype.set;
  const known = new Set<unknown>();
  // Where every SDK keeps a handler: under its method.
  Map.prototype.set = function (key: unknown, value: unknown) {
    if (typeof key === "string" && ONCE.has(key) && !known.has(key)) {
      known.add(key);
      if (ready) tell("late", key);
    }
    return set.call(this, key, value);
  };
  const add = window.addEventListener;
  window.addEventListener = function (this: unknown, ...given: Parameters<typeof add>) {
    if (given[0] === "message") {
      if (ready && !listening && !window.onmessage) tell("late", "message");
      listening = true;
    }
    return add.apply(this as Window, given);
  } as typeof add;
  // A handler in an attribute is read by the browser when it is first wanted, and only then found to be none.
  const compile = () => {
    for (const node of document.querySelectorAll("*")) {
      for (const { name } of node.attributes) {
        if (name.startsWith("on")) void (node as unknown as Record<string, unknown>)[name];
      }
    }
  };
  add.call(window, "load", () => setTimeout(compile, 50));
  return () => {
    ready = true;
  };
}
