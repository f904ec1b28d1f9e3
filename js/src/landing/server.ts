/** A server that is not there: it answers what was recorded, by its arguments, after as long as it took. */
import { INVALID_PARAMS, METHOD_NOT_FOUND } from "../app-view/jsonrpc";
import type { Answer } from "../app-view/transport";

type Json = Record<string, unknown>;

export interface Recorded {
  tool: string;
  arguments: Json;
  ms: number;
  result?: Json;
  error?: { code: number; message: string; data?: unknown };
}

export interface Known {
  tools: Json[];
  resources: Json[];
  calls: Recorded[];
  /** Bundles that a view loads when it wants them, by name. */
  code: Record<string, string>;
  /** What stands in place of a secret, and so for anything. */
  leftOut: string;
}

/** Whether a call is the recorded one, in whatever order its arguments are named. */
export function same(recorded: unknown, given: unknown, leftOut: string): boolean {
  if (recorded === leftOut) return typeof given === "string";
  if (typeof recorded !== "object" || recorded === null) return Object.is(recorded, given);
  if (typeof given !== "object" || given === null) return false;
  if (Array.isArray(recorded) !== Array.isArray(given)) return false;
  const names = Object.keys(recorded);
  return (
    names.length === Object.keys(given).length &&
    names.every(
      (name) =>
        Object.hasOwn(given, name) &&
        same((recorded as Json)[name], (given as Json)[name], leftOut),
    )
  );
}

function refusal(code: number, message: string): { ms: number; answer: Answer } {
  return { ms: 0, answer: { error: { code, message } } };
}

export class RecordedServer {
  /** How often each call was answered: of several with the same arguments one comes after the other. */
  readonly #answered = new Map<Recorded, number>();

  constructor(
    private readonly known: Known,
    /** Told of a call that nobody made while it was recorded. */
    private readonly missed: (tool: string, given: Json) => void,
  ) {}

  /** What a request is answered with, and after how many milliseconds. */
  answer(method: string, params: Json): { ms: number; answer: Answer } {
    switch (method) {
      case "tools/call":
        return this.#call(String(params.name), (params.arguments ?? {}) as Json);
      case "tools/list":
        return { ms: 0, answer: { result: { tools: this.known.tools.filter(forApps) } } };
      case "resources/list":
        return { ms: 0, answer: { result: { resources: this.known.resources.map(listed) } } };
      case "resources/read":
        return this.#read(String(params.uri));
      case "resources/templates/list":
        return { ms: 0, answer: { result: { resourceTemplates: [] } } };
      case "prompts/list":
        return { ms: 0, answer: { result: { prompts: [] } } };
    }
    return refusal(METHOD_NOT_FOUND, `This page does not offer ${method}.`);
  }

  #call(tool: string, given: Json): { ms: number; answer: Answer } {
    const listed = this.known.tools.find(({ name }) => name === tool);
    if (listed && !forApps(listed)) {
      return refusal(INVALID_PARAMS, `Tool '${tool}' is not visible to apps.`);
    }
    const { calls, leftOut } = this.known;
    const alike = calls.filter(
      (call) => call.tool === tool && same(call.arguments, given, leftOut),
    );
    const [first] = alike;
    if (!first) {
      this.missed(tool, given);
      const text = `This page answers the calls that were recorded, and '${tool}' was not called with ${JSON.stringify(given)}.`;
      return refusal(INVALID_PARAMS, text);
    }
    const times = this.#answered.get(first) ?? 0;
    this.#answered.set(first, times + 1);
    const { ms, result, error } = alike[Math.min(times, alike.length - 1)] as Recorded;
    return { ms, answer: error ? { error } : { result } };
  }

  #read(uri: string): { ms: number; answer: Answer } {
    const found = this.known.resources.find((resource) => resource.uri === uri);
    if (!found) return refusal(INVALID_PARAMS, `${uri} was not recorded.`);
    return { ms: 0, answer: { result: { contents: [found] } } };
  }
}

function forApps({ _meta }: Json): boolean {
  const visibility = ((_meta as Json | undefined)?.ui as Json | undefined)?.visibility;
  return !Array.isArray(visibility) || visibility.includes("app");
}

function listed({ text, blob, ...about }: Json): Json {
  return { name: about.uri, ...about };
}
