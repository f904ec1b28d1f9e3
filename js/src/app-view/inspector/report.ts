/** How the app came up, and what its document is and may do. */

import { FAILED, VIOLATION } from "../../prelude/names";
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

type Failed = Record<"message" | "line" | "column", unknown>;

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
      if (!entry || method === VIOLATION || method === FAILED) this.#showDocument();
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
      // Scrolls, so that the keyboard has to get there.
      if (value.length > 200) words.tabIndex = 0;
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
    const told = <Params>(method: string) =>
      trace.entries
        .map(({ message }) => message as { method?: unknown; params?: Params } | null)
        .flatMap((message) => (message?.method === method && message.params) || []);
    this.document.replaceChildren(element("h3", "", "Document"), facts);
    const list = (heading: string, items: [what: string, note: string][]) => {
      if (items.length === 0) return;
      const nodes = items.map(([what, note]) =>
        element("li", "", element("code", "", what), element("span", "pmcp-ins-note", note)),
      );
      const lines = element("ul", "pmcp-ins-blocked", ...nodes);
      this.document.append(element("h4", "", heading), lines);
    };
    list(
      "Errors of the app",
      told<Failed>(FAILED).map(({ message, line, column }) => [
        String(message),
        line ? `line ${line}, column ${column}` : "",
      ]),
    );
    list(
      "Blocked by the policy",
      told<Blocked>(VIOLATION).map((each) => [
        `${each.directive} blocked ${each.blocked}`,
        advice(each, resource),
      ]),
    );
  }
}
