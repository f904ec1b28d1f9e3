/** How the app came up, and what its document is and may do. */

import { VIOLATION } from "../../prelude/names";
import { element } from "../../shared/dom";
import type { Inspected } from "../inspection";
import { advice, type Blocked } from "./advice";
import { milliseconds } from "./rows";

const MIME_TYPE = "text/html;profile=mcp-app";

/** The steps from an empty frame to an app that has all it was opened for. */
const STEPS: [label: string, ...names: string[]][] = [
  ["frame opened", "opened"],
  ["document sent", "document"],
  ["ui/initialize", "ui/initialize"],
  ["host answered", "answered"],
  ["ui/notifications/initialized", "ui/notifications/initialized"],
  ["tool input sent", "ui/notifications/tool-input"],
  ["tool result sent", "ui/notifications/tool-result", "ui/notifications/tool-cancelled"],
];

export class Report {
  readonly handshake = element("section", "pmcp-ins-handshake");
  readonly document = element("section", "pmcp-ins-document");
  /** How many are shown as done. */
  #steps = 0;

  constructor(
    private readonly inspected: Inspected,
    signal: AbortSignal,
  ) {
    this.#showSteps();
    this.#showDocument();
    inspected.trace.watch((entry) => {
      if (this.#steps !== inspected.trace.steps.size || !entry) this.#showSteps();
      const { method } = (entry?.message ?? {}) as { method?: unknown };
      if (!entry || method === VIOLATION) this.#showDocument();
    }, signal);
  }

  #showSteps(): void {
    const { steps } = this.inspected.trace;
    this.#steps = steps.size;
    const list = element("ol", "pmcp-ins-steps");
    const began = steps.get("opened") ?? steps.get("document");
    let before = began;
    for (const [label, ...names] of STEPS) {
      const at = names.map((name) => steps.get(name)).find((time) => time !== undefined);
      if (names[0] === "opened" && at === undefined) continue;
      const item = element("li", "", element("span", "", label));
      item.dataset.done = String(at !== undefined);
      let when = "not yet";
      if (at !== undefined) {
        when = before === undefined || at === before ? "0 ms" : `+${milliseconds(at - before)}`;
        before = at;
      }
      item.append(element("span", "pmcp-ins-when", when));
      list.append(item);
    }
    this.handshake.replaceChildren(element("h3", "", "Handshake"), list);
  }

  #showDocument(): void {
    const { trace, traits } = this.inspected;
    const { resource } = traits;
    const facts = element("dl", "pmcp-ins-facts");
    const fact = (name: string, value: string, note = "") => {
      const words = element("dd", "", element("code", "", value));
      if (note) words.append(element("span", "pmcp-ins-note", note));
      facts.append(element("dt", "", name), words);
    };
    const type = resource?.mimeType ?? "unknown";
    const old = type.replace(/\s/g, "").toLowerCase() !== MIME_TYPE;
    fact("Resource", resource?.uri ?? "");
    fact("MIME type", type, old ? `An old widget’s; MCP Apps are ${MIME_TYPE}.` : "");
    if (resource?.legacy)
      fact("Bridge", "window.mcpBridge", "Put in by this host, for old widgets.");
    fact("Policy", resource?.csp ?? "");
    if (resource?.allow) fact("Permissions", resource.allow);
    const blocked = trace.entries
      .map(({ message }) => message as { method?: unknown; params?: Blocked } | null)
      .filter((message) => message?.method === VIOLATION && message.params)
      .map((message) => message?.params as Blocked);
    this.document.replaceChildren(element("h3", "", "Document"), facts);
    if (blocked.length === 0) return;
    const list = element("ul", "pmcp-ins-blocked");
    for (const each of blocked) {
      list.append(
        element(
          "li",
          "",
          element("code", "", `${each.directive} blocked ${each.blocked}`),
          element("span", "pmcp-ins-note", advice(each, resource)),
        ),
      );
    }
    this.document.append(element("h4", "", "Blocked by the policy"), list);
  }
}
