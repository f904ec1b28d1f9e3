import { statusLabel } from "../shared/task";
import type { TableRow } from "./rows";

/** Text that a person typed (or code set) to narrow the rows down, understood. */
export interface Query {
  words: RegExp[];
  fields: { field: Field; values: string[] }[];
  /** Kinds of failure. */
  reasons: string[];
}

const NAMED = ["status", "server", "tool", "set", "id"] as const;
type Field = (typeof NAMED)[number];

const TOKEN = /(?:([a-z]+):)?("[^"]*"?|\S+)/gi;

export function parse(text: string): Query {
  const query: Query = { words: [], fields: [], reasons: [] };
  for (const [token, name, value = ""] of text.matchAll(TOKEN)) {
    const field = name?.toLowerCase() as Field | "error" | undefined;
    if (field === "error") query.reasons.push(kind(unquote(value)));
    else if (!field || !NAMED.includes(field)) query.words.push(...wordOf(unquote(token)));
    else query.fields.push(...fieldOf(field, unquote(value)));
  }
  return query;
}

const wordOf = (word: string) => (word ? [new RegExp(literal(word), "i")] : []);

function fieldOf(field: Field, text: string): Query["fields"] {
  const values = text.toLowerCase().split(",").filter(Boolean);
  return values.length > 0 ? [{ field, values }] : [];
}

const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// What the kernel takes for numbers and ids (`failures.py`), and what stands for them in a kind.
const VARIES =
  /\{n\}|\{id\}|\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b|\b0x[\da-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[\da-f]{8,}\b|(?:(?<![\w.])[-+])?\d+(?:\.\d+)*(?:e[-+]?\d+)?|\b(?:nan|inf|infinity)\b/gi;

/** What all failures of one kind have in common. */
function kind(reason: string): string {
  return reason.replace(VARIES, "#").replaceAll('"', "?");
}

/** The words of the filter that show the failures of one kind. */
export function reasonFilter(reason: string): string {
  return `error:"${reason.replaceAll('"', "?")}"`;
}

export function isEmpty({ words, fields, reasons }: Query): boolean {
  return words.length + fields.length + reasons.length === 0;
}

export function matches(row: TableRow, { words, fields, reasons }: Query): boolean {
  for (const reason of reasons) if (kind(row.error ?? "") !== reason) return false;
  for (const { field, values } of fields) if (!hasField(row, field, values)) return false;
  for (const word of words) if (!hasWord(row, word)) return false;
  return true;
}

/** The statuses that the text asks for, and the text without them. */
export function statusesIn(text: string): { statuses: string[]; rest: string } {
  const statuses: string[] = [];
  const rest = text.replace(/(^|\s)status:(\S*)/gi, (_, __, list: string) => {
    statuses.push(...list.toLowerCase().split(",").filter(Boolean));
    return "";
  });
  return { statuses, rest: rest.trim() };
}

/** The text with one status more, or fewer. */
export function toggleStatus(text: string, status: string): string {
  const { statuses, rest } = statusesIn(text);
  const wanted = statuses.includes(status)
    ? statuses.filter((each) => each !== status)
    : [...statuses, status];
  return [wanted.length > 0 ? `status:${wanted.join(",")}` : "", rest].filter(Boolean).join(" ");
}

function hasField(row: TableRow, field: Field, values: string[]): boolean {
  if (field === "status") return values.includes(row.status);
  const text = (field === "id" ? row.taskId : (row[field] ?? "")).toLowerCase();
  return values.some((value) => text.includes(value));
}

function hasWord(row: TableRow, word: RegExp): boolean {
  if (word.test(row.tool) || word.test(row.server) || word.test(statusLabel(row.status)))
    return true;
  for (const text of [row.message, row.error, row.result, row.trouble, row.taskId, row.set]) {
    if (text && word.test(text)) return true;
  }
  for (const question of row.questions) if (word.test(question.message)) return true;
  return within(row.variables, word) || within(row.cells, word);
}

function within(values: Record<string, unknown>, word: RegExp): boolean {
  for (const name in values) if (word.test(name) || word.test(String(values[name]))) return true;
  return false;
}

function unquote(text: string): string {
  return text.replace(/^"|"$/g, "");
}
