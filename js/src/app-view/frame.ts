import { VIOLATION } from "../prelude/names";
import type { Theme } from "../shared/theme";
import {
  APP_LOADED,
  COLOR_SCHEME,
  NOT_LOADED,
  outerDocument,
  PING,
  PONG,
  PROXY,
  PROXY_READY,
  PROXY_SANDBOX,
  RESOURCE_READY,
  SANDBOX,
} from "./outer-document";

/** What the outer document enforces on the app inside it. */
export interface Policy {
  csp: string;
  allow: string;
  /** A sandbox proxy as of ext-apps, on an origin of its own, which enforces it instead. */
  proxy?: { url: string; csp: object; permissions: object } | null;
}

/** The `_resource` trait. */
export interface Resource extends Policy {
  uri: string;
  /** Null when this page is thought to have it; it is asked for when that is wrong. */
  html: string | null;
  hash?: string;
  name: string;
  prefersBorder: boolean | null;
  /** What the app asked for and nobody allowed, and what is refused in any case. */
  wanted?: Partial<Record<"connect" | "load" | "embed" | "permissions" | "refused", string[]>>;
  /** Written for `window.mcpBridge` or `window.openai`; the name of a host that has `window.openai` alone. */
  legacy?: boolean | string;
  /** As the server sent it. */
  mimeType?: string;
}

export interface FrameEvents {
  /** The outer document takes the app: the app's document is new from here on. */
  starts(): void;
  /** The app's document was loaded for the nth time since then. */
  loaded(times: number): void;
  message(data: unknown): void;
  /** The policy kept it from going elsewhere; a message as if the app told so itself. */
  notLoaded(message: unknown): void;
}

export interface App {
  name: string;
  /** What goes into the inner frame, now or when the outer one begins anew. */
  document: () => string;
  events: FrameEvents;
}

/** Pixels, until the app says how tall it is. */
export const INITIAL_HEIGHT = 320;
/** Something whose end can be seen. */
const EMPTY = "<iframe sandbox></iframe>";
/** Of an app that loads in a frame nobody has yet; more than that many are an attack. */
const MAX_EARLY = 100;

/**
 * What any frame has without being given it: windows above all others, words in the mouth of a screen reader, what other
 * sites know of the person. Only what the browser has a name for, or it complains.
 */
const DENIED = [
  "picture-in-picture",
  "aria-notify",
  "browsing-topics",
  "storage-access",
  "private-state-token-issuance",
  "private-state-token-redemption",
];

function denied(): string {
  const { featurePolicy } = document as { featurePolicy?: { features(): string[] } };
  const known = featurePolicy?.features() ?? [];
  return DENIED.flatMap((name) => (known.includes(name) ? `${name} 'none'` : [])).join("; ");
}

/** The two nested frames and the wire to the inner one. The outer one can exist before the app is known. */
export class Frame {
  readonly node = document.createElement("iframe");
  readonly #listener: (event: MessageEvent) => void;
  /** The document that was loaded ahead. */
  loaded: string | null = null;
  /** What it has said since. */
  readonly #early: MessageEvent[] = [];
  #app: App | null = null;
  #ready = false;
  /** To our own outer document; a proxy is sent messages to its window. */
  #port: MessagePort | undefined;
  #loads = 0;
  /** Whether there is a frame in it, which is gone with its process, of whose end nothing else tells. */
  #full: boolean;
  /** How many looks its process did not answer. */
  #missed = 0;

