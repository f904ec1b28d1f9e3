import type { McpUiHostContext, McpUiInitializeResult } from "@modelcontextprotocol/ext-apps";
import {
  ESCAPED,
  FAILED,
  LEFT,
  type Left,
  MISSING,
  SHIM_ID,
  STORED,
  VIOLATION,
} from "../prelude/names";
import {
  type Id,
  INVALID_PARAMS,
  METHOD_NOT_FOUND,
  type Notification,
  parse,
  type Request,
  type Response,
  UNAVAILABLE,
  weigh,
} from "./jsonrpc";
import { standard } from "./old-names";
import { MAX_MESSAGE } from "./outer-document";
import type { Call, Host } from "./traits";
import type { Answer } from "./transport";

export const PROTOCOL_VERSION = "2026-01-26";

const MAX_HELD = 256;
const MAX_CALLS = 256;
const MAX_FILES = 20;
const LOGS_PER_SECOND = 20;
/** Of its errors, and as many of what its policy kept it from. */
const MAX_PROBLEMS = 100;
const TEARDOWN_TIMEOUT_MS = 500;

/** The server's to answer. */
export const FORWARDED: ReadonlySet<string> = new Set([
  "tools/call",
  "tools/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "prompts/list",
]);

/** Answered by the kernel only where it said that it can. */
const BY_CAPABILITY = new Map(
  Object.entries({
    "ui/message": "message",
    "ui/update-model-context": "updateModelContext",
    "sampling/createMessage": "sampling",
  }),
);

interface AppCapabilities {
  availableDisplayModes?: unknown;
}

export type DisplayMode = "inline" | "fullscreen" | "pip";

export type Phase = "loading" | "ready" | "silent" | "closing";

export interface Port {
  post(message: Request | Notification | Response): void;
  /** What somebody else answers, until the signal aborts; see `Transport`. */
  request(method: string, params: unknown, signal: AbortSignal): Promise<Answer>;
  event(name: string, payload: unknown): void;
  size(height: unknown, width: unknown): void;
  openLink(url: string): Promise<boolean>;
  /** Hands the contents to the person, if they want them. */
  download(contents: unknown[]): Promise<boolean>;
  /** Shows the app in this mode where it can; the mode that is in force then. */
  display(mode: DisplayMode): DisplayMode;
  /** The app asks to be taken away. */
  leave(): void;
  /** Escape was pressed in the app. */
  escape(): void;
  /** The policy kept the app from something: what its browser says about it. */
  violation(params: Record<string, unknown>): void;
  failed(params: Record<string, unknown>): void;
  /** The host that is played has no such thing. */
  notOffered(what: string): void;
  /** What its document was left with, when it was asked to let go. */
  left(what: Left): void;
  context(): McpUiHostContext;
  phase(phase: Phase): void;
}

/**
 * The host's half of MCP Apps for one frame: who may say what, when, and who answers it.
 *
 * It knows no window and no widget model; both hang on the port. The app gets answers at any time, but not one
 * request or notification before it said `initialized`, and all of it again when it starts over.
 */
export class Bridge {
  phase: Phase = "loading";
  #call: Call | null = null;
  #initialized = false;
  #sent = { input: false, outcome: false };
  #partial: Call["partial"] = null;
  #held: Notification[] = [];
  readonly #pending = new Set<{ id: Id; life: AbortController }>();
  #requests = 0;
  #asked = new Map<Id, (response: Response | null) => void>();
  #appInfo: { appInfo?: unknown; appCapabilities?: AppCapabilities } = {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #logs = { second: 0, count: 0 };
  #problems = { [VIOLATION]: 0, [FAILED]: 0 };
  readonly #oldNames = new Set<string>();

  constructor(
    private readonly port: Port,
    private readonly host: Host,
  ) {}

