/** Where what an app asks goes: to its server over one transport or the other, and the rest to the kernel. */
import { Attention } from "./attention";
import { FORWARDED } from "./bridge";
import type { CodeLoader } from "./code";
import type { DirectModule, DirectTarget } from "./direct";
import type { Traits } from "./traits";
import { type Answer, KernelTransport, type Transport } from "./transport";
import type { Wire } from "./wire";
import { reason } from "./words";

/** The `_bridge` trait. */
type Wish = { mode: "kernel" } | ({ mode: "direct" } & DirectTarget);

interface Port {
  /** What the server tells by itself. */
  notify(method: string, params: unknown): void;
  /** The page can't speak to the server. */
  failed(why: string): void;
}

export class Requests {
  readonly #kernel: KernelTransport;
  readonly #attention: Attention;
  #direct: Promise<Transport | null> | null = null;

  constructor(
    /** Shows the app: while nobody can see it, what the app asks waits. */
    stage: HTMLElement,
    traits: Traits,
    private readonly wire: Wire,
    private readonly code: CodeLoader,
    signal: AbortSignal,
    private readonly port: Port,
  ) {
    this.#kernel = new KernelTransport(wire);
    this.#attention = new Attention(stage, wire, signal);
    wire.on("notify", ({ method, params }) => this.#told(method, params));
    traits.follow<Wish>("_bridge", (wish) => this.#use(wish));
    signal.addEventListener("abort", () => this.#use(null));
  }

  /** What the app asks; see `Transport`. */
  async request(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    await this.#attention.seen;
    return this.repeat(method, params, signal);
  }

  /** The same, whether or not anybody can see the app. */
  async repeat(method: string, params: unknown, signal?: AbortSignal): Promise<Answer> {
    const direct = FORWARDED.has(method) ? await this.#direct : null;
    return (direct ?? this.#kernel).request(method, params, signal);
  }

  /** The transport for what comes from now on; what is under way ends where it began. */
  #use(wish: Wish | null): void {
    void this.#direct?.then((transport) => transport?.close?.());
    const can = wish?.mode === "direct" && this.wire.link !== "static";
    this.#direct = can ? this.#connect(wish) : null;
  }

  #told(method: unknown, params: unknown): void {
    if (typeof method !== "string") return;
    if (method === "notifications/tools/list_changed") {
      void this.#direct?.then((transport) => transport?.changed?.());
    }
    this.port.notify(method, params);
  }

  async #connect(target: DirectTarget): Promise<Transport | null> {
    const kernel = this.#kernel;
    const { wire, code, port } = this;
    try {
      const { connect } = await code.load<DirectModule>("direct");
      const transport = await connect(target, {
        kernel: (method, params, signal) => kernel.request(method, params, signal),
        ask: (payload, signal) => kernel.send("asked", payload, signal),
        notify: (method, params) => port.notify(method, params),
        called: (call) => wire.event("called", call),
      });
      wire.event("bridge", { mode: "direct" });
      return transport;
    } catch (error) {
      const why = reason(error);
      wire.event("bridge", { mode: "kernel", why });
      port.failed(why);
      return null;
    }
  }
}
