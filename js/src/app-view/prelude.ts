/** What runs in the app's document before anything of the app: our only words in it. */

/** Names of ours, not the spec's; an app that sends them itself reaches no more than its own store. */
export const STORED = "run.pmcp/notifications/stored";
export const ESCAPED = "run.pmcp/notifications/escaped";
export const VIOLATION = "run.pmcp/notifications/csp-violation";

/** The `_storage` trait. */
export interface Stored {
  /** What the app put into `localStorage`. */
  local?: Record<string, string>;
  /** What an old widget gave to `setWidgetState` or `setState`. */
  state?: unknown;
}

const QUOTA = 1024 * 1024;

/**
 * A sandboxed document of an opaque origin has no storage, and merely asking for it throws. Apps that keep their
 * settings there get an imitation; what they keep goes into the widget's state.
 */
function storage(stored: Record<string, string>, quota: number, method: string): void {
  const make = (initial: Record<string, string>, changed: (items: object) => void) => {
    const items = new Map(Object.entries(initial));
    let size = 0;
    for (const [key, value] of items) size += key.length + value.length;
    const put = (key: string, value: string | null) => {
      const before = items.get(key);
      const freed = before === undefined ? 0 : key.length + before.length;
      if (value === null) {
        size -= freed;
        items.delete(key);
      } else {
        const next = size - freed + key.length + value.length;
        if (next > quota) throw new DOMException("The quota is exceeded.", "QuotaExceededError");
        size = next;
        items.set(key, value);
      }
      if (before !== (value ?? undefined)) changed(Object.fromEntries(items));
    };
    const own: Record<string, unknown> = {
      getItem: (key: unknown) => items.get(String(key)) ?? null,
      setItem: (key: unknown, value: unknown) => put(String(key), String(value)),
      removeItem: (key: unknown) => put(String(key), null),
      clear: () => {
        for (const key of [...items.keys()]) put(key, null);
      },
      key: (index: unknown) => [...items.keys()][Number(index)] ?? null,
    };
    return new Proxy(Object.create(null), {
      get: (_, key) => {
        if (typeof key === "symbol") return undefined;
        if (key === "length") return items.size;
        return Object.hasOwn(own, key) ? own[key] : items.get(key);
      },
      set: (_, key, value) => {
        if (typeof key === "string") put(key, String(value));
        return true;
      },
      deleteProperty: (_, key) => {
        if (typeof key === "string") put(key, null);
        return true;
      },
      has: (_, key) => typeof key === "string" && (Object.hasOwn(own, key) || items.has(key)),
      ownKeys: () => [...items.keys()],
      getOwnPropertyDescriptor: (_, key) => {
        const value = typeof key === "string" ? items.get(key) : undefined;
        return value === undefined
          ? undefined
          : { value, writable: true, enumerable: true, configurable: true };
      },
    });
  };
  let late = false;
  let last: object = {};
  const tell = (local: object) => {
    last = local;
    if (late) return;
    late = true;
    setTimeout(() => {
      late = false;
      parent.postMessage({ jsonrpc: "2.0", method, params: { local: last } }, "*");
    }, 50);
  };
  const stores = { localStorage: make(stored, tell), sessionStorage: make({}, () => {}) };
  for (const [name, value] of Object.entries(stores)) {
    try {
      void window[name as "localStorage"];
    } catch {
      Object.defineProperty(window, name, { value, configurable: true });
    }
  }
}

/** The app has the keyboard, and the notebook hears nothing of it: full screen could not be left. */
function escaping(method: string): void {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) {
      parent.postMessage({ jsonrpc: "2.0", method, params: {} }, "*");
    }
  });
}

/**
 * Links within the document. Our base hides the notebook's address, and would make them links to elsewhere, which the
 * policy forbids: the app would be gone.
 */
function anchors(): void {
  addEventListener("click", (event) => {
    const node = event.composedPath().find((each) => each instanceof HTMLAnchorElement);
    const href = (node as HTMLAnchorElement | undefined)?.getAttribute("href");
    if (event.defaultPrevented || !href?.startsWith("#")) return;
    event.preventDefault();
    location.hash = href;
  });
}

/** What the policy keeps the app from is said in a console that few open. Once for each thing. */
function violations(method: string): void {
  const told = new Set<string>();
  addEventListener("securitypolicyviolation", (event) => {
    const { effectiveDirective: directive, blockedURI: blocked, sourceFile, lineNumber } = event;
    // Code from text has no address but the place where it is made.
    const key = `${directive} ${blocked} ${blocked === "eval" ? `${lineNumber}:${event.columnNumber}` : ""}`;
    if (!event.isTrusted || told.has(key) || told.size >= 50) return;
    told.add(key);
    const params = {
      directive,
      blocked,
      sample: event.sample,
      source: sourceFile,
      line: lineNumber,
    };
    parent.postMessage({ jsonrpc: "2.0", method, params }, "*");
  });
}

/**
 * `window.mcpBridge` and `window.openai` for widgets that were written for them. They shake hands with the host as
 * any app does. `callTool` gives the `CallToolResult`, on which the fields of its structured content (or of the JSON
 * in its text) can be read as well, besides `success` and, for a failure, `error`.
 */
