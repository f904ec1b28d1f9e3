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
  if (field.minimum !== undefined && value < field.minimum)
    return { problem: `At least ${field.minimum}.` };
  if (field.maximum !== undefined && value > field.maximum)
    return { problem: `At most ${field.maximum}.` };
  if (field.exclusiveMinimum !== undefined && value <= field.exclusiveMinimum)
    return { problem: `More than ${field.exclusiveMinimum}.` };
  if (field.exclusiveMaximum !== undefined && value >= field.exclusiveMaximum)
    return { problem: `Less than ${field.exclusiveMaximum}.` };
  return { value };
}

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
  const parts: string[] = [];
  const { minimum: low, maximum: high } = field;
  if (low !== undefined && high !== undefined) parts.push(`${low} to ${high}`);
  else if (low !== undefined) parts.push(`at least ${low}`);
  else if (high !== undefined) parts.push(`at most ${high}`);
  if (field.exclusiveMinimum !== undefined) parts.push(`more than ${field.exclusiveMinimum}`);
  if (field.exclusiveMaximum !== undefined) parts.push(`less than ${field.exclusiveMaximum}`);
  if (field.multipleOf !== undefined) parts.push(`a multiple of ${field.multipleOf}`);
  if (field.minLength !== undefined && field.minLength > 1)
    parts.push(`at least ${field.minLength} characters`);
  if (field.maxLength !== undefined) parts.push(`at most ${field.maxLength} characters`);
  if (field.minItems !== undefined && field.minItems > 0) parts.push(`at least ${field.minItems}`);
  if (field.maxItems !== undefined) parts.push(`at most ${field.maxItems}`);
  if (field.pattern !== undefined) parts.push(`matching ${field.pattern}`);
  if (field.kind === "date-time") parts.push("in your time zone");
  if (field.kind === "json") parts.push(field.type === "any" ? "JSON" : `JSON ${field.type}`);
  return parts.join(", ");
}
