/** What runs in the app's document before anything of the app: our only words in it. */

/** Names of ours, not the spec's; an app that sends them itself reaches no more than its own store. */
export const STORED = "run.pmcp/notifications/stored";
export const ESCAPED = "run.pmcp/notifications/escaped";
export const VIOLATION = "run.pmcp/notifications/csp-violation";
/** An app uses what the host that is played does not have. */
export const MISSING = "run.pmcp/notifications/not-offered";
/** What the requests of the imitation begin with. */
export const SHIM_ID = "legacy-";
export const LEFT = "run.pmcp/notifications/left";

/** The `_storage` trait. */
export interface Stored {
  /** What the app put into `localStorage`. */
  local?: Record<string, string>;
  /** What an old widget gave to `setWidgetState` or `setState`. */
  state?: unknown;
  /** What the document it takes the place of was left with; never stored. */
  left?: Left | null;
}

/** What a person typed, by field, and how far they scrolled. */
export interface Left {
  fields: Record<string, string | boolean>;
  scroll: [number, number];
}

const QUOTA = 1024 * 1024;

/**
 * A sandboxed document of an opaque origin has no storage, and merely asking for it throws. Apps that keep their
 * settings there get an imitation; what they keep goes into the widget's state.
 */
function storage(stored: Record<string, string>, quota: number, method: string): void {
  const make = (initial: Record<string, string>, changed: (items: object) => void) => {
    const items = new Map(Object.entries(initial));
    const taken = (key: string, value: string | null) =>
      value === null ? 0 : key.length + value.length;
    let size = 0;
    for (const [key, value] of items) size += taken(key, value);
    const put = (key: string, value: string | null) => {
      const before = items.get(key) ?? null;
      const next = size - taken(key, before) + taken(key, value);
      if (value === null) items.delete(key);
      else if (next <= quota) items.set(key, value);
      else throw new DOMException("The quota is exceeded.", "QuotaExceededError");
      size = next;
      if (before !== value) changed(Object.fromEntries(items));
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
  let leaving = false;
  let last: object = {};
  const post = () => parent.postMessage({ jsonrpc: "2.0", method, params: { local: last } }, "*");
  const tell = (local: object) => {
    last = local;
    if (leaving) post();
    if (late || leaving) return;
    late = true;
    setTimeout(() => {
      late = false;
      if (!leaving) post();
    }, 50);
  };
  addEventListener("message", ({ data, source }) => {
    // The next message may be the last that is heard.
    if (source !== parent || data?.method !== "ui/resource-teardown") return;
    leaving = true;
    if (late) post();
  });
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
 * An app that was edited takes its predecessor's place: what a person typed into a field stays there, if the field with
 * its id or name is still there and nobody wrote into it yet.
 */
function succession(left: Left | null, method: string): void {
  const fields = () => {
    const found = new Map<string, HTMLInputElement>();
    for (const each of document.querySelectorAll("input, textarea, select")) {
      const field = each as HTMLInputElement;
      const { tagName, id, name, type } = field;
      if (!(id || name) || ["password", "file", "hidden"].includes(type)) continue;
      found.set([tagName, id, name, type === "radio" ? field.value : ""].join(" "), field);
    }
    return found;
  };
  const switches = ({ type }: HTMLInputElement) => type === "checkbox" || type === "radio";
  const untouched = (field: HTMLInputElement) =>
    field.tagName === "SELECT" ||
    (switches(field) ? field.checked === field.defaultChecked : field.value === field.defaultValue);
  addEventListener("message", ({ data, source }) => {
    if (source !== parent || data?.method !== "ui/resource-teardown") return;
    const typed: Left["fields"] = {};
    for (const [key, field] of fields()) {
      if (field.tagName !== "SELECT" && untouched(field)) continue;
      typed[key] = switches(field) ? field.checked : field.value;
    }
    const params = { fields: typed, scroll: [scrollX, scrollY] };
    parent.postMessage({ jsonrpc: "2.0", method, params }, "*");
  });
  if (!left) return;
  const restore = () => {
    const present = fields();
    for (const [key, value] of Object.entries(left.fields)) {
      const field = present.get(key);
      if (!field || !untouched(field)) continue;
      if (typeof value === "boolean") field.checked = value;
      else field.value = value;
    }
  };
  addEventListener("DOMContentLoaded", restore);
  addEventListener("load", () => scrollTo(...left.scroll));
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
  const reported = new Set<string>();
  addEventListener("securitypolicyviolation", (event) => {
    const { effectiveDirective: directive, blockedURI: blocked, sourceFile, lineNumber } = event;
    // Code from text has no address but the place where it is made.
    const key = `${directive} ${blocked} ${blocked === "eval" ? `${lineNumber}:${event.columnNumber}` : ""}`;
    if (!event.isTrusted || reported.has(key) || reported.size >= 50) return;
    reported.add(key);
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

/** Nothing in it can end the script: neither its own text nor what an app once stored. */
function literal(value: unknown): string {
  return (JSON.stringify(value) ?? "null").replace(/</g, "\\u003c").replace(/[\u2028\u2029]/g, " ");
}

/** What `old-widgets.js` exports: the code of `window.mcpBridge` and `window.openai`. */
export interface OldWidgets {
  /** `missing` tells of what a host does not have that has `window.openai` alone; null where all is offered. */
  install(state: unknown, method: string, missing: string | null): void;
}

/** The script that goes before the app's document. In a `srcdoc` it does not bring quirks mode about. */
export function prelude(stored: Stored | null, old: OldWidgets | null, only: boolean): string {
  const calls = [
    `(${storage})(${literal(stored?.local ?? {})},${QUOTA},${literal(STORED)})`,
    `(${escaping})(${literal(ESCAPED)})`,
    `(${anchors})()`,
    `(${violations})(${literal(VIOLATION)})`,
    `(${succession})(${literal(stored?.left ?? null)},${literal(LEFT)})`,
  ];
  if (old) {
    const given = [stored?.state, STORED, only ? MISSING : null].map(literal);
    calls.push(`(${old.install})(${given.join(",")})`);
  }
  return `<script>${calls.join(";")};document.currentScript.remove()</script>`;
}
