/**
 * The app's half of MCP Apps 2026-01-26: the names and the behaviour of `App` in `@modelcontextprotocol/ext-apps`, of
 * which it is a small part, so that a widget can change from one to the other.
 */

import type { McpUiAppCapabilities, McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import { followSize } from "./size";
import { type Message, PostMessageTransport, type Transport } from "./transport";

type Params = Record<string, unknown>;
type Handler = (params: never) => unknown;

export interface Implementation {
  name: string;
  version: string;
}

export interface AppOptions {
  /** Tell the host how tall the document is; on unless it is false. */
  autoResize?: boolean;
}

export interface RequestOptions {
  signal?: AbortSignal;
  /** Milliseconds; without it a request may take as long as it needs. */
  timeout?: number;
  onprogress?: (progress: { progress: number; total?: number; message?: string }) => void;
}

const PROTOCOL_VERSION = "2026-01-26";
const HANDSHAKE_TIMEOUT_MS = 10_000;

const EVENTS: Record<string, string> = {
  "ui/notifications/tool-input": "toolinput",
  "ui/notifications/tool-input-partial": "toolinputpartial",
  "ui/notifications/tool-result": "toolresult",
  "ui/notifications/tool-cancelled": "toolcancelled",
  "ui/notifications/host-context-changed": "hostcontextchanged",
};

/** The host's answer was an error; `code` and `data` are its own. */
export class HostError extends Error {
  constructor(
    message: string,
    readonly code: number,
    readonly data?: unknown,
  ) {
    super(message);
  }
}

/** One count for the page: an answer to one app is none to another. */
let requests = 0;
const made: App[] = [];
const waiting: ((app: App) => void)[] = [];

/** The first app of the page, at once or when it is made. */
export function whenMade(then: (app: App) => void): void {
  if (made[0]) then(made[0]);
  else waiting.push(then);
}

export const anyMade = (): boolean => made.length > 0;

export class App {
  /** Where messages go when `connect` is given nothing. */
  static transport: () => Transport = () => new PostMessageTransport();
  onerror?: (error: Error) => void;
  onclose?: () => void;
  onteardown?: (params: Params) => unknown;
  oncalltool?: (params: { name: string; arguments?: Params }) => unknown;
  onlisttools?: (params: Params) => unknown;
  readonly #handlers = new Map<string, Handler>();
  readonly #listeners = new Map<string, Set<Handler>>();
  readonly #observers = new Map<string, Handler[]>();
  /** What came before anybody wanted to hear it: whoever comes late to the tool's input or result gets it still. */
  readonly #missed = new Map<string, Params>();
  readonly #pending = new Map<
    string | number,
    { resolve: (value: never) => void; reject: (error: Error) => void; options: RequestOptions }
  >();
  #transport: Transport | null = null;
  #opened = () => {};
  /** When the handshake is done. */
  readonly ready = new Promise<void>((resolve) => {
    this.#opened = resolve;
  });
  #host: Params = {};
  #context: McpUiHostContext = {};
  #unfollow = () => {};

  constructor(
    private readonly info: Implementation,
    private readonly capabilities: McpUiAppCapabilities = {},
    private readonly options: AppOptions = {},
  ) {
    made.push(this);
    if (made.length === 1) for (const then of waiting.splice(0)) then(this);
  }

  getHostContext = (): McpUiHostContext | undefined => this.#context;
  getHostCapabilities = () => this.#host.hostCapabilities as Params | undefined;
  getHostVersion = () => this.#host.hostInfo as Implementation | undefined;

  /** Shakes hands with the host. Handlers that are set before miss nothing; those set after get what came meanwhile. */
  async connect(transport: Transport = App.transport(), options?: RequestOptions): Promise<void> {
    if (this.#transport) throw new Error("this app is connected already");
    this.#transport = transport;
    transport.onmessage = (message) => this.#receive(message);
    transport.onclose = () => this.#closed();
    await transport.start();
    try {
      this.#host = await this.request(
        "ui/initialize",
        {
          appInfo: this.info,
          appCapabilities: this.capabilities,
          protocolVersion: PROTOCOL_VERSION,
        },
        { timeout: HANDSHAKE_TIMEOUT_MS, ...options },
      );
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#context = { ...(this.#host.hostContext as McpUiHostContext), ...this.#context };
    this.notify("ui/notifications/initialized");
    this.#opened();
    if (this.options.autoResize ?? true) this.#unfollow = this.setupSizeChangedNotifications();
  }

  async close(): Promise<void> {
    await this.#transport?.close();
  }

  addEventListener(event: string, handler: Handler): void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(handler));
    this.#catchUp(event, handler);
  }

  removeEventListener(event: string, handler: Handler): void {
    this.#listeners.get(event)?.delete(handler);
  }

  /** Hears what comes from now on, and does not count as the widget's having heard it. */
  observe(event: string, handler: Handler): void {
    this.#observers.set(event, [...(this.#observers.get(event) ?? []), handler]);
  }

  handler(event: string): Handler | undefined {
    return this.#handlers.get(event);
  }

  setHandler(event: string, handler: Handler | undefined): void {
    if (!handler) {
      this.#handlers.delete(event);
      return;
    }
    this.#handlers.set(event, handler);
    this.#catchUp(event, handler);
  }

  callServerTool = (params: { name: string; arguments?: Params }, options?: RequestOptions) =>
    this.request("tools/call", params, options);
  readServerResource = (params: { uri: string }, options?: RequestOptions) =>
    this.request("resources/read", params, options);
  listServerResources = (params: Params = {}, options?: RequestOptions) =>
    this.request("resources/list", params, options);
  createSamplingMessage = (params: Params, options?: RequestOptions) =>
    this.request("sampling/createMessage", params, options);
  sendMessage = (params: { role: "user"; content: Params[] }, options?: RequestOptions) =>
    this.request("ui/message", params, options);
  updateModelContext = (params: Params, options?: RequestOptions) =>
    this.request("ui/update-model-context", params, options);
  openLink = (params: { url: string }, options?: RequestOptions) =>
    this.request("ui/open-link", params, options);
  downloadFile = (params: { contents: Params[] }, options?: RequestOptions) =>
    this.request("ui/download-file", params, options);
  requestDisplayMode = (params: { mode: string }, options?: RequestOptions) =>
    this.request("ui/request-display-mode", params, options);
  sendLog = async (params: { level: string; data: unknown; logger?: string }) =>
    this.notify("notifications/message", params);
  sendSizeChanged = async (params: { width?: number; height?: number }) =>
    this.notify("ui/notifications/size-changed", params);
  sendToolListChanged = async (params: Params = {}) =>
    this.notify("notifications/tools/list_changed", params);
  requestTeardown = async (params: Params = {}) =>
    this.notify("ui/notifications/request-teardown", params);
  setupSizeChangedNotifications = (): (() => void) =>
    followSize((size) => void this.sendSizeChanged(size));

  request(method: string, params: Params, options: RequestOptions = {}): Promise<Params> {
    const { signal, timeout, onprogress } = options;
    if (!this.#transport) return Promise.reject(new Error(`${method}: call connect() before`));
    if (signal?.aborted) return Promise.reject(signal.reason);
    requests += 1;
    const id = requests;
    const meta = { ...(params._meta as Params | undefined), progressToken: id };
    const sent = onprogress ? { ...params, _meta: meta } : params;
    return new Promise<Params>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, options });
      const end = (reason: Error) => {
        if (!this.#pending.delete(id)) return;
        if (method !== "ui/initialize") {
          this.notify("notifications/cancelled", { requestId: id, reason: reason.message });
        }
        reject(reason);
      };
      signal?.addEventListener("abort", () => end(signal.reason));
      const late = new Error(`the host did not answer ${method} within ${(timeout ?? 0) / 1000} s`);
      if (timeout) setTimeout(() => end(late), timeout);
      this.#send({ jsonrpc: "2.0", id, method, params: sent });
    });
  }

  notify(method: string, params: Params = {}): void {
    this.#send({ jsonrpc: "2.0", method, params });
  }

  #send(message: Message): void {
    this.#transport?.send(message).catch((error) => this.onerror?.(error));
  }

  #receive({ id, method, params = {}, result, error }: Message): void {
    if (method !== undefined) {
      if (id === undefined) this.#told(method, params);
      else void this.#answer(id, method, params);
      return;
    }
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (id === undefined || !pending) return;
    this.#pending.delete(id);
    if (error) pending.reject(new HostError(error.message, error.code, error.data));
    else pending.resolve((result ?? {}) as never);
  }

  #told(method: string, params: Params): void {
    if (method === "notifications/progress") {
      const pending = this.#pending.get(params.progressToken as number);
      pending?.options.onprogress?.(params as { progress: number });
      return;
    }
    const event = EVENTS[method];
    if (event === "hostcontextchanged") this.#context = { ...this.#context, ...params };
    if (event) this.#dispatch(event, params);
  }

  async #answer(id: string | number, method: string, params: Params): Promise<void> {
    const handlers: Record<string, ((params: never) => unknown) | undefined> = {
      ping: () => ({}),
      "ui/resource-teardown": this.onteardown ?? (() => ({})),
      "tools/call": this.oncalltool,
      "tools/list": this.onlisttools,
    };
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
    if (!handler) {
      const error = { code: -32601, message: `Method not found: ${method}` };
      this.#send({ jsonrpc: "2.0", id, error });
      return;
    }
    try {
      const result = ((await handler(params as never)) ?? {}) as Params;
      this.#send({ jsonrpc: "2.0", id, result });
    } catch (problem) {
      const message = problem instanceof Error ? problem.message : String(problem);
      this.#send({ jsonrpc: "2.0", id, error: { code: -32603, message } });
    }
  }

  #dispatch(event: string, params: Params): void {
    const handlers = [this.#handlers.get(event), ...(this.#listeners.get(event) ?? [])];
    const present = handlers.filter((handler) => handler !== undefined);
    if (present.length === 0) this.#missed.set(event, params);
    for (const handler of [...(this.#observers.get(event) ?? []), ...present]) {
      this.#run(handler, params);
    }
  }

  #catchUp(event: string, handler: Handler): void {
    const missed = this.#missed.get(event);
    if (!missed) return;
    this.#missed.delete(event);
    queueMicrotask(() => this.#run(handler, missed));
  }

  /** What a widget's handler throws is its own: the others are told all the same. */
  #run(handler: Handler, params: Params): void {
    try {
      const done = handler(params as never);
      if (done instanceof Promise) done.catch((error) => this.#failed(error));
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.onerror) this.onerror(error instanceof Error ? error : new Error(String(error)));
    else setTimeout(() => reportError(error));
  }

  #closed(): void {
    this.#transport = null;
    this.#unfollow();
    for (const { reject } of this.#pending.values()) reject(new Error("the app was closed"));
    this.#pending.clear();
    this.onclose?.();
  }
}

// `ontoolinput` and the others as properties that can be assigned.
for (const event of Object.values(EVENTS)) {
  Object.defineProperty(App.prototype, `on${event}`, {
    get(this: App) {
      return this.handler(event);
    },
    set(this: App, handler: Handler | undefined) {
      this.setHandler(event, handler);
    },
  });
}