  /** @param spare No app is known yet. */
  constructor(
    readonly policy: Policy,
    private theme: Theme,
    spare = false,
  ) {
    this.#full = spare;
    this.node.className = "pmcp-app-frame";
    const { proxy } = policy;
    this.node.setAttribute("sandbox", proxy ? PROXY_SANDBOX : SANDBOX);
    this.node.setAttribute("referrerpolicy", "no-referrer");
    this.node.setAttribute("allow", [policy.allow, denied()].filter(Boolean).join("; "));
    this.node.style.colorScheme = theme;
    this.#listener = (event) => {
      // The origin is "null" for every opaque frame of the page, so the window is the only identity there is.
      const outer = this.node.contentWindow;
      if (outer === null || event.source !== outer) return;
      if (!proxy || event.origin === this.#origin) this.#receive(event);
    };
    // Before the document exists: a handshake that comes early is not lost.
    window.addEventListener("message", this.#listener);
    if (proxy) this.node.src = proxy.url;
    else this.node.srcdoc = outerDocument(policy.csp, theme, spare ? EMPTY : "");
  }

  get #origin(): string {
    const { proxy } = this.policy;
    return proxy ? new URL(proxy.url).origin : "*";
  }

  /** Show an app, now or as soon as the outer document is there; one that was loaded before goes on. */
  show(app: App): void {
    this.node.title = app.name;
    this.#app = app;
    const early = this.#early.splice(0);
    if (this.loaded === null) {
      if (this.#ready) this.#start();
      return;
    }
    app.events.starts();
    for (const event of early) this.#receive(event);
  }

  /** Have an app begin before anybody shows it. What it says waits. */
  load(document: string): void {
    this.loaded = document;
    if (this.#ready) this.#begin(document);
  }

  /** Whether the process that it was shown by ended. */
  get lost(): boolean {
    return this.#ready && this.#full && this.node.contentWindow?.length === 0;
  }

  /** Asks its process for a sign of life: how many of those before it owes. A sandbox proxy knows no such question. */
  ask(): number {
    if (!this.#port) return 0;
    if (this.#missed === 0) this.#control(PING, {});
    this.#missed += 1;
    return this.#missed - 1;
  }

  post(message: unknown): void {
    if (this.#port) this.#port.postMessage(message);
    else this.node.contentWindow?.postMessage(message, this.#origin);
  }

  setTheme(theme: Theme): void {
    if (theme === this.theme) return;
    this.theme = theme;
    this.node.style.colorScheme = theme;
    this.#control(COLOR_SCHEME, { value: theme });
  }

  remove(): void {
    window.removeEventListener("message", this.#listener);
    this.node.remove();
  }

  #receive(event: MessageEvent): void {
    const { data, ports } = event;
    const { method, params } = (data ?? {}) as { method?: unknown; params?: unknown };
    // A sandbox proxy may do without.
    this.#full ||= Boolean(this.node.contentWindow?.length);
    if (this.loaded !== null && !this.#app && method !== PROXY_READY) {
      if (this.#early.length < MAX_EARLY) this.#early.push(event);
    } else if (typeof method !== "string" || !method.startsWith(PROXY)) {
      this.#app?.events.message(data);
    } else this.#outer(method, params, ports);
  }

  /** The outer document speaks, and not the app. */
  #outer(method: string, params: unknown, ports: readonly MessagePort[]): void {
    if (method === PROXY_READY) {
      this.#ready = true;
      this.#missed = 0;
      if (!this.policy.proxy) this.#port = ports[0];
      this.#start();
    } else if (method === PONG) this.#missed = 0;
    else if (method === APP_LOADED) {
      this.#loads += 1;
      this.#app?.events.loaded(this.#loads);
    } else if (method === NOT_LOADED) {
      this.#app?.events.notLoaded({ jsonrpc: "2.0", method: VIOLATION, params });
    }
  }

  #start(): void {
    if (!this.#app) {
      if (this.loaded !== null) this.#begin(this.loaded);
      return;
    }
    this.#loads = 0;
    this.#app.events.starts();
    this.#begin(this.#app.document());
  }

  #begin(document: string): void {
    const { proxy, allow } = this.policy;
    this.#control(
      RESOURCE_READY,
      proxy
        ? { html: document, sandbox: PROXY_SANDBOX, csp: proxy.csp, permissions: proxy.permissions }
        : { html: document, sandbox: SANDBOX, allow, colorScheme: this.theme },
    );
  }

  #control(method: string, params: object): void {
    this.post({ jsonrpc: "2.0", method, params });
  }
}
