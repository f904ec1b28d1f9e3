/** Streamable HTTP (MCP "Transports") from a page: one message to the server, and what comes back. */

export interface Message {
  jsonrpc?: "2.0";
  id?: string | number | null;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
}

/** A failure that says nothing in JSON-RPC. */
export class HttpError extends Error {
  constructor(readonly status: number) {
    super(`The server answered with HTTP ${status}.`);
  }
}

/**
 * Calls `receive` with each message that comes back, until the body ends.
 * @throws TypeError when the server can't be reached from this page: it is down, or has no CORS for it.
 * @throws HttpError
 */
export async function exchange(
  url: string,
  init: RequestInit & { headers: Record<string, string> },
  receive: (message: Message) => void,
): Promise<Headers> {
  // No cookies: whoever the person is elsewhere, here they are nobody.
  const response = await fetch(url, {
    ...init,
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });
  const { headers, status } = response;
  const type = headers.get("content-type") ?? "";
  // A session that is not known any more; its message has no id to find the request by.
  if (status === 404 && init.headers["mcp-session-id"]) throw new HttpError(status);
  if (type.startsWith("text/event-stream") && response.body) await events(response.body, receive);
  else if (type.startsWith("application/json")) receive(await response.json());
  else if (!response.ok) throw new HttpError(status);
  return headers;
}

async function events(
  body: ReadableStream<Uint8Array>,
  receive: (message: Message) => void,
): Promise<void> {
  let data = "";
  for await (const line of linesOf(body)) {
    if (line.startsWith("data:")) data += line.slice(5);
    else if (line === "" && data) {
      const message = JSON.parse(data) as Message;
      data = "";
      receive(message);
    }
  }
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    // A lone CR at the end may be half of a CRLF.
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
