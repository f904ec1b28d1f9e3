/** Opening an app again in a kernel that knows nothing of it any more, as after a restart. */
import type { Host, Model } from "../shared/anywidget";

const MODEL_TIMEOUT_MS = 3000;
const MODEL_RETRY_MS = 50;

interface Reply {
  content: {
    user_expressions?: Record<string, { data?: Record<string, string>; evalue?: string }>;
  };
}

/** What Jupyter's widget managers have for a kernel; others may have none. */
interface Kernel {
  requestExecute(content: object): { done: Promise<Reply> };
}

export function kernelOf(model: Model): Kernel | null {
  const { kernel } = (model.widget_manager ?? {}) as { kernel?: Partial<Kernel> };
  return typeof kernel?.requestExecute === "function" ? (kernel as Kernel) : null;
}

/**
 * Has the kernel open the app, and shows it in `place`.
 * @throws Error with the kernel's own words.
 */
export async function reopen(
  kernel: Kernel,
  host: Host,
  request: { server: string; tool: unknown; arguments: unknown },
  place: { el: HTMLElement; signal: AbortSignal },
): Promise<void> {
  // JSON in JSON: a literal that Python reads as the same text.
  const given = JSON.stringify(JSON.stringify(request));
  const model = `__import__("pmcp_lab.notebook.app_reopening", fromlist=["reopen"]).reopen(${given})`;
  // Input is allowed, which tells the kernel that a person is here.
  const asked = { code: "", silent: true, store_history: false, allow_stdin: true };
  const { content } = await kernel.requestExecute({ ...asked, user_expressions: { model } }).done;
  const said = content.user_expressions?.model;
  const id = said?.data?.["text/plain"]?.replace(/'/g, "");
  if (!id) throw new Error(said?.evalue ?? "the kernel did not answer");
  const widget = await opened(host, `anywidget:${id}`);
  await widget.render(place);
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
