/** Who answers what an app asks of its server, and the one that always can: the kernel. */
import { type RpcError, UNAVAILABLE } from "./jsonrpc";
import type { Wire } from "./wire";
import { said } from "./words";

/** A result, or the error in its place. */
export interface Answer {
  result?: unknown;
  error?: RpcError;
}

/**
 * The way to the server. The kernel is one, the browser itself another (`direct/`), and a kernel in the page would
 * be a third: whoever answers a method with its params is enough.
 */
export interface Transport {
  /**
   * Never rejects: what goes wrong is the answer's error. When the signal aborts, the request is cancelled where it
   * went and its answer means nothing any more.
   */
  request(method: string, params: unknown, signal?: AbortSignal): Promise<Answer>;
  /** The server's tools are not what they were. */
  changed?(): void;
  /** Nothing new is asked; what is under way is still answered. */
  close?(): void;
}

/** Over the widget's comm; see `rpc` in MESSAGES.md. What the server tells by itself comes as `notify` to the view. */
export class KernelTransport implements Transport {
  #calls = 0;
  readonly #open = new Map<number, (answer: Answer) => void>();

  constructor(private readonly wire: Wire) {
    wire.on("rpc-result", (answer, { call }) => this.#receive(Number(call), answer));
    wire.watch((link) => {
      if (link === "static") this.#lost();
    });
  }

  request(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    return this.send("rpc", { method, params: params ?? {} }, signal);
  }

  /** A message of any kind that the kernel answers with an `rpc-result`. */
  send(kind: string, payload: object, signal?: AbortSignal): Promise<Answer> {
    const { wire } = this;
    if (wire.link === "static" || signal?.aborted) return Promise.resolve(unreachable());
    this.#calls += 1;
    const call = this.#calls;
    return new Promise((resolve) => {
      this.#open.set(call, resolve);
      wire.expect();
      wire.send({ kind, call, payload });
      signal?.addEventListener("abort", () => {
        if (!this.#open.delete(call)) return;
        wire.settle();
        wire.send({ kind: "rpc-cancel", call });
        resolve({});
      });
    });
  }

  #receive(call: number, answer: Answer): void {
    const resolve = this.#open.get(call);
    if (!resolve) return;
    this.#open.delete(call);
    this.wire.settle();
    resolve(answer);
  }

  /** The kernel is gone, and with it all answers that were still to come. */
  #lost(): void {
    for (const resolve of this.#open.values()) resolve(unreachable());
    this.#open.clear();
  }
}

function unreachable(): Answer {
  return { error: { code: UNAVAILABLE, message: said.nobody } };
}
