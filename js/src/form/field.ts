/** A field as MESSAGES.md describes it, and what its text means. The kernel compares the whole with the schema. */

export type Kind =
  | "text"
  | "email"
  | "uri"
  | "date"
  | "date-time"
  | "integer"
  | "number"
  | "boolean"
  | "choice"
  | "choices"
  | "json";

export interface Field {
  name: string;
  title: string;
  description: string;
  required: boolean;
  kind: Kind;
  default?: unknown;
  options?: { value: unknown; title: string }[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
  /** Of text: room for several lines. */
  long?: boolean;
  /** Of JSON: "array", "object", "any". */
  type?: string;
  nullable?: boolean;
}

/** What was read: a value, nothing, or what is wrong. */
export type Reading = { value: unknown } | { problem: string } | null;

const REQUIRED = { problem: "Required." };

/** The value of what was typed. */
export function parse(field: Field, text: string): Reading {
  const trimmed = text.trim();
  if (trimmed === "") return field.required ? REQUIRED : null;
  switch (field.kind) {
    case "integer":
    case "number":
      return number(field, trimmed);
    case "json":
      return json(field, trimmed);
    case "date-time":
      return moment(trimmed);
    default: {
      const problem = textProblem(field, text);
      return problem ? { problem } : { value: text };
    }
  }
}

/** The value of the options that were picked, by their places. */
export function pick(field: Field, places: number[]): Reading {
  const values = places.map((place) => field.options?.[place]?.value);
  if (field.kind === "choice") {
    if (values.length === 0) return field.required ? { problem: "Choose one." } : null;
    return { value: values[0] };
  }
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = field;
  if (values.length === 0 && !field.required) return null;
  if (values.length < minItems) return { problem: `Choose at least ${minItems}.` };
  if (values.length > maxItems) return { problem: `Choose at most ${maxItems}.` };
  return { value: values };
}

function number(field: Field, text: string): Reading {
  const whole = field.kind === "integer";
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) return { problem: whole ? "A whole number." : "A number." };
  if (whole && !Number.isInteger(value)) return { problem: "A whole number." };
  if (whole && !Number.isSafeInteger(value)) return { problem: "Too large to be sent exactly." };
  for (const [name, words, wrong] of LIMITS) {
    const limit = field[name];
    if (limit !== undefined && wrong(value, limit)) return { problem: `${words} ${limit}.` };
  }
  return { value };
}

/** Limits of numbers, in words, and what goes beyond them. */
const LIMITS = [
  ["minimum", "At least", (value: number, limit: number) => value < limit],
  ["maximum", "At most", (value: number, limit: number) => value > limit],
  ["exclusiveMinimum", "More than", (value: number, limit: number) => value <= limit],
  ["exclusiveMaximum", "Less than", (value: number, limit: number) => value >= limit],
] as const;

function textProblem(field: Field, text: string): string | null {
  // The schema counts code points, as Python does. A pattern is the kernel's to try: it may take for ever.
  const length = Array.from(text).length;
  if (field.minLength !== undefined && length < field.minLength)
    return `At least ${field.minLength} characters.`;
  if (field.maxLength !== undefined && length > field.maxLength)
    return `At most ${field.maxLength} characters.`;
  if (field.kind === "email" && !/^[^\s@]+@[^\s@]+$/.test(text)) return "An e-mail address.";
  if (field.kind === "uri" && !/^[a-z][a-z0-9+.-]*:\S+$/i.test(text)) return "A whole URL.";
  if (field.kind === "date" && !/^\d{4}-\d\d-\d\d$/.test(text)) return "A date.";
  return null;
}

function json(field: Field, text: string): Reading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "This is not JSON." };
  }
  const kind = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  const wanted = field.type ?? "any";
  if (kind === "null" && field.nullable) return { value };
  if ((wanted === "array" || wanted === "object") && kind !== wanted)
    return { problem: wanted === "array" ? "A JSON list: […]." : "A JSON object: {…}." };
  return { value };
}

/** A local date and time, as the browser's own field has it, with the zone that the schema wants. */
function moment(text: string): Reading {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return { problem: "A date and time." };
  return { value: time.toISOString() };
}

/** The text that stands for a value beforehand. */
export function textOf(field: Field, value: unknown): string {
  if (value === undefined || value === null) return "";
  if (field.kind === "json") return JSON.stringify(value, null, 1);
  if (field.kind === "date-time" && typeof value === "string") {
    const time = new Date(value);
    if (Number.isNaN(time.getTime())) return "";
    return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What may be entered, in a few words; empty when everything may. */
export function bounds(field: Field): string {
  const { kind, type, minimum: low, maximum: high, minLength = 0, minItems = 0 } = field;
  const range = low !== undefined && high !== undefined;
  const parts = [
    range ? `${low} to ${high}` : named("at least %", low) || named("at most %", high),
    named("more than %", field.exclusiveMinimum),
    named("less than %", field.exclusiveMaximum),
    named("a multiple of %", field.multipleOf),
    minLength > 1 && named("at least % characters", minLength),
    named("at most % characters", field.maxLength),
    minItems > 0 && named("at least %", minItems),
    named("at most %", field.maxItems),
    named("matching %", field.pattern),
    kind === "date-time" && "in your time zone",
    kind === "json" && (type === "any" ? "JSON" : `JSON ${type}`),
  ];
  return parts.filter(Boolean).join(", ");
}

/** The words with the bound in them; empty where there is none. */
function named(words: string, bound: number | string | undefined): string {
  return bound === undefined ? "" : words.replace("%", () => String(bound));
}
