import type { Theme } from "../shared/theme";
import {
  APP_LOADED,
  COLOR_SCHEME,
  outerDocument,
  PROXY,
  PROXY_READY,
  RESOURCE_READY,
  SANDBOX,
} from "./outer-document";
import { prelude, type Stored } from "./prelude";

/** What the outer document enforces on the app inside it. */
export interface Policy {
  csp: string;
  allow: string;
}

/** The `_resource` trait. */
export interface Resource extends Policy {
  uri: string;
  html: string;
  name: string;
  prefersBorder: boolean | null;
  /** Written for `window.mcpBridge` or `window.openai`. */
  legacy?: boolean;
}

export interface FrameEvents {
  /** The outer document takes the app: the app's document is new from here on. */
  starts(): void;
  /** The app's document was loaded for the nth time since then. */
  loaded(times: number): void;
  message(data: unknown): void;
}

/** The two nested frames and the wire to the inner one. The outer one can exist before the app is known. */
export class Frame {
  readonly node = document.createElement("iframe");
  readonly #listener: (event: MessageEvent) => void;
  #app: { resource: Resource; stored: () => Stored | null; events: FrameEvents } | null = null;
  #ready = false;
  #loads = 0;

  constructor(
    readonly policy: Policy,
    private theme: Theme,
  ) {
    this.node.className = "pmcp-app-frame";
    this.node.setAttribute("sandbox", SANDBOX);
    this.node.setAttribute("referrerpolicy", "no-referrer");
    this.node.setAttribute("allow", policy.allow);
    this.node.style.colorScheme = theme;
    this.#listener = (event) => {
      // The origin is "null" for every opaque frame of the page, so the window is the only identity there is.
      const outer = this.node.contentWindow;
      if (outer !== null && event.source === outer) this.#receive(event.data);
    };
    // Before the document exists: a handshake that comes early is not lost.
    window.addEventListener("message", this.#listener);
    this.node.srcdoc = outerDocument(policy.csp, theme);
  }

  /** Show an app, now or as soon as the outer document is there. */
  show(resource: Resource, stored: () => Stored | null, events: FrameEvents): void {
    this.node.title = resource.name;
    this.#app = { resource, stored, events };
    if (this.#ready) this.#start();
  }

  post(message: unknown): void {
    this.node.contentWindow?.postMessage(message, "*");
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

  #receive(data: unknown): void {
    const method = (data as { method?: unknown } | null)?.method;
    if (typeof method !== "string" || !method.startsWith(PROXY)) {
      this.#app?.events.message(data);
    } else if (method === PROXY_READY) {
      this.#ready = true;
      this.#start();
    } else if (method === APP_LOADED) {
      this.#loads += 1;
      this.#app?.events.loaded(this.#loads);
    }
  }

  #start(): void {
    if (!this.#app) return;
    const { resource, stored, events } = this.#app;
    this.#loads = 0;
    events.starts();
    this.#control(RESOURCE_READY, {
      html: prelude(stored(), resource.legacy ?? false) + resource.html,
      sandbox: SANDBOX,
      allow: this.policy.allow,
      colorScheme: this.theme,
    });
  }

  #control(method: string, params: object): void {
    this.post({ jsonrpc: "2.0", method, params });
  }
}
