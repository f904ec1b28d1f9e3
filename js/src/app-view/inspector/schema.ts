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
  const wrong = (text: string): Violation[] => [{ path, text, extra: false }];
  if (schema.anyOf) return anyOf(schema.anyOf, value, path);
  if ("const" in schema && value !== schema.const) {
    return wrong(`must be ${JSON.stringify(schema.const)}`);
  }
  if (schema.enum && !schema.enum.includes(value)) {
    return wrong(`must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`);
  }
  if (schema.type && !fits(schema.type, value)) {
    return wrong(value === undefined ? "is missing" : `must be ${schema.type}, is ${kind(value)}`);
  }
  if (schema.not && check(schema.not, value, path).length === 0) return wrong("is not allowed");
  // Each part of an intersection knows its own properties only.
  const found = (schema.allOf ?? [])
    .flatMap((each) => check(each, value, path))
    .filter(({ extra }) => !extra);
  if (typeof value === "number") {
    const { minimum = value, maximum = value } = schema;
    if (value < minimum) found.push(...wrong(`must be at least ${minimum}`));
    if (value > maximum) found.push(...wrong(`must be at most ${maximum}`));
  } else if (typeof value === "string" && schema.pattern) {
    if (!new RegExp(schema.pattern, "u").test(value)) found.push(...wrong("has the wrong form"));
  } else if (Array.isArray(value)) {
    const { items } = schema;
    if (items) {
      value.forEach((each, index) => {
        found.push(...check(items, each, `${path}[${index}]`));
      });
    }
  } else if (kind(value) === "object") {
    found.push(...object(schema, value as Record<string, unknown>, path));
  }
  return found;
}

function object(schema: Schema, value: Record<string, unknown>, path: string): Violation[] {
  const { properties = {}, required = [], additionalProperties: more, propertyNames } = schema;
  const below = (name: string) => (path ? `${path}.${name}` : name);
  const found: Violation[] = required
    .filter((name) => value[name] === undefined)
    .map((name) => ({ path: below(name), text: "is missing", extra: false }));
  for (const [name, each] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // What is undefined does not exist in JSON.
    if (each === undefined) continue;
    if (propertyNames) found.push(...check(propertyNames, name, below(name)));
    if (known) found.push(...check(known, each, below(name)));
    else if (more === false)
      found.push({ path: below(name), text: "is not in the schema", extra: true });
    else if (typeof more === "object") found.push(...check(more, each, below(name)));
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
