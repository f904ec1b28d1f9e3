// The schema that ext-apps publishes, as the inspector carries it: by method what a message has for params, and what it
// is answered. Most of the published one is annotations, envelopes, and the same again elsewhere.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const KEPT = ["type", "const", "enum", "minimum", "maximum", "pattern"];
const TURNED = ["anyOf", "allOf", "items", "properties", "required"];
const OPENNESS = ["additionalProperties", "propertyNames", "$ref"];
/** What tells people something and a checker nothing: each format has its pattern. */
const ANNOTATIONS = ["$schema", "title", "description", "default", "examples", "format", "$defs"];
const KNOWN = [...KEPT, ...TURNED, ...OPENNESS, ...ANNOTATIONS];
/** What every integer of JavaScript fits. */
const NO_LIMITS = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
/** Said between the frames, where no inspector listens. */
const UNHEARD = /^ui\/notifications\/sandbox-/;
/** Characters of what is said once and named, if there is more than one of it. */
const WORTH_A_NAME = 80;

const isAnything = (schema) => Object.keys(schema).length === 0;

function mapped(object, turn) {
  return Object.fromEntries(Object.entries(object).map(([name, each]) => turn(name, each)));
}

/**
 * The same schema, shorter: `properties` has a "?" after the name of what may be missing, and `more` is what all are
 * that have no name there; without it there are none.
 */
function shortened(schema) {
  const unknown = Object.keys(schema).filter((keyword) => !KNOWN.includes(keyword));
  if (unknown.length > 0) throw new Error(`The checker does not know ${unknown.join(", ")}.`);
  // The one reference that there is: any JSON.
  if (schema.$ref) return {};
  if (schema.anyOf) return union(schema.anyOf);
  const short = {};
  for (const keyword of KEPT) {
    const given = schema[keyword];
    if (given !== undefined && !NO_LIMITS.includes(given)) short[keyword] = given;
  }
  if (short.const ?? short.enum) delete short.type;
  if (schema.allOf) short.allOf = schema.allOf.map(shortened);
  if (schema.items) short.items = shortened(schema.items);
  return schema.type === "object" ? { ...short, ...inside(schema) } : short;
}

function union(branches) {
  if (branches.every((branch) => "const" in branch)) {
    return { enum: branches.map((branch) => branch.const) };
  }
  const anyOf = branches.map(shortened);
  return anyOf.some(isAnything) ? {} : { anyOf };
}

function inside({ properties, required = [], additionalProperties = {}, propertyNames }) {
  const more = additionalProperties && shortened(additionalProperties);
  const names = propertyNames && shortened(propertyNames).enum;
  if (!properties && !names) return isAnything(more) ? {} : { more };
  const named = properties ?? Object.fromEntries(names.map((name) => [name, additionalProperties]));
  const marked = mapped(named, (name, each) => [
    required.includes(name) ? name : `${name}?`,
    shortened(each),
  ]);
  return { properties: marked, ...(properties && more && { more }) };
}

/** By method: its `params`, or `params?` where they may be missing, and its `result`. */
function messages($defs) {
  const found = {};
  for (const [name, definition] of Object.entries($defs)) {
    const method = definition.properties?.method?.const;
    if (!method || UNHEARD.test(method)) continue;
    const { method: _, ...carried } = inside(definition).properties;
    const answer = name.endsWith("Request") && $defs[name.replace(/Request$/, "Result")];
    found[method] = { ...carried, ...(answer && { result: shortened(answer) }) };
  }
  return found;
}

/** JavaScript for the value, in which what comes more than once is there once. */
function written(value) {
  const times = new Map();
  const count = (each) => {
    if (typeof each !== "object") return;
    const text = JSON.stringify(each);
    times.set(text, (times.get(text) ?? 0) + 1);
    if (times.get(text) === 1) for (const part of Object.values(each)) count(part);
  };
  count(value);
  const names = new Map();
  const lines = [];
  const write = (each) => {
    if (typeof each !== "object") return JSON.stringify(each);
    const text = JSON.stringify(each);
    if (times.get(text) === 1 || text.length < WORTH_A_NAME) return writeParts(each);
    if (!names.has(text)) {
      const parts = writeParts(each);
      names.set(text, `shared${names.size}`);
      lines.push(`const ${names.get(text)} = ${parts};`);
    }
    return names.get(text);
  };
  const writeParts = (each) =>
    Array.isArray(each)
      ? `[${each.map(write)}]`
      : `{${Object.entries(each).map(([name, part]) => `${JSON.stringify(name)}:${write(part)}`)}}`;
  const last = `export default ${write(value)};`;
  return [...lines, last].join("\n");
}

/** What stands for `@modelcontextprotocol/ext-apps/schema.json` in a bundle and in tests. */
export async function publishedSchema() {
  const file = fileURLToPath(import.meta.resolve("@modelcontextprotocol/ext-apps/schema.json"));
  const { $defs } = JSON.parse(await readFile(file, "utf8"));
  return written(messages($defs));
}
