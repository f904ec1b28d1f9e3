import { notify } from "./host";
import { FAILED } from "./names";
import { blockedBefore } from "./violations";

const MOST = 50;
/** Every page has it that measures itself, and nothing is wrong. */
const HARMLESS = /^ResizeObserver loop/;

/** What goes wrong in the app, which a console says that few open. Once for each. */
export function failures(): void {
  const told = new Set<string>();
  // After the app's own listeners, which may have dealt with it.
  const tell = (event: Event, message: string, where: object = {}) =>
    setTimeout(() => {
      const key = JSON.stringify([message, where]);
      const ours = event.isTrusted && !event.defaultPrevented && told.size < MOST;
      if (!ours || told.has(key) || HARMLESS.test(message)) return;
      told.add(key);
      notify(FAILED, { message: message.slice(0, 1000), ...where });
    }, 50);
  const loaded = (node: Element) => {
    const { localName, src, href } = node as HTMLImageElement & HTMLLinkElement;
    return [localName, src || href] as const;
  };
  addEventListener(
    "error",
    (event) => {
      const { message, filename: source, lineno: line, colno: column, target } = event;
      if (target === window) tell(event, String(message), { source, line, column });
      else {
        const [name, address] = loaded(target as Element);
        if (address && !blockedBefore(address)) tell(event, `${name} ${address} did not load`);
      }
    },
    true,
  );
  addEventListener("unhandledrejection", (event) => {
    const { reason } = event;
    const what = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason);
    const [, line, column] = /:(\d+):(\d+)\)?$/m.exec(String(reason?.stack)) ?? [];
    tell(event, `Unhandled: ${what}`, line ? { line: Number(line), column: Number(column) } : {});
  });
}
