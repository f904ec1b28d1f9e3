/** The app's server without the kernel between: a transport over HTTP, for a server that lets pages in (CORS). */
import type { Answer, Transport } from "../transport";
import { routing } from "./headers";
import { type DirectTarget, Server } from "./server";

export type { DirectTarget };

const INVALID_PARAMS = -32602;
const MISSING_CAPABILITY = -32021;
const URL_FIRST = -32042;
const UNAVAILABLE = -32000;
const MAX_ROUNDS = 10;
const STATE_ONLY_DELAY_MS = 250;

type Params = Record<string, unknown>;

interface Tool {
  name: string;
  inputSchema?: object;
  execution?: { taskSupport?: string };
  _meta?: { ui?: { visibility?: unknown } };
}

/** What the server asks of its user or host while a tool runs. */
export interface Asked {
  tool: string;
  method: string;
  params: Params;
}

type Put = (asked: Omit<Asked, "tool">) => Promise<Answer>;

/** A request that the kernel did not see, for `view.calls`. */
export interface Called {
  /** Ms since the epoch. */
  time: number;
  method: string;
  params: unknown;
  ms: number;
  result?: unknown;
  error?: unknown;
}

export interface DirectHost {
  /** What only the kernel can do: follow a task. */
  kernel: Transport["request"];
  /** The person and the model are at the kernel's end. */
  ask(asked: Asked, signal?: AbortSignal): Promise<Answer>;
  notify(method: string, params: unknown): void;
  called(call: Called): void;
}

/** What `direct.js` exports. */
export interface DirectModule {
  /** @throws Error in words for the person when the server can't be reached from this page. */
  connect(target: DirectTarget, host: DirectHost): Promise<Transport>;
}

class Direct implements Transport {
  readonly #server: Server;
  #tools: Promise<Map<string, Tool>> | null = null;
  /** Which tool was called last: a server need not say for which one it asks. */
  #latest = "";
  #under = 0;
  #closing = false;

  constructor(
    target: DirectTarget,
    private readonly host: DirectHost,
  ) {
    this.#server = new Server(target, (method, params) =>
      host.ask({ tool: this.#latest, method, params }),
    );
  }

  async request(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    const given = (params ?? {}) as Params;
    const [time, began] = [Date.now(), performance.now()];
    this.#under += 1;
    let answer: Answer | null;
    try {
      answer = await this.#answer(method, given, signal);
    } catch (error) {
      const message = signal?.aborted ? "cancelled" : `The server can't be reached: ${error}`;
      answer = { error: { code: UNAVAILABLE, message } };
    }
    this.#under -= 1;
    if (this.#closing) this.close();
    if (answer === null) return this.host.kernel(method, params, signal);
    const ms = Math.round(performance.now() - began);
    this.host.called({ time, method, params, ms, ...answer });
    return answer;
  }

  tools(): Promise<Map<string, Tool>> {
    this.#tools ??= this.#list();
    this.#tools.catch(() => this.changed());
    return this.#tools;
  }

  changed(): void {
    this.#tools = null;
  }

  close(): void {
    this.#closing = true;
    if (this.#under === 0) this.#server.close();
  }

  /** Null where it is the kernel's. */
  async #answer(method: string, params: Params, signal?: AbortSignal): Promise<Answer | null> {
    if (method === "tools/call") return this.#call(params, signal);
    if (method === "tools/list") {
      this.changed();
      return { result: { tools: [...(await this.tools()).values()].filter(visible) } };
    }
    return this.#ask(method, params, { signal });
  }

  async #call(params: Params, signal?: AbortSignal): Promise<Answer | null> {
    const name = String(params.name);
    if (!(await this.tools()).has(name)) this.changed();
    const tool = (await this.tools()).get(name);
    // Whatever is to be refused, the kernel refuses, and says why.
    if (!tool || !visible(tool) || !simple(params)) return null;
    if (!this.#server.modern && tool.execution?.taskSupport === "required") return null;
    this.#latest = name;
    return this.#rounds(name, params, tool.inputSchema, signal);
  }

  /** The call, again and again while the server asks something before it answers; null where the kernel has to. */
  async #rounds(
    name: string,
    params: Params,
    schema: Tool["inputSchema"],
    signal?: AbortSignal,
  ): Promise<Answer | null> {
    const token = (params._meta as Params | undefined)?.progressToken;
    const args = (params.arguments ?? {}) as Params;
    const call = {
      name,
      arguments: args,
      ...(token === undefined ? {} : { _meta: { progressToken: token } }),
    };
    const ask: Put = (asked) => this.host.ask({ tool: name, ...asked }, signal);
    const options = {
      signal,
      schema,
      serve: (method: string, params: Params) => ask({ method, params }),
      heard: (method: string, params: Params) => {
        if (method === "notifications/progress" && params.progressToken === token)
          this.host.notify(method, params);
      },
    };
    let more: Params = {};
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const answer = await this.#ask("tools/call", { ...call, ...more }, options);
      if (answer.error?.code === MISSING_CAPABILITY) return null;
      const next = await this.#next(answer, more, ask);
      if (!next) return answer;
      if ("error" in next) return next as Answer;
      more = next;
    }
    return refused(`Tool "${name}" asked ${MAX_ROUNDS} times; it was given up.`);
  }

