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

/** The `_resource` trait. */
export interface Resource {
  uri: string;
  html: string;
  csp: string;
  allow: string;
  name: string;
  prefersBorder: boolean | null;
}

interface FrameEvents {
  /** The outer document asks for the app: the app's document is new from here on. */
  starts(): void;
  /** The app's document was loaded for the nth time since then. */
  loaded(times: number): void;
  message(data: unknown): void;
}

/** The two nested frames and the wire to the inner one. */
export class Frame {
  readonly node = document.createElement("iframe");
  readonly #listener: (event: MessageEvent) => void;
  #loads = 0;

  constructor(
    private readonly resource: Resource,
    private theme: Theme,
    private readonly events: FrameEvents,
  ) {
    this.node.className = "pmcp-app-frame";
    this.node.setAttribute("sandbox", SANDBOX);
    this.node.setAttribute("referrerpolicy", "no-referrer");
    this.node.setAttribute("allow", resource.allow);
    this.node.title = resource.name;
    this.node.style.colorScheme = theme;
    this.#listener = (event) => {
      // The origin is "null" for every opaque frame of the page, so the window is the only identity there is.
      const outer = this.node.contentWindow;
      if (outer !== null && event.source === outer) this.#receive(event.data);
    };
    // Before the document exists: a handshake that comes early is not lost.
    window.addEventListener("message", this.#listener);
    this.node.srcdoc = outerDocument(resource.csp, theme);
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
      this.events.message(data);
    } else if (method === PROXY_READY) {
      this.#loads = 0;
      this.events.starts();
      this.#control(RESOURCE_READY, {
        html: this.resource.html,
        sandbox: SANDBOX,
        allow: this.resource.allow,
        colorScheme: this.theme,
      });
    } else if (method === APP_LOADED) {
      this.#loads += 1;
      this.events.loaded(this.#loads);
    }
  }

  #control(method: string, params: object): void {
    this.post({ jsonrpc: "2.0", method, params });
  }
}
