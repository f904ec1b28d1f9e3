/** How an app's messages reach its host. */

export interface Message {
  jsonrpc: "2.0";
  id?: string | number;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
}

/** The SDK's `Transport`, as far as an app needs it. */
export interface Transport {
  onmessage?: ((message: Message) => void) | undefined;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  start(): Promise<void>;
  send(message: Message): Promise<void>;
  close(): Promise<void>;
}

/** JSON-RPC over `postMessage` with the window that holds this one. */
export class PostMessageTransport implements Transport {
  onmessage?: ((message: Message) => void) | undefined;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  readonly #listener = ({ data, source }: MessageEvent) => {
    // The origin of a sandboxed host is "null" like that of many others: the window is the only identity.
    if (source !== this.eventSource || typeof data !== "object" || data === null) return;
    if (data.jsonrpc === "2.0") this.onmessage?.(data as Message);
  };

  constructor(
    private readonly eventTarget: Window = window.parent,
    private readonly eventSource: MessageEventSource = eventTarget,
  ) {}

  async start(): Promise<void> {
    addEventListener("message", this.#listener);
  }

  async send(message: Message): Promise<void> {
    // A host's origin is not known in a sandbox; nothing in here is more secret than what the host sent.
    this.eventTarget.postMessage(message, "*");
  }

  async close(): Promise<void> {
    removeEventListener("message", this.#listener);
    this.onclose?.();
  }
}