function legacy(state: unknown, method: string): void {
  type Json = Record<string, unknown>;
  const pending = new Map<number, { resolve: (value: Json) => void; reject: (e: Error) => void }>();
  let next = 0;
  const say = (message: object) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const ask = (name: string, params: object) =>
    new Promise<Json>((resolve, reject) => {
      next += 1;
      pending.set(next, { resolve, reject });
      say({ id: `legacy-${next}`, method: name, params });
    });
  const globals: Json = {
    toolInput: null,
    toolOutput: null,
    toolResponseMetadata: null,
    widgetState: state ?? null,
    theme: "light",
    locale: navigator.language,
    displayMode: "inline",
    maxHeight: null,
    safeArea: { insets: { top: 0, right: 0, bottom: 0, left: 0 } },
    userAgent: { device: { type: "desktop" }, capabilities: { hover: true, touch: false } },
  };
  const data = (result: Json): unknown => {
    if (result.structuredContent !== undefined) return result.structuredContent;
    const text = (result.content as Json[] | undefined)?.find((each) => each.type === "text")?.text;
    try {
      return JSON.parse(text as string);
    } catch {
      return text;
    }
  };
  const told = (result: Json): Json => {
    const inner = data(result);
    const fields = typeof inner === "object" && !Array.isArray(inner) ? inner : {};
    const outcome = result.isError
      ? { success: false, error: typeof inner === "string" ? inner : "the tool failed" }
      : { success: true };
    return { ...outcome, ...fields, ...result };
  };
  const set = (changes: Json) => {
    Object.assign(globals, changes);
    dispatchEvent(new CustomEvent("openai:set_globals", { detail: { globals: changes } }));
  };
  const context = (given: Json) => {
    const { theme, locale, displayMode, safeAreaInsets, containerDimensions } = given;
    const changes: Json = {};
    if (theme) changes.theme = theme;
    if (locale) changes.locale = locale;
    if (displayMode) changes.displayMode = displayMode;
    if (safeAreaInsets) changes.safeArea = { insets: safeAreaInsets };
    if (containerDimensions) changes.maxHeight = (containerDimensions as Json).maxHeight ?? null;
    set(changes);
  };
  const keep = (value: unknown) => {
    set({ widgetState: value });
    say({ method, params: { state: value } });
  };
  const callTool = async (name: string, args?: object) =>
    told(await ask("tools/call", { name, arguments: args ?? {} }));
  const message = (text: unknown) =>
    ask("ui/message", { role: "user", content: [{ type: "text", text: String(text) }] });
  const open = (target: unknown) =>
    ask("ui/open-link", { url: (target as Json | null)?.href ?? target });
  const mode = (wanted: unknown) =>
    ask("ui/request-display-mode", { mode: (wanted as Json | null)?.mode ?? wanted });
  const height = (tall: unknown) =>
    say({ method: "ui/notifications/size-changed", params: { height: tall } });
  const bridge: Json = {
    callTool,
    readResource: (uri: string) => ask("resources/read", { uri }),
    getState: () => globals.widgetState ?? {},
    setState: (changes: object) => keep({ ...(globals.widgetState as object | null), ...changes }),
    sendMessage: message,
    openExternal: open,
    openLink: open,
    requestDisplayMode: mode,
    notifyIntrinsicHeight: height,
    extensions: {},
  };
  const openai: Json = {
    callTool,
    setWidgetState: (value: unknown) => keep(value),
    sendFollowUpMessage: (given: unknown) => message((given as Json | null)?.prompt ?? given),
    openExternal: open,
    requestDisplayMode: mode,
    requestClose: () => say({ method: "ui/notifications/request-teardown", params: {} }),
    notifyIntrinsicHeight: height,
  };
  for (const name of Object.keys(globals)) {
    const get = () => globals[name];
    Object.defineProperty(openai, name, { get, enumerable: true });
    Object.defineProperty(bridge, name, { get, enumerable: true });
  }
  addEventListener("message", ({ data: message, source }) => {
    if (source !== parent || typeof message !== "object" || message === null) return;
    const { id, method: name, params, result, error } = message;
    if (name === "ui/notifications/tool-input") set({ toolInput: params.arguments });
    else if (name === "ui/notifications/tool-result") {
      set({ toolOutput: data(params) ?? null, toolResponseMetadata: params._meta ?? null });
    } else if (name === "ui/notifications/host-context-changed") context(params);
    else if (name === undefined && typeof id === "string" && id.startsWith("legacy-")) {
      const waiting = pending.get(Number(id.slice(7)));
      pending.delete(Number(id.slice(7)));
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    }
  });
  Object.assign(window, { mcpBridge: bridge, openai });
  const modes = ["inline", "fullscreen", "pip"];
  const start = async () => {
    const host = await ask("ui/initialize", {
      appInfo: { name: document.title || "widget", version: "0" },
      appCapabilities: { availableDisplayModes: modes },
      protocolVersion: "2026-01-26",
    });
    context(host.hostContext as Json);
    say({ method: "ui/notifications/initialized", params: {} });
    dispatchEvent(new Event("mcpBridgeReady"));
  };
  // A widget that waits for the event has to be there first.
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
}

/** Nothing in it can end the script: neither its own text nor what an app once stored. */
function literal(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replace(/</g, "\\u003c").replace(/[\u2028\u2029]/g, " ");
}

/** The script that goes before the app's document. In a `srcdoc` it does not bring quirks mode about. */
export function prelude(stored: Stored | null, old: boolean): string {
  const calls = [
    `(${storage})(${literal(stored?.local ?? {})},${QUOTA},${literal(STORED)})`,
    `(${escaping})(${literal(ESCAPED)})`,
    `(${anchors})()`,
    `(${violations})(${literal(VIOLATION)})`,
  ];
  if (old) calls.push(`(${legacy})(${literal(stored?.state)},${literal(STORED)})`);
  return `<script>${calls.join(";")};document.currentScript.remove()</script>`;
}
