/** The list of messages, with its filter. */
import { button, element, setText } from "../../shared/dom";
import type { Inspected } from "../inspection";
import { Reader } from "./record";
import { Row } from "./rows";

const MAX_ROWS = 500;
const KINDS = [
  ["all", "everything"],
  ["calls", "requests and answers"],
  ["notifications", "notifications"],
  ["problems", "problems"],
] as const;

export class Messages {
  readonly node = element("section", "pmcp-ins-messages");
  readonly #list = element("div", "pmcp-ins-list");
  readonly #count = element("span", "pmcp-ins-count");
  readonly #words = element("input", "pmcp-ins-filter");
  readonly #which = element("select", "pmcp-ins-kinds");
  readonly #empty = element("p", "pmcp-empty", "Nothing yet.");
  readonly #rows = new Map<object, Row>();
  readonly #reader: Reader;
  #began: number;

  constructor(
    private readonly inspected: Inspected,
    signal: AbortSignal,
  ) {
    const { trace, standard } = inspected;
    this.#reader = new Reader(standard);
    this.#began = trace.steps.get("opened") ?? trace.entries[0]?.at ?? performance.now();
    this.#words.type = "search";
    this.#words.placeholder = "Filter";
    this.#words.setAttribute("aria-label", "Filter messages");
    this.#which.setAttribute("aria-label", "Kinds of messages");
    for (const [value, label] of KINDS) {
      const option = element("option", "", label);
      option.value = value;
      this.#which.append(option);
    }
    this.#words.addEventListener("input", () => this.#filter());
    this.#which.addEventListener("change", () => this.#filter());
    this.#count.setAttribute("role", "status");
    const title = element("h3", "", "Messages");
    const clear = button("Clear", "pmcp-button", () => this.#clear());
    const spacer = element("span", "pmcp-spacer");
    const tools = [this.#count, spacer, this.#words, this.#which, clear];
    this.#list.setAttribute("role", "group");
    this.#list.setAttribute("aria-label", "Messages between app and host");
    this.node.append(element("div", "pmcp-ins-tools", title, ...tools), this.#list, this.#empty);
    for (const entry of trace.entries) this.#add(entry);
    this.#filter();
    this.#list.scrollTop = this.#list.scrollHeight;
    trace.watch((entry) => {
      if (!entry) return;
      const { scrollHeight, scrollTop, clientHeight } = this.#list;
      const atEnd = scrollHeight - scrollTop - clientHeight < 24;
      const row = this.#add(entry);
      this.#show(row);
      this.#counted();
      // Follows what comes, unless the person has gone back to read.
      if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
    }, signal);
  }

  #add(entry: Parameters<Reader["read"]>[0]): Row {
    const exchange = this.#reader.read(entry);
    const row = new Row(exchange, this.inspected, this.#began);
    this.#rows.set(exchange, row);
    if (exchange.partner) this.#rows.get(exchange.partner)?.timed();
    this.#list.append(row.node);
    if (this.#rows.size > MAX_ROWS) {
      const [oldest] = this.#rows;
      oldest?.[1].node.remove();
      if (oldest) this.#rows.delete(oldest[0]);
    }
    return row;
  }

  #show(row: Row): void {
    row.node.hidden = !row.matches(this.#words.value.trim().toLowerCase(), this.#which.value);
  }

  #filter(): void {
    for (const row of this.#rows.values()) this.#show(row);
    this.#counted();
  }

  #counted(): void {
    const all = this.#rows.size;
    let shown = 0;
    for (const row of this.#rows.values()) if (!row.node.hidden) shown += 1;
    const lost =
      this.inspected.trace.lost > 0 ? `, ${this.inspected.trace.lost} older ones gone` : "";
    setText(this.#count, `${shown === all ? all : `${shown} of ${all}`}${lost}`);
    this.#empty.hidden = shown > 0;
  }

  #clear(): void {
    this.inspected.trace.clear();
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#began = performance.now();
    this.#counted();
  }
}
