/** Where what an app asks goes: to its server over one transport or the other, and the rest to the kernel. */
import type { Attention } from "./attention";
import { FORWARDED } from "./bridge";
import type { DirectModule, DirectTarget } from "./direct";
import type { Answer, KernelTransport, Transport } from "./transport";

/** The `_bridge` trait. */
export type Wish = { mode: "kernel" } | ({ mode: "direct" } & DirectTarget);

interface Options {
  kernel: KernelTransport;
  attention: Attention;
  /** The code of the direct transport. */
  load: () => Promise<DirectModule>;
  /** What the server tells by itself. */
  notify: (method: string, params: unknown) => void;
  event: (name: string, payload: unknown) => void;
  /** The page can't speak to the server. */
  failed: (why: string) => void;
}

export class Requests {
  #direct: Promise<Transport | null> | null = null;

  constructor(private readonly options: Options) {}

  /** What the app asks; see `Transport`. */
  async request(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    await this.options.attention.seen;
    return this.repeat(method, params, signal);
  }

  /** The same, whether or not anybody can see the app. */
  async repeat(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    const direct = FORWARDED.has(method) ? await this.#direct : null;
    return (direct ?? this.options.kernel).request(method, params, signal);
  }

  /** The transport for what comes from now on; what is under way ends where it began. */
  use(wish: Wish): void {
    void this.#direct?.then((transport) => transport?.close?.());
    this.#direct = wish.mode === "direct" ? this.#connect(wish) : null;
  }

  /** The server says that its tools changed. */
  changed(): void {
    void this.#direct?.then((transport) => transport?.changed?.());
  }

  close(): void {
    this.use({ mode: "kernel" });
  }

  async #connect(target: DirectTarget): Promise<Transport | null> {
    const { kernel, load, notify, event, failed } = this.options;
    try {
      const { connect } = await load();
      const transport = await connect(target, {
        kernel: (method, params, signal) => kernel.request(method, params, signal),
        ask: (payload, signal) => kernel.send("asked", payload, signal),
        notify,
        called: (call) => event("called", call),
      });
      event("bridge", { mode: "direct" });
      return transport;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      event("bridge", { mode: "kernel", why });
      failed(why);
      return null;
    }
  }
}
