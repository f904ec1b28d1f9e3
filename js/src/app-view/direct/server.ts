/** A server as a page speaks to it: requests with their answers, in either protocol generation. */
import type { Answer } from "../transport";
import { exchange, HttpError, type Message } from "./http";

const MODERN = "2026-07-28";
const META = "io.modelcontextprotocol/";
const CLOSED = -32000;
const STREAM_RETRY_MS = 2000;

type Params = Record<string, unknown>;

/** What of the kernel's connection a page may know to make one of its own. There are no secrets in it. */
export interface DirectTarget {
  url: string;
  version: string;
  info: { name: string; version: string };
  capabilities: object;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  headers?: Record<string, string>;
  /** Answers what the server asks within this request. */
  serve?: (method: string, params: Params) => Promise<Answer>;
  heard?: (method: string, params: Params) => void;
}

export class Server {
  readonly modern: boolean;
  #session: string | null = null;
  #opening: Promise<void> | null = null;
  #version: string;
  #numbers = 0;
  readonly #life = new AbortController();

  constructor(
    private readonly target: DirectTarget,
    /** Answers what the server asks outside of any request. */
    private readonly serve: NonNullable<RequestOptions["serve"]>,
  ) {
    this.modern = target.version >= MODERN;
    this.#version = target.version;
  }

  /** Never rejects but where the server can't be reached at all, with what `fetch` says of it. */
  async request(method: string, params: Params, options: RequestOptions = {}): Promise<Answer> {
    try {
      if (!this.modern) await this.#open();
      return await this.#ask(method, params, options);
    } catch (error) {
      if (this.modern || !(error instanceof HttpError) || error.status !== 404) throw error;
      // The session ended; the request was not taken up.
      this.#opening = null;
      this.#session = null;
      await this.#open();
      return this.#ask(method, params, options);
    }
  }

  close(): void {
    this.#life.abort();
    if (this.#session === null) return;
    const init = { method: "DELETE", headers: this.#headers(), keepalive: true };
    void exchange(this.target.url, init, () => {}).catch(() => {});
  }

  #open(): Promise<void> {
    this.#opening ??= this.#initialize();
    this.#opening.catch(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #initialize(): Promise<void> {
    const { info, capabilities, version } = this.target;
    const { result, error } = await this.#ask("initialize", {
      protocolVersion: version,
      clientInfo: info,
      capabilities,
    });
    if (error) throw new Error(error.message);
    this.#version = String((result as Params).protocolVersion);
    await this.#post({ method: "notifications/initialized" });
    void this.#listen();
  }

  /** What a 2025-11-25 server has to say outside of requests; many have no such stream. */
  async #listen(): Promise<void> {
    const session = this.#session;
    while (!this.#life.signal.aborted && session === this.#session) {
      const init = { method: "GET", headers: this.#headers(), signal: this.#life.signal };
      try {
        await exchange(this.target.url, init, (message) => this.#receive(message, {}));
      } catch (error) {
        if (!(error instanceof TypeError)) return;
      }
      await new Promise((next) => setTimeout(next, STREAM_RETRY_MS));
    }
  }

  #ask(method: string, params: Params, options: RequestOptions = {}): Promise<Answer> {
    const { signal } = options;
    this.#numbers += 1;
    const id = this.#numbers;
    return new Promise((resolve, reject) => {
      const ended = () => resolve({ error: { code: CLOSED, message: "The answer broke off." } });
      signal?.addEventListener("abort", () => {
        const params = { requestId: id };
        // A modern server sees the end of the request itself; no answer is awaited of either.
        if (!this.modern) this.#post({ method: "notifications/cancelled", params }).catch(() => {});
        ended();
      });
      const receive = (message: Message) => {
        if (message.method) this.#receive(message, options);
        else if (message.id === id || message.id == null) {
          const { result, error } = message;
          resolve(error ? { error } : { result });
        }
      };
      this.#post({ id, method, params: this.#whole(params) }, options, receive).then(ended, reject);
    });
  }

  async #post(
    message: Message,
    { signal, headers }: RequestOptions = {},
    receive: (message: Message) => void = () => {},
  ): Promise<void> {
    const init = {
      method: "POST",
      headers: { ...this.#headers(), "content-type": "application/json", ...headers },
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
      ...(signal ? { signal } : {}),
    };
    const answered = await exchange(this.target.url, init, receive);
    this.#session ??= answered.get("mcp-session-id");
  }

  async #receive({ id, method, params }: Message, options: RequestOptions): Promise<void> {
    if (!method) return;
    if (id === undefined || id === null) options.heard?.(method, params ?? {});
    else {
      const serve = options.serve ?? this.serve;
      const answer = method === "ping" ? { result: {} } : await serve(method, params ?? {});
      await this.#post({ id, ...answer } as Message).catch(() => {});
    }
  }

  #headers(): Record<string, string> {
    return {
      accept: "application/json, text/event-stream",
      ...(this.#session ? { "mcp-session-id": this.#session } : {}),
      ...(this.modern || this.#session || this.#opening
        ? { "mcp-protocol-version": this.#version }
        : {}),
    };
  }

  #whole(params: Params): Params {
    if (!this.modern) return params;
    const { version, info, capabilities } = this.target;
    const envelope = {
      [`${META}protocolVersion`]: version,
      [`${META}clientInfo`]: info,
      [`${META}clientCapabilities`]: capabilities,
    };
    return { ...params, _meta: { ...(params._meta as Params | undefined), ...envelope } };
  }
}
