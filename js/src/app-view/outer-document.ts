import type { Theme } from "../shared/theme";
import { weigh } from "./jsonrpc";

/** Both frames, always, exactly. */
export const SANDBOX = "allow-scripts allow-forms";
/** What a sandbox proxy needs; it has an origin of its own, so that is no way into the notebook. */
export const PROXY_SANDBOX = "allow-scripts allow-same-origin allow-forms";

export const PROXY = "ui/notifications/sandbox-";
export const PROXY_READY = `${PROXY}proxy-ready`;
export const RESOURCE_READY = `${PROXY}resource-ready`;
/** Ours, not the spec's, as are the next four: the inner document was loaded (up), the colour scheme (down). */
export const APP_LOADED = `${PROXY}app-loaded`;
/** Whether the app's process has time (down), and that it has (up). The app hears of neither, and can send neither. */
export const PING = `${PROXY}ping`;
export const PONG = `${PROXY}pong`;
/** The policy kept the app's frame from going somewhere (up). */
export const NOT_LOADED = `${PROXY}not-loaded`;
export const COLOR_SCHEME = `${PROXY}color-scheme`;

/** Messages of the app that are passed on in 50 ms; ten times as many wait, the others are dropped. */
const MAX_BURST = 100;
/** A message counts as one for each of so many bytes. */
const BYTES_PER_MESSAGE = 16 * 1024;
/** What weighs more, or is no JSON, goes no further: the notebook must not even read it. */
export const MAX_MESSAGE = 8 * 1024 * 1024;

function relay(
  proxy: string,
  burst: number,
  unit: number,
  limit: number,
  weight: typeof weigh,
): void {
  const up = window.parent;
  let frame: HTMLIFrameElement | null = null;
  const scheme = (value: string) => {
    document.documentElement.style.colorScheme = value;
    if (frame) frame.style.colorScheme = value;
  };
  const tell = (name: string, params: object = {}, ports: Transferable[] = []) =>
    up.postMessage({ jsonrpc: "2.0", method: proxy + name, params }, "*", ports);
  const own = (data: { method?: unknown } | null): data is { method: string } =>
    typeof data?.method === "string" && data.method.startsWith(proxy);
  // An app that floods is slowed down here, in a process of its own, and not in the notebook.
  const waiting: { data: unknown; cost: number }[] = [];
  let backlog = 0;
  let allowed = burst;
  let pause = 0;
  const refill = () => {
    allowed = Math.min(burst, allowed + burst);
    while (waiting.length > 0 && allowed > 0) {
      const { data, cost } = waiting.shift() as { data: unknown; cost: number };
      backlog -= cost;
      allowed -= cost;
      up.postMessage(data, "*");
    }
    const rested = waiting.length === 0 && allowed === burst;
    pause = rested ? 0 : (setTimeout(refill, 50) as unknown as number);
  };
  const refuse = (data: { id?: unknown; method?: unknown } | null, code: number, why: string) => {
    if (data?.id === undefined || data.method === undefined) return;
    const answer = { jsonrpc: "2.0", id: data.id, error: { code, message: why } };
    frame?.contentWindow?.postMessage(answer, "*");
  };
  const pass = (data: { id?: unknown; method?: unknown } | null) => {
    const size = weight(data, limit);
    if (size > limit) {
      refuse(data, -32602, "The message is larger than 8 MB, nested too deeply, or no JSON.");
      return;
    }
    const cost = 1 + Math.floor(size / unit);
    if (pause === 0) pause = setTimeout(refill, 50) as unknown as number;
    if (allowed > 0 && waiting.length === 0) {
      allowed -= cost;
      up.postMessage(data, "*");
    } else if (backlog < 10 * burst) {
      backlog += cost;
      waiting.push({ data, cost });
    } else refuse(data, -32000, "The app sends more than the host takes.");
  };
  // What the notebook sends comes this way: a message to a window waits until the sender's page has been drawn.
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => {
    if (!own(data)) {
      frame?.contentWindow?.postMessage(data, "*");
    } else if (data.method === `${proxy}ping`) tell("pong");
    else if (data.method === `${proxy}color-scheme`) {
      scheme((data as unknown as { params: { value: string } }).params.value);
    } else if (data.method === `${proxy}resource-ready`) {
      const { html, sandbox, allow, colorScheme } = (
        data as unknown as { params: Record<string, string> }
      ).params;
      document.querySelector("iframe")?.remove();
      frame = document.createElement("iframe");
      frame.setAttribute("sandbox", sandbox as string);
      frame.allow = allow as string;
      frame.referrerPolicy = "no-referrer";
      frame.onload = () => tell("app-loaded");
      scheme(colorScheme as string);
      frame.srcdoc = html as string;
      document.body.append(frame);
    }
  };
  addEventListener("message", ({ data, source }) => {
    if (frame && source === frame.contentWindow && !own(data)) pass(data);
  });
  // Where the frame may go is the business of this document's policy, so it is told here.
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
    tell("not-loaded", { directive: effectiveDirective, blocked: blockedURI }),
  );
  tell("proxy-ready", {}, [port2]);
}

function attribute(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/"/g, "&quot;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/[\r\n\0]/g, " ");
}

/**
 * The document between the notebook and the app. Its policy is inherited by the app's, and its `frame-src` is
 * what keeps the app from navigating itself away: a policy in the app's own document could not.
 * The base hides the notebook's address from `document.baseURI`.
 * @param body What there is in it before the app.
 */
export function outerDocument(csp: string, theme: Theme, body = ""): string {
  return `<!doctype html><base href="https://app.invalid/"><meta http-equiv="Content-Security-Policy" content="${attribute(csp)}"><meta name="color-scheme" content="${theme}"><style>html,body{margin:0;height:100%;overflow:hidden;background:transparent}iframe{display:block;border:0;width:100%;height:100%}</style><body>${body}<script>(${relay})(${JSON.stringify(PROXY)},${MAX_BURST},${BYTES_PER_MESSAGE},${MAX_MESSAGE},${weigh})</script>`;
}