  /** What the call is made with once more after this answer, or why not; null when the answer is the last. */
  async #next({ result, error }: Answer, more: Params, ask: Put): Promise<Params | null> {
    if (error?.code === URL_FIRST) {
      const settled = await ask({ method: "settle", params: error.data as Params });
      return (settled.result as Params | undefined)?.again ? more : null;
    }
    const required = (result as Params | undefined)?.resultType === "input_required";
    return required ? this.#inputs(result as Params, ask) : null;
  }

  /** What a call is repeated with after an `input_required` result (2026-07-28, multi round-trip). */
  async #inputs(result: Params, ask: Put): Promise<Params> {
    const requests = Object.entries((result.inputRequests ?? {}) as Record<string, Asked>);
    const inputResponses: Params = {};
    for (const [key, { method, params }] of requests) {
      const { result: said, error } = await ask({ method, params });
      if (error) return { error };
      inputResponses[key] = said;
    }
    if (requests.length === 0) await new Promise((next) => setTimeout(next, STATE_ONLY_DELAY_MS));
    const { requestState } = result;
    return {
      ...(requests.length > 0 ? { inputResponses } : {}),
      ...(requestState === undefined ? {} : { requestState }),
    };
  }

  #ask(
    method: string,
    params: Params,
    { schema, ...options }: Parameters<Server["request"]>[2] & { schema?: object | undefined } = {},
  ): Promise<Answer> {
    const headers = this.#server.modern ? routing(method, params, schema) : {};
    return this.#server.request(method, params, { headers, ...options });
  }

  async #list(): Promise<Map<string, Tool>> {
    const found = new Map<string, Tool>();
    let cursor: unknown;
    do {
      const { result, error } = await this.#ask("tools/list", cursor ? { cursor } : {});
      if (error) throw new Error(error.message);
      const page = result as { tools?: Tool[]; nextCursor?: unknown };
      const before = found.size;
      for (const tool of page.tools ?? []) found.set(tool.name, tool);
      // A page without anything new would go on for ever.
      cursor = found.size > before ? page.nextCursor : undefined;
    } while (cursor);
    return found;
  }
}

/** A name, arguments and a token. What else may be said in a call, and what may not, the kernel knows. */
function simple({ arguments: given = {}, _meta = {}, task }: Params): boolean {
  const token = /^{("progressToken":("[^"]*"|\d+))?}$/;
  return task === undefined && given?.constructor === Object && token.test(JSON.stringify(_meta));
}

function visible({ _meta }: Tool): boolean {
  const seen = _meta?.ui?.visibility;
  return !Array.isArray(seen) || seen.includes("app");
}

function refused(message: string): Answer {
  return { error: { code: INVALID_PARAMS, message } };
}

export const connect: DirectModule["connect"] = async (target, host) => {
  const transport = new Direct(target, host);
  try {
    await transport.tools();
  } catch (error) {
    const mixed = location.protocol === "https:" && target.url.startsWith("http:");
    const why = mixed
      ? "a page that came over https may not use http"
      : `the server may not let pages of ${location.origin} in (CORS), or can’t be reached from here`;
    throw new Error(error instanceof TypeError ? `${target.url}: ${why}.` : String(error));
  }
  return transport;
};
