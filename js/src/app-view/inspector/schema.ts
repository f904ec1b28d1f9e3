/**
 * Checks messages against the JSON Schema that ext-apps publishes. Not a general validator: it knows the keywords
 * that this schema uses, two of them as `published-schema.mjs` writes them.
 */
import published from "@modelcontextprotocol/ext-apps/schema.json";

interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  minimum?: number;
  maximum?: number;
  pattern?: string;
  /** With a "?" after the name of what may be missing. */
  properties?: Record<string, Schema>;
  /** What all others are; without it there are none. */
  more?: Schema;
}

export interface Violation {
  /** `params.arguments`; empty for the message itself. */
  path: string;
  text: string;
  /** Something more than the schema knows, which a later one may know; nothing is wrong with the rest. */
  extra: boolean;
}

const MESSAGES = published as unknown as Record<
  string,
  { params?: Schema; "params?"?: Schema; result?: Schema }
>;

/** What is wrong with a request or notification; null when the schema does not know its method. */
export function checkMessage(method: string, params: unknown): Violation[] | null {
  if (!Object.hasOwn(MESSAGES, method)) return null;
  const { params: schema, "params?": optional = {} } = MESSAGES[method] ?? {};
  if (schema) return check(schema, params, "params");
  return params === undefined ? [] : check(optional, params, "params");
}

/** What is wrong with the result of a request; null when the schema does not know it. */
export function checkResult(method: string, result: unknown): Violation[] | null {
  // The result of a tool is the very thing that this notification carries.
  const schema =
    method === "tools/call"
      ? MESSAGES["ui/notifications/tool-result"]?.params
      : Object.hasOwn(MESSAGES, method) && MESSAGES[method]?.result;
  return schema ? check(schema, result, "result") : null;
}

function kind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

function fits(type: string, value: unknown): boolean {
  return type === "integer" ? Number.isInteger(value) : kind(value) === type;
}

export function check(schema: Schema, value: unknown, path: string): Violation[] {
  if (schema.anyOf) return anyOf(schema.anyOf, value, path);
  const misfit = misfits(schema, value);
  if (misfit !== null) return [wrong(path, misfit)];
  // Each part of an intersection knows its own properties only.
  const found = (schema.allOf ?? [])
    .flatMap((each) => check(each, value, path))
    .filter(({ extra }) => !extra);
  return [...found, ...(INSIDE[kind(value)]?.(schema, value as never, path) ?? [])];
}

function wrong(path: string, text: string): Violation {
  return { path, text, extra: false };
}

/** How the value is another one altogether, so that there is no point in looking into it. */
function misfits(schema: Schema, value: unknown): string | null {
  if ("const" in schema && value !== schema.const) return `must be ${JSON.stringify(schema.const)}`;
  if (schema.enum && !schema.enum.includes(value)) {
    return `must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`;
  }
  if (schema.type && !fits(schema.type, value)) {
    return value === undefined ? "is missing" : `must be ${schema.type}, is ${kind(value)}`;
  }
  return null;
}

/** What is wrong inside a value, by its kind. */
const INSIDE: Record<string, (schema: Schema, value: never, path: string) => Violation[]> = {
  number,
  string,
  array,
  object,
};

function number(schema: Schema, value: number, path: string): Violation[] {
  const { minimum = value, maximum = value } = schema;
  if (value < minimum) return [wrong(path, `must be at least ${minimum}`)];
  return value > maximum ? [wrong(path, `must be at most ${maximum}`)] : [];
}

function string({ pattern }: Schema, value: string, path: string): Violation[] {
  const fine = !pattern || new RegExp(pattern, "u").test(value);
  return fine ? [] : [wrong(path, "has the wrong form")];
}

function array({ items }: Schema, value: unknown[], path: string): Violation[] {
  return items ? value.flatMap((each, index) => check(items, each, `${path}[${index}]`)) : [];
}

function object(schema: Schema, value: Record<string, unknown>, path: string): Violation[] {
  const { properties } = schema;
  const more = properties ? schema.more : (schema.more ?? {});
  const below = (name: string) => (path ? `${path}.${name}` : name);
  const known = new Map(
    Object.entries(properties ?? {}).map(([name, each]) => [name.replace("?", ""), each]),
  );
  const found: Violation[] = Object.keys(properties ?? {})
    .filter((name) => !name.endsWith("?") && value[name] === undefined)
    .map((name) => wrong(below(name), "is missing"));
  for (const [name, each] of Object.entries(value)) {
    // What is undefined does not exist in JSON.
    if (each === undefined) continue;
    const at = below(name);
    const inner = known.get(name) ?? more;
    if (inner) found.push(...check(inner, each, at));
    else found.push({ path: at, text: "is not in the schema", extra: true });
  }
  return found;
}

/** The violations of the branch that fits best. */
function anyOf(branches: Schema[], value: unknown, path: string): Violation[] {
  let best: Violation[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const branch of branches) {
    const found = check(branch, value, path);
    if (found.length === 0) return [];
    const weight = badness(found) + (isOther(branch, value) ? 10_000 : 0);
    if (weight < least) [best, least] = [found, weight];
  }
  return best;
}

function badness(found: Violation[]): number {
  return found.reduce((sum, { extra }) => sum + (extra ? 1 : 100), 0);
}

/** Whether a constant in the branch (`type: "text"`) says that the value is meant for another one. */
function isOther(branch: Schema, value: unknown): boolean {
  const given = (value ?? {}) as Record<string, unknown>;
  return Object.entries(branch.properties ?? {}).some(
    ([name, each]) => "const" in each && given[name] !== each.const,
  );
}