  /** The frame starts (again): everything the last document said is void. */
  start(): void {
    this.#forgetCalls();
    this.#sent = { input: false, outcome: false };
    this.#partial = null;
    this.#problems = { [VIOLATION]: 0, [FAILED]: 0 };
    this.#become("loading");
    clearTimeout(this.#timer);
    if (this.host.initTimeout > 0) {
      this.#timer = setTimeout(() => this.#silent(), this.host.initTimeout);
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#forgetCalls();
    this.#held = [];
  }

  setCall(call: Call | null): void {
    // Another call of the same app: it stays as it is, and is told of that one.
    if (call?.number !== this.#call?.number) this.#sent = { input: false, outcome: false };
    this.#call = call;
    this.#deliverCall();
  }

  /** A notification for the app, kept until it listens. */
  notify(method: string, params: unknown): void {
    const message: Notification = { jsonrpc: "2.0", method, params: params ?? {} };
    if (this.#initialized) {
      this.port.post(message);
      return;
    }
    // The oldest go first.
    if (this.#held.length >= MAX_HELD) this.#held.shift();
    this.#held.push(message);
  }

  /** The host context changed; an app that is not there yet gets the whole of it with `ui/initialize`. */
  contextChanged(part: Partial<McpUiHostContext>): void {
    if (this.#initialized) this.notify("ui/notifications/host-context-changed", part);
  }

  /** Whether the app said that it can be shown so. */
  takes(mode: DisplayMode): boolean {
    const modes = this.#appInfo.appCapabilities?.availableDisplayModes;
    return Array.isArray(modes) && modes.includes(mode);
  }

  /** A request of the host to the app: its answer, or null when it starts over or goes away. */
  ask(method: string, params: unknown): Promise<Response | null> {
    if (!this.#initialized) return Promise.resolve(null);
    this.#requests += 1;
    const id = `host-${this.#requests}`;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.port.post({ jsonrpc: "2.0", id, method, params: params ?? {} });
    });
  }

  /** Asks the app to let go. Any answer counts, and so does none: most apps do not know the method. */
  teardown(timeout = TEARDOWN_TIMEOUT_MS): Promise<void> {
    if (!this.#initialized) return Promise.resolve();
    this.#become("closing");
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.ask("ui/resource-teardown", {}).then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  receive(data: unknown): void {
    const parsed = parse(data);
    if (!parsed) return;
    if (weigh(data, MAX_MESSAGE) > MAX_MESSAGE) {
      // Silence would leave the app waiting for ever.
      if (parsed.type === "request") {
        this.#refuse(
          parsed.message.id,
          INVALID_PARAMS,
          "The message is larger than 8 MB, nested too deeply, or no JSON.",
        );
      }
    } else if (parsed.type === "request") this.#request(this.#renamed(parsed.message));
    else if (parsed.type === "notification") this.#notification(this.#renamed(parsed.message));
    else this.#answered(parsed.message);
  }

  /** What an old widget means; that it is one is told once for each of its names. */
  #renamed<M extends Request | Notification>(message: M): M {
    const meant = standard(message.method, message.params);
    if (!meant) return message;
    if (!this.#oldNames.has(message.method)) {
      this.#oldNames.add(message.method);
      this.port.event("old-name", { method: message.method, use: meant.method });
    }
    return { ...message, ...meant };
  }

  #request(message: Request): void {
    const { id, method } = message;
    if (this.host.only && !String(id).startsWith(SHIM_ID)) {
      this.port.notOffered(method);
      this.#refuse(id, METHOD_NOT_FOUND, `${this.host.only} offers window.openai, not ${method}`);
      return;
    }
    const params = (message.params ?? {}) as Record<string, unknown>;
    switch (method) {
      case "ui/initialize":
        this.#initialize(id, params);
        return;
      case "ping":
        this.#result(id, {});
        return;
      case "ui/request-display-mode":
        this.#display(id, params.mode);
        return;
      case "ui/download-file":
        this.#download(id, params.contents);
        return;
      case "ui/open-link":
        this.#openLink(id, params.url);
        return;
    }
    const capability = BY_CAPABILITY.get(method);
    const known =
      FORWARDED.has(method) || (capability !== undefined && capability in this.host.capabilities);
    if (!known) this.#refuse(id, METHOD_NOT_FOUND, `Method not found: ${method}`);
    else this.#forward(id, method, message.params);
  }

  #notification({ method, params }: Notification): void {
    const values = (params ?? {}) as Record<string, unknown>;
    switch (method) {
      case "ui/notifications/initialized":
        this.#ready();
        break;
      case "ui/notifications/size-changed":
        this.port.size(values.height, values.width);
        break;
      case "notifications/message":
        this.#log(values);
        break;
      case "ui/notifications/request-teardown":
        this.port.leave();
        break;
      case ESCAPED:
        this.port.escape();
        break;
      case MISSING:
        this.port.notOffered(String(values.name));
        break;
      case VIOLATION:
      case FAILED:
        this.#problems[method] += 1;
        if (this.#problems[method] > MAX_PROBLEMS) break;
        if (method === FAILED) this.port.failed(values);
        else this.port.violation(values);
        break;
      case LEFT:
        this.port.left(values as unknown as Left);
        break;
      case STORED:
        this.port.event("stored", values);
        break;
      case "notifications/tools/list_changed":
        this.port.event("tools-changed", {});
        break;
      case "notifications/cancelled":
        this.#cancel(values.requestId as Id);
        break;
    }
  }

  #initialize(id: Id, params: Record<string, unknown>): void {
    if (this.#initialized) this.start();
    else this.#forgetCalls();
    this.#appInfo = {
      appInfo: params.appInfo,
      appCapabilities: (params.appCapabilities ?? {}) as AppCapabilities,
    };
    const result: McpUiInitializeResult = {
      protocolVersion: PROTOCOL_VERSION,
      hostInfo: this.host.info,
      hostCapabilities: this.host.capabilities as McpUiInitializeResult["hostCapabilities"],
      hostContext: this.port.context(),
    };
    this.#result(id, result);
  }

  #ready(): void {
    if (this.#initialized) return;
    clearTimeout(this.#timer);
    this.#initialized = true;
    this.#become("ready");
    this.port.event("initialized", this.#appInfo);
    this.#deliverCall();
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.port.post(message);
  }

  #deliverCall(): void {
    const call = this.#call;
    if (!call || !this.#initialized) return;
    if (!call.arguments) {
      this.#deliverPartial(call.partial);
      return;
    }
    if (!this.#sent.input) {
      this.#sent.input = true;
      this.notify("ui/notifications/tool-input", { arguments: call.arguments });
    }
    const reason = call.cancelled ?? call.error;
    if (this.#sent.outcome || !(call.result || typeof reason === "string")) return;
    this.#sent.outcome = true;
    if (call.result) this.notify("ui/notifications/tool-result", call.result);
    else this.notify("ui/notifications/tool-cancelled", { reason });
  }

  #deliverPartial(partial: Call["partial"] = null): void {
    if (partial && partial !== this.#partial) {
      this.notify("ui/notifications/tool-input-partial", { arguments: partial });
    }
    this.#partial = partial;
  }

  #forward(id: Id, method: string, params: unknown): void {
    if (this.#pending.size >= MAX_CALLS) {
      this.#refuse(id, UNAVAILABLE, `More than ${MAX_CALLS} requests are under way.`);
      return;
    }
    const call = { id, life: new AbortController() };
    this.#pending.add(call);
    void this.port.request(method, params ?? {}, call.life.signal).then(({ result, error }) => {
      if (!this.#pending.delete(call)) return;
      if (error) this.port.post({ jsonrpc: "2.0", id, error });
      else this.#result(id, result ?? {});
    });
  }

  #cancel(requestId: Id): void {
    for (const call of this.#pending) {
      if (call.id !== requestId) continue;
      this.#pending.delete(call);
      call.life.abort();
    }
  }

  #forgetCalls(): void {
    this.#initialized = false;
    for (const call of this.#pending) call.life.abort();
    this.#pending.clear();
    for (const answered of this.#asked.values()) answered(null);
    this.#asked.clear();
  }

  #answered(message: Response): void {
    const answered = message.id === null ? undefined : this.#asked.get(message.id);
    if (!answered || message.id === null) return;
    this.#asked.delete(message.id);
    answered(message);
  }

  #display(id: Id, mode: unknown): void {
    const known = mode === "inline" || mode === "fullscreen" || mode === "pip";
    if (!known) this.#refuse(id, INVALID_PARAMS, "A display mode is inline, fullscreen or pip.");
    else this.#result(id, { mode: this.port.display(mode) });
  }

  #download(id: Id, contents: unknown): void {
    if (!Array.isArray(contents) || contents.length === 0 || contents.length > MAX_FILES) {
      this.#refuse(id, INVALID_PARAMS, `ui/download-file needs 1 to ${MAX_FILES} contents.`);
      return;
    }
    this.#decided(id, this.port.download(contents));
  }

  #openLink(id: Id, url: unknown): void {
    let target: URL;
    try {
      target = new URL(String(url));
    } catch {
      this.#refuse(id, INVALID_PARAMS, "ui/open-link needs an absolute URL.");
      return;
    }
    if (target.protocol !== "https:" && target.protocol !== "http:") {
      this.#result(id, { isError: true });
      return;
    }
    this.#decided(id, this.port.openLink(target.href));
  }

  /** Answers with what became of what the person was asked. */
  #decided(id: Id, done: Promise<boolean>): void {
    void done.catch(() => false).then((well) => this.#result(id, well ? {} : { isError: true }));
  }

  #log(payload: unknown): void {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#logs.second) this.#logs = { second, count: 0 };
    this.#logs.count += 1;
    if (this.#logs.count <= LOGS_PER_SECOND) this.port.event("log", payload);
  }

  #silent(): void {
    this.#become("silent");
    this.port.event("init-timeout", { waited: this.host.initTimeout });
  }

  #result(id: Id, result: unknown): void {
    this.port.post({ jsonrpc: "2.0", id, result });
  }

  #refuse(id: Id, code: number, message: string): void {
    this.port.post({ jsonrpc: "2.0", id, error: { code, message } });
  }

  #become(phase: Phase): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.port.phase(phase);
  }
}
