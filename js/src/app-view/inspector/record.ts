/** A message as the inspector shows it: what it is, what it answers, and what is wrong with it. */

import { FAILED, VIOLATION } from "../../prelude/names";
import { type JsonRpc, parse } from "../jsonrpc";
import type { standard } from "../old-names";
import type { Entry } from "../trace";
import { checkMessage, checkResult } from "./schema";

export interface Problem {
  text: string;
  /** Wrong, or only not quite the standard. */
  level: "error" | "note";
}

export interface Exchange {
  entry: Entry;
  kind: "request" | "notification" | "response" | "malformed";
  method: string;
  params: unknown;
  problems: Problem[];
  /** Of a response: what it answers. Of a request: what answered it. */
  partner: Exchange | null;
}

const OWN = "run.pmcp/";

/** Turns the entries of a trace into records, in order; pairs what belongs together. */
export class Reader {
  readonly #open = new Map<string, Exchange>();

  /** @param meaning What an old form means. */
  constructor(private readonly meaning: typeof standard) {}

  read(entry: Entry): Exchange {
    const parsed = parse(entry.message);
    if (!parsed) {
      const problems: Problem[] = [{ level: "error", text: "This is not JSON-RPC 2.0." }];
      const method = "(no message)";
      return { entry, kind: "malformed", method, params: undefined, problems, partner: null };
    }
    const { id, method, params, result, error } = parsed.message as JsonRpc & {
      [key: string]: unknown;
    };
    const record: Exchange = {
      entry,
      kind: parsed.type,
      method: String(method ?? ""),
      params,
      problems: [],
      partner: null,
    };
    if (parsed.type === "response") {
      this.#pair(record, id);
      if (record.partner && error === undefined)
        this.#judge(record, checkResult(record.method, result));
      return record;
    }
    if (parsed.type === "request") {
      this.#open.set(`${entry.from} ${typeof id} ${String(id)}`, record);
    }
    this.#comment(record);
    return record;
  }

  /** A response, with the request that it answers. */
  #pair(record: Exchange, id: unknown): void {
    const asker = record.entry.from === "app" ? "host" : "app";
    const key = `${asker} ${typeof id} ${String(id)}`;
    const asked = this.#open.get(key);
    this.#open.delete(key);
    if (asked) {
      record.partner = asked;
      record.method = asked.method;
      asked.partner = record;
    } else {
      record.method = "(unknown request)";
      const text = `It answers no request that is open: id ${id}.`;
      record.problems.push({ level: "error", text });
    }
  }

  /** What there is to say of a request or a notification. */
  #comment(record: Exchange): void {
    const { entry, method, params } = record;
    const meant = entry.from === "app" ? this.meaning(method, params) : null;
    if (meant) {
      const text = `${method} is an old form; the standard’s is ${meant.method}.`;
      record.problems.push({ level: "note", text });
    }
    if (method === VIOLATION) {
      const { directive, blocked } = (params ?? {}) as Record<string, unknown>;
      // Most libraries only try whether they may.
      const level = blocked === "eval" ? "note" : "error";
      record.problems.push({ level, text: `${directive} blocked ${blocked}; see “Document”.` });
    } else if (method === FAILED) {
      const { message } = (params ?? {}) as Record<string, unknown>;
      record.problems.push({ level: "error", text: String(message) });
    } else if (!method.startsWith(OWN)) {
      const { method: known, params: given } = meant ?? { method, params };
      this.#judge(record, checkMessage(known, given));
    }
  }

  #judge(record: Exchange, found: ReturnType<typeof checkMessage>): void {
    for (const { path, text, extra } of found ?? []) {
      record.problems.push({ level: extra ? "note" : "error", text: `${path} ${text}` });
    }
  }
}

/** Milliseconds between a request and its answer. */
export function took(record: Exchange): number | null {
  return record.partner ? Math.abs(record.partner.entry.at - record.entry.at) : null;
}
