/** The window above, taken before the app can put anything in its place. */
const host = window.parent;
/** What the app is shown for it. */
const shown: Record<string, unknown> = {
  postMessage: (...sent: [unknown, string]) => host.postMessage(...sent),
  closed: false,
};

export function notify(method: string, params: object): void {
  host.postMessage({ jsonrpc: "2.0", method, params }, "*");
}

export function onTeardown(leave: () => void): void {
  addEventListener("message", ({ data, source }) => {
    if ((source as unknown) === shown && data?.method === "ui/resource-teardown") leave();
  });
}

/**
 * `parent` as apps of a page of the same origin know it. The real one is of another origin: reading any name of it
 * throws, so a framework that wraps what it is given (Vue's `ref(parent)`) is dead, and nothing can be put in the
 * place of its `postMessage` (mcp-ui's adapters do). This one has `postMessage` alone, and leads nowhere: the real one
 * can be had in other ways, and gives no more. `top` can't be redefined.
 */
export function facade(): void {
  shown.window = shown.self = shown.parent = shown.top = shown;
  Object.defineProperty(window, "parent", { value: shown, writable: true, configurable: true });
  const property = Object.getOwnPropertyDescriptor(MessageEvent.prototype, "source");
  Object.defineProperty(MessageEvent.prototype, "source", {
    ...property,
    get() {
      const source = property?.get?.call(this);
      return source === host ? shown : source;
    },
  });
  // An event of the app's own, said to come from the host.
  window.MessageEvent = new Proxy(MessageEvent, {
    construct: (made, [type, init], target) =>
      Reflect.construct(
        made,
        [type, init?.source === shown ? { ...init, source: host } : init],
        target,
      ),
  });
}
