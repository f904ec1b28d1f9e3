/** Opening an app again in a kernel that knows nothing of it any more, as after a restart. */
import { type Host, kernelOf, type Model } from "../shared/anywidget";
import type { Chrome } from "./chrome";
import { imported } from "./code";
import type { Traits } from "./traits";

interface Reply {
  content: {
    user_expressions?: Record<string, { data?: Record<string, string>; evalue?: string }>;
  };
}

/** Has the kernel call something of `app_reopening.py`: what that displays as. It rejects with the kernel's words. */
export type Say = (call: string) => Promise<Record<string, string | undefined>>;

/**
 * How to open an app again where it was, which then is `gone`; null where the front end has no way. Opening it calls its
 * tool as the notebook's file says, so the person is asked, by code that comes from the kernel that is there now.
 * Whether they wanted it.
 */
export function reconnecting(
  model: Model,
  traits: Traits,
  front: Host | undefined,
  chrome: Chrome,
  signal: AbortSignal,
  gone: () => void,
): (() => Promise<boolean>) | null {
  if (!front || !kernelOf(model)?.requestExecute) return null;
  const say: Say = async (call) => {
    const code = `__import__("pmcp_lab.notebook.app_reopening", fromlist=["reopen"]).${call}`;
    // Input is allowed, which tells the kernel that a person is here.
    const asked = { code: "", silent: true, store_history: false, allow_stdin: true };
    const expressions = { user_expressions: { code } };
    const reply = await kernelOf(model)?.requestExecute?.({ ...asked, ...expressions }).done;
    const said = (reply as Reply | undefined)?.content.user_expressions?.code;
    if (!said?.data) throw new Error(said?.evalue ?? "the kernel did not answer");
    return said.data;
  };
  return async () => {
    // A literal that Python reads as the same text.
    const data = await say(`asking(${JSON.stringify(traits.host.server)})`);
    const { reopen } = await imported<typeof import("./consent")>(data["application/javascript"]);
    const opened = await reopen(chrome, traits, say, front, signal);
    if (opened) gone();
    return opened;
  };
}
