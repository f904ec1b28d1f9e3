import { statusLabel } from "../shared/task";
import type { TableRow } from "./rows";

/** Text that a person typed (or code set) to narrow the rows down, understood. */
export interface Query {
  words: RegExp[];
  fields: { field: Field; values: string[] }[];
}

const NAMED = ["status", "server", "tool", "set", "id"] as const;
type Field = (typeof NAMED)[number];

const TOKEN = /(?:([a-z]+):)?("[^"]*"?|\S+)/gi;

export function parse(text: string): Query {
  const query: Query = { words: [], fields: [] };
  for (const [token, name, value = ""] of text.matchAll(TOKEN)) {
    const field = name?.toLowerCase() as Field | undefined;
    if (field && NAMED.includes(field)) {
      const values = unquote(value).toLowerCase().split(",").filter(Boolean);
      if (values.length > 0) query.fields.push({ field, values });
    } else {
      const word = unquote(token);
      if (word) query.words.push(new RegExp(word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i"));
    }
  }
  return query;
}

export function isEmpty(query: Query): boolean {
  return query.words.length === 0 && query.fields.length === 0;
}

export function matches(row: TableRow, { words, fields }: Query): boolean {
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
  return inVariables(row, word);
}

function inVariables({ variables }: TableRow, word: RegExp): boolean {
  for (const name in variables) {
    if (word.test(name) || word.test(String(variables[name]))) return true;
  }
  return false;
}

function unquote(text: string): string {
  return text.replace(/^"|"$/g, "");
}
