/** Hosts that don't speak the standard: a transport that answers an app's requests itself, with what they have. */

import type { Message, Transport } from "./transport";

export type Params = Record<string, unknown>;
export type Answers = Record<string, (params: Params) => unknown>;

const VERSION = "2026-01-26";

/** Answers what a subclass knows; tells the app of what its host pushes once the app listens. */
export abstract class AnsweringTransport implements Transport {
  onmessage?: ((message: Message) => void) | undefined;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  #listening = false;
  #held: Message[] = [];

  protected abstract readonly name: string;
  protected abstract readonly capabilities: Params;
  protected abstract readonly answers: Answers;
  protected abstract context(): Params;
  protected abstract begin(): void;
  protected noted(_method: string, _params: Params): void {}

  async start(): Promise<void> {
    this.begin();
  }

  async close(): Promise<void> {
    this.onclose?.();
  }

  async send({ id, method, params = {} }: Message): Promise<void> {
    if (method === undefined) return;
    if (method === "ui/notifications/initialized") {
      this.#listening = true;
      for (const message of this.#held.splice(0)) this.#deliver(message);
    } else if (id === undefined) this.noted(method, params);
    else {
      const said = await this.#answer(method, params);
      this.#deliver({ jsonrpc: "2.0", id, ...said });
    }
  }

  /** To the app, once it said that it listens. */
  protected push(method: string, params: Params): void {
    const message: Message = { jsonrpc: "2.0", method, params };
    if (this.#listening) this.#deliver(message);
    else this.#held.push(message);
  }

  async #answer(method: string, params: Params): Promise<Pick<Message, "result" | "error">> {
    if (method === "ui/initialize") {
      const result = {
        protocolVersion: VERSION,
        hostInfo: { name: this.name, version: "0" },
        hostCapabilities: this.capabilities,
        hostContext: this.context(),
      };
      return { result };
    }
    const answer = this.answers[method];
    if (!answer)
      return { error: { code: -32601, message: `${this.name} does not offer ${method}` } };
    try {
      return { result: ((await answer(params)) ?? {}) as Params };
    } catch (problem) {
      const message = problem instanceof Error ? problem.message : String(problem);
      return { error: { code: -32000, message } };
    }
  }

  #deliver(message: Message): void {
    queueMicrotask(() => this.onmessage?.(message));
  }
}

/** A `CallToolResult`, of whatever a host makes of one. */
export function toolResult(value: unknown): Params {
  if (typeof value === "object" && value !== null) {
    if (Array.isArray((value as Params).content)) return value as Params;
    const text = JSON.stringify(value);
    return { content: [{ type: "text", text }], structuredContent: value };
  }
  return { content: [{ type: "text", text: String(value ?? "") }] };
}

export const textOf = (params: Params): string =>
  ((params.content as Params[] | undefined) ?? [])
    .map((block) => (typeof block.text === "string" ? block.text : ""))
    .join("\n");
