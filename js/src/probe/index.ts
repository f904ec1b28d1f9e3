/**
 * What runs after the prelude while an app is checked, and never else: it watches what the app does that no host lets it
 * do, and what it says and hears. It tells of it as the prelude tells of errors.
 */
import { FAILED } from "../prelude/names";
import { conversation } from "./conversation";
import { denied } from "./denied";
import { handlers } from "./handlers";

const { postMessage } = window.parent;
const told = new Set<string>();

function tell(kind: string, message: string, more: object = {}): void {
  const key = `${kind} ${message}`;
  if (told.has(key) || told.size >= 50) return;
  told.add(key);
  const params = { kind, message: message.slice(0, 1000), ...more };
  postMessage({ jsonrpc: "2.0", method: FAILED, params }, "*");
}

// Its own listener is none of the app's.
let ready = () => {};
conversation(tell, () => ready());
ready = handlers(tell);
denied(tell);
