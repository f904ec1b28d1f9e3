/**
 * Checks messages against the JSON Schema that ext-apps publishes. Not a general validator: it knows the keywords
 * that this schema uses.
 */
import published from "@modelcontextprotocol/ext-apps/schema.json";

interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  not?: Schema;
  minimum?: number;
  maximum?: number;
  pattern?: string;
}

export interface Violation {
  /** `params.arguments`; empty for the message itself. */
  path: string;
  text: string;
  /** Something more than the schema knows, which a later one may know; nothing is wrong with the rest. */
  extra: boolean;
}

const DEFINITIONS = published.$defs as unknown as Record<string, Schema>;

/** Definition of a request or notification, by method. */
const MESSAGES = new Map<string, string>();
for (const [name, schema] of Object.entries(DEFINITIONS)) {
  const method = schema.properties?.method?.const;
  if (typeof method === "string") MESSAGES.set(method, name);
}

/** What is wrong with a request or notification; null when the schema does not know its method. */
export function checkMessage(method: string, params: unknown): Violation[] | null {
  const name = MESSAGES.get(method);
  if (name === undefined) return null;
  const schema = DEFINITIONS[name]?.properties?.params;
  const required = DEFINITIONS[name]?.required?.includes("params");
  if (!schema || (params === undefined && !required)) return [];
  return check(schema, params, "params");
}

/** What is wrong with the result of a request; null when the schema does not know it. */
export function checkResult(method: string, result: unknown): Violation[] | null {
  const request = MESSAGES.get(method);
  const name = request?.replace(/Request$/, "Result");
  // The result of a tool is the very thing that this notification carries.
  const schema =
    method === "tools/call"
      ? DEFINITIONS.McpUiToolResultNotification?.properties?.params
      : name !== request && name && DEFINITIONS[name];
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
  const misfit = misfits(schema, value, path);
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
function misfits(schema: Schema, value: unknown, path: string): string | null {
  if ("const" in schema && value !== schema.const) return `must be ${JSON.stringify(schema.const)}`;
  if (schema.enum && !schema.enum.includes(value)) {
    return `must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`;
  }
  if (schema.type && !fits(schema.type, value)) {
    return value === undefined ? "is missing" : `must be ${schema.type}, is ${kind(value)}`;
  }
  if (schema.not && check(schema.not, value, path).length === 0) return "is not allowed";
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
  const { properties = {}, required = [], additionalProperties: more, propertyNames } = schema;
  const below = (name: string) => (path ? `${path}.${name}` : name);
  const found: Violation[] = required
    .filter((name) => value[name] === undefined)
    .map((name) => wrong(below(name), "is missing"));
  for (const [name, each] of Object.entries(value)) {
    // What is undefined does not exist in JSON.
    if (each === undefined) continue;
    const at = below(name);
    const known = Object.hasOwn(properties, name) ? properties[name] : more;
    if (propertyNames) found.push(...check(propertyNames, name, at));
    if (typeof known === "object") found.push(...check(known, each, at));
    else if (known === false) found.push({ path: at, text: "is not in the schema", extra: true });
  }
  return found;
}

/** The violations of the branch that fits best. */
function anyOf(branches: Schema[], value: unknown, path: string): Violation[] {
  const constants = branches.flatMap((branch) => ("const" in branch ? [branch.const] : []));
  if (constants.length === branches.length) {
    return check({ enum: constants }, value, path);
  }
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
