import type { Tell } from "./tell";

/** What an app may tell its host of. */
const NOTIFICATIONS =
  /^(run\.pmcp\/.*|notifications\/(message|cancelled|progress|initialized|tools\/list_changed)|ui\/notifications\/(initialized|size-changed?|request-teardown)|ui\/(log|notify))$/;

interface Message {
  jsonrpc?: unknown;
  id?: string | number;
  method?: string;
  params?: { name?: unknown; uri?: unknown };
  error?: { code?: unknown; message?: unknown };
}

/** What it asks for, and is refused; what nobody listens to. */
export function conversation(tell: Tell, began: () => void): void {
  const asked = new Map<string | number, { method: string; about: string }>();
  const { parent } = window;
  const send = parent.postMessage as (...given: unknown[]) => void;
  const sent = ({ jsonrpc, id, method, params }: Message) => {
    if (jsonrpc !== "2.0" || typeof method !== "string") return;
    if (id !== undefined) {
      asked.set(id, { method, about: String(params?.name ?? params?.uri ?? "") });
    } else if (!NOTIFICATIONS.test(method)) tell("unheard", method);
    if (method === "ui/notifications/initialized") began();
  };
  const watched = (...given: unknown[]) => {
    const [message, target] = given as [unknown, string | { targetOrigin?: string } | undefined];
    const origin = typeof target === "object" ? target?.targetOrigin : target;
    if (typeof message === "object" && message !== null) sent(message);
    if (origin !== "*") tell("aimed", origin ?? "/");
    send(...given);
  };
  (parent as { postMessage: unknown }).postMessage = watched;
  addEventListener("message", ({ data, source }) => {
    const { id, error } = (data ?? {}) as Message;
    if (source !== parent || id === undefined || !error) return;
    const question = asked.get(id);
    if (!question) return;
    const { method, about } = question;
    tell("refused", String(error.message), { method, about, code: error.code });
  });
}
