import { notify, onTeardown } from "./host";
import { STORED } from "./names";

const QUOTA = 1024 * 1024;

/**
 * A sandboxed document of an opaque origin has no storage, and merely asking for it throws. Apps that keep their
 * settings there get an imitation; what they keep goes into the widget's state.
 */
export function storage(stored: Record<string, string>): void {
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
      else if (next <= QUOTA) items.set(key, value);
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
  const post = () => notify(STORED, { local: last });
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
  onTeardown(() => {
    // The next message may be the last that is heard.
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
