/** JSON-RPC 2.0 as it crosses the frame's edge, where nothing may be taken on trust. */

export type Id = string | number;

export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}

export interface Request {
  jsonrpc: "2.0";
  id: Id;
  method: string;
  params?: unknown;
}

export interface Notification {
  jsonrpc: "2.0";
  method: string;
  params?: unknown;
}

export interface Response {
  jsonrpc: "2.0";
  id: Id | null;
  result?: unknown;
  error?: RpcError;
}

export type JsonRpc = Request | Notification | Response;

export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const UNAVAILABLE = -32000;

export type Parsed =
  | { type: "request"; message: Request }
  | { type: "notification"; message: Notification }
  | { type: "response"; message: Response };

/** The message, or null for anything that is not one. */
export function parse(data: unknown): Parsed | null {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return null;
  const message = data as Record<string, unknown>;
  const type = message.jsonrpc === "2.0" ? typeOf(message) : null;
  return type && ({ type, message: data } as Parsed);
}

function typeOf(message: Record<string, unknown>): Parsed["type"] | null {
  const { id, method, params = {} } = message;
  const hasId = typeof id === "string" || Number.isFinite(id);
  if (method === undefined && hasId) {
    return "result" in message || "error" in message ? "response" : null;
  }
  if (typeof method !== "string" || typeof params !== "object" || params === null) return null;
  if (hasId) return "request";
  return id === undefined ? "notification" : null;
}

/**
 * What the value is worth in bytes of JSON, give or take; infinite if it is nested too deeply for those who read it
 * later, or is no JSON (a Map, a typed array, a bigint: small here, but large, nothing or an error as JSON). Stops as
 * soon as that is more than `limit`, so that a cycle is simply too large. Also put into the outer frame as text: it
 * uses nothing from outside.
 */
export function weigh(value: unknown, limit: number): number {
  const maxDepth = 200;
  let weight = 0;
  const open: [unknown, number][] = [[value, 0]];
  const add = (items: unknown[], depth: number) => {
    for (const item of items) open.push([item, depth]);
  };
  const enter = (each: object, depth: number) => {
    weight += 2;
    if (Array.isArray(each)) {
      weight += each.length;
      if (weight <= limit) add(each, depth);
    } else if (Object.getPrototypeOf(each) === Object.prototype) {
      for (const key of Object.keys(each)) weight += key.length + 4;
      add(Object.values(each), depth);
    } else weight = Infinity;
  };
  for (let next = open.pop(); next && weight <= limit; next = open.pop()) {
    const [each, depth] = next;
    if (typeof each === "string") weight += each.length + 2;
    else if (typeof each === "bigint" || depth > maxDepth) weight = Infinity;
    else if (typeof each !== "object" || each === null || each instanceof Date) weight += 8;
    else enter(each, depth + 1);
  }
  return weight;
}
