/** One message in the list: a line, and below it, when it is opened, all of it and what can be done with it. */
import { button, element, setText } from "../../shared/dom";
import { json } from "../../shared/format";
import type { Inspected } from "../inspection";
import { cell } from "./cell";
import { copyText } from "./copy";
import { type Exchange, took } from "./record";

const SHOWN = 20_000;
const REPEATABLE = new Set(["tools/call", "resources/read", "tools/list", "resources/list"]);

export function bytes(size: number): string {
  return size < 1000 ? `${size} B` : `${(size / 1000).toFixed(size < 10_000 ? 1 : 0)} kB`;
}

export function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export class Row {
  readonly node = element("details", "pmcp-ins-row");
  /** What the filter looks at, made when it is first looked at. */
  #text = "";
  readonly #duration = element("span", "pmcp-ins-duration");
  readonly #said = element("p", "pmcp-ins-said");

  constructor(
    readonly exchange: Exchange,
    private readonly inspected: Inspected,
    began: number,
  ) {
    const { entry, method, problems } = exchange;
    const error = (entry.message as { error?: unknown } | null)?.error !== undefined;
    this.node.dataset.from = entry.from;
    const level = problems.some((each) => each.level === "error") || error ? "error" : "note";
    if (problems.length > 0 || error) this.node.dataset.level = level;
    const direction = entry.from === "app" ? "app → host" : "host → app";
    const marks = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    this.node.append(
      element(
        "summary",
        "",
        element("span", "pmcp-ins-time", `+${((entry.at - began) / 1000).toFixed(2)} s`),
        element("span", "pmcp-ins-from", direction),
        element("code", "pmcp-ins-method", exchange.partner ? `↳ ${method}` : method),
        element("span", "pmcp-ins-marks", problems.length > 0 ? marks : error ? "error" : ""),
        this.#duration,
        element("span", "pmcp-ins-size", bytes(entry.size)),
      ),
    );
    this.node.addEventListener("toggle", () => this.#fill(), { once: true });
    this.timed();
  }

  /** The answer is there. */
  timed(): void {
    const duration = took(this.exchange);
    if (duration !== null) setText(this.#duration, milliseconds(duration));
  }

  matches(words: string, which: string): boolean {
    const { kind, method, problems, entry } = this.exchange;
    if (which === "problems" && problems.length === 0 && !this.node.dataset.level) return false;
    if (which === "calls" && kind !== "request" && kind !== "response") return false;
    if (which === "notifications" && kind !== "notification") return false;
    if (!words) return true;
    this.#text ||= `${method} ${json(entry.message).slice(0, SHOWN)}`.toLowerCase();
    return this.#text.includes(words);
  }

  #fill(): void {
    const { entry, kind, method, params, problems } = this.exchange;
    const text = json(entry.message);
    const shown =
      text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… ${text.length - SHOWN} more` : text;
    const body = element("div", "pmcp-ins-body");
    if (problems.length > 0) {
      const list = element("ul", "pmcp-ins-problems");
      for (const { text: what, level } of problems) {
        const item = element("li", "", what);
        item.dataset.level = level;
        list.append(item);
      }
      body.append(list);
    }
    const pre = element("pre", "pmcp-ins-json", shown);
    pre.tabIndex = 0;
    body.append(pre);
    const actions = element("div", "pmcp-ins-actions");
    actions.append(button("Copy JSON", "pmcp-button", () => void this.#copy(text)));
    const { server } = this.inspected.traits.host;
    const tool = this.inspected.surroundings.context().toolInfo?.tool.name ?? "";
    const code = kind === "response" ? null : cell(server, method, params, tool);
    if (code) actions.append(button("Copy as cell", "pmcp-button", () => void this.#copy(code)));
    if (kind === "request" && entry.from === "app" && REPEATABLE.has(method)) {
      actions.append(button("Edit and repeat", "pmcp-button", () => this.#edit(body)));
    }
    this.#said.setAttribute("role", "status");
    body.append(actions, this.#said);
    this.node.append(body);
  }

  async #copy(text: string): Promise<void> {
    const copied = await copyText(text);
    setText(this.#said, copied ? "Copied." : "The browser does not let us copy; select the text.");
  }

  #edit(body: HTMLElement): void {
    if (body.querySelector("textarea")) return;
    const { method, params } = this.exchange;
    const area = element("textarea", "pmcp-ins-edit");
    area.value = json(params ?? {});
    area.rows = Math.min(12, area.value.split("\n").length);
    area.spellcheck = false;
    area.setAttribute("aria-label", `Parameters of ${method}`);
    const answer = element("pre", "pmcp-ins-json");
    answer.hidden = true;
    const send = button("Send", "pmcp-button pmcp-button-main", async () => {
      let given: unknown;
      try {
        given = JSON.parse(area.value);
      } catch (error) {
        setText(this.#said, String(error));
        return;
      }
      setText(this.#said, "Sent; waiting for the answer…");
      const began = performance.now();
      const said = await this.inspected.requests.repeat(method, given);
      answer.hidden = false;
      setText(answer, json(said).slice(0, SHOWN));
      const outcome = said.error ? "Answered with an error" : "Answered";
      setText(this.#said, `${outcome} after ${milliseconds(performance.now() - began)}.`);
    });
    body.append(area, send, answer);
    area.focus();
  }
}
