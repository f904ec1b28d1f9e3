/** Opening an app again in a kernel that knows nothing of it any more, as after a restart. */
import { type Host, kernelOf, type Model } from "../shared/anywidget";
import { element } from "../shared/dom";
import type { Traits } from "./traits";

const MODEL_TIMEOUT_MS = 3000;
const MODEL_RETRY_MS = 50;

interface Reply {
  content: {
    user_expressions?: Record<string, { data?: Record<string, string>; evalue?: string }>;
  };
}

/**
 * How to open an app again where it was, which then is `gone`; null where the front end has no way.
 * It rejects with the kernel's own words.
 */
export function reconnecting(
  model: Model,
  traits: Traits,
  front: Host | undefined,
  root: HTMLElement,
  signal: AbortSignal,
  gone: () => void,
): (() => Promise<void>) | null {
  if (!front || !kernelOf(model)?.requestExecute) return null;
  return async () => {
    const { host, call } = traits;
    const tool = call?.tool?.name;
    const id = await reopen(model, {
      server: host.server,
      tool,
      arguments: call?.arguments ?? null,
      host: host.profile,
    });
    const el = element("div");
    root.after(el);
    try {
      const widget = await opened(front, `anywidget:${id}`);
      await widget.render({ el, signal });
    } catch (error) {
      el.remove();
      throw error;
    }
    gone();
  };
}

/** Has the kernel open the app: the id of its model. */
async function reopen(model: Model, request: object): Promise<string> {
  // JSON in JSON: a literal that Python reads as the same text.
  const given = JSON.stringify(JSON.stringify(request));
  const code = `__import__("pmcp_lab.notebook.app_reopening", fromlist=["reopen"]).reopen(${given})`;
  // Input is allowed, which tells the kernel that a person is here.
  const asked = { code: "", silent: true, store_history: false, allow_stdin: true };
  const expressions = { user_expressions: { code } };
  const reply = await kernelOf(model)?.requestExecute?.({ ...asked, ...expressions }).done;
  const said = (reply as Reply | undefined)?.content.user_expressions?.code;
  const id = said?.data?.["text/plain"]?.replace(/'/g, "");
  if (!id) throw new Error(said?.evalue ?? "the kernel did not answer");
  return id;
}

/** The model and the answer come over two sockets, in either order. */
async function opened(host: Host, ref: string): ReturnType<Host["getWidget"]> {
  const end = performance.now() + MODEL_TIMEOUT_MS;
  for (;;) {
    try {
      return await host.getWidget(ref);
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((next) => setTimeout(next, MODEL_RETRY_MS));
    }
  }
}
