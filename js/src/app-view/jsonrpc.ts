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
  if (message.jsonrpc !== "2.0") return null;
  const { id, method, params } = message;
  const hasId = typeof id === "string" || (typeof id === "number" && Number.isFinite(id));
  if (typeof method === "string") {
    if (params !== undefined && (typeof params !== "object" || params === null)) return null;
    if (hasId) return { type: "request", message: message as unknown as Request };
    if (id === undefined)
      return { type: "notification", message: message as unknown as Notification };
    return null;
  }
  if (method === undefined && hasId && ("result" in message || "error" in message)) {
    return { type: "response", message: message as unknown as Response };
  }
  return null;
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
  for (let next = open.pop(); next; next = open.pop()) {
    const [each, depth] = next;
    if (typeof each === "string") weight += each.length + 2;
    else if (typeof each === "bigint" || depth > maxDepth) return Number.POSITIVE_INFINITY;
    else if (typeof each !== "object" || each === null || each instanceof Date) weight += 8;
    else if (Array.isArray(each)) {
      weight += 2 + each.length;
      if (weight > limit) return weight;
      for (const item of each) open.push([item, depth + 1]);
    } else if (Object.getPrototypeOf(each) === Object.prototype) {
      weight += 2;
      for (const [key, item] of Object.entries(each)) {
        weight += key.length + 4;
        open.push([item, depth + 1]);
      }
    } else return Number.POSITIVE_INFINITY;
    if (weight > limit) return weight;
  }
  return weight;
}
