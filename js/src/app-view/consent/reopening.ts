/** Opening an app again in another kernel: the person is asked, because its tool is called as the notebook's file says. */
import type { Host } from "../../shared/anywidget";
import { element } from "../../shared/dom";
import type { Chrome } from "../chrome";
import type { Say } from "../reconnect";
import type { Traits } from "../traits";
import { pose } from "./question";

const MODEL_TIMEOUT_MS = 3000;
const MODEL_RETRY_MS = 50;

/** Whether they wanted it, and it is there: after what was there before. */
export async function reopen(
  chrome: Chrome,
  { host, call }: Traits,
  say: Say,
  front: Host,
  signal: AbortSignal,
): Promise<boolean> {
  const given = call?.arguments;
  const text = given
    ? `Opening the app again calls its tool on ${host.server}:`
    : `Open the app of ${host.server} again?`;
  const name = String(call?.tool?.name);
  const detail = given ? `${name}(${JSON.stringify(given)})` : name;
  const question = { tone: "info", text, detail, yes: "Open", no: "Don’t open" } as const;
  const wanted = await new Promise<boolean>((decide) => pose(chrome, "kernel", question, decide));
  if (!wanted) return false;
  chrome.showBar("kernel", "info", "Opening the app again…");
  const request = { server: host.server, tool: call?.tool?.name, arguments: given ?? null };
  // JSON in JSON: a literal that Python reads as the same text.
  const literal = JSON.stringify(JSON.stringify({ ...request, host: host.profile }));
  const id = (await say(`reopen(${literal})`))["text/plain"]?.replace(/'/g, "");
  const el = element("div");
  chrome.root.after(el);
  try {
    const widget = await opened(front, `anywidget:${id}`);
    await widget.render({ el, signal });
  } catch (error) {
    el.remove();
    throw error;
  }
  return true;
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
