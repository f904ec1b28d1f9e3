/** The columns there are, and which of them fit. */
import type { About, TableRow } from "./rows";

export interface Column {
  name: string;
  label: string;
  /** Pixels below which it is not worth having. */
  min: number;
  /** Share of the space that is left over; 0 keeps it at `min`. */
  flex: number;
  /** The higher, the longer it stays when room gets scarce. */
  keep: number;
  end?: boolean;
  /** Of data: a bar shows where its numbers are between the least and the greatest. */
  bar?: boolean;
}

const KNOWN: Column[] = [
  { name: "n", label: "#", min: 34, flex: 0, keep: 8.7, end: true },
  { name: "server", label: "Server", min: 66, flex: 0.6, keep: 3 },
  { name: "given", label: "Row", min: 80, flex: 0.8, keep: 10 },
  { name: "tool", label: "Tool", min: 80, flex: 0.8, keep: 10 },
  { name: "set", label: "Set", min: 76, flex: 0.6, keep: 3 },
  { name: "status", label: "Status", min: 110, flex: 0, keep: 11 },
  { name: "progress", label: "Progress", min: 96, flex: 0.2, keep: 8 },
  { name: "message", label: "Message", min: 140, flex: 1.9, keep: 9 },
  { name: "age", label: "Age", min: 58, flex: 0, keep: 2, end: true },
  { name: "duration", label: "Duration", min: 64, flex: 0, keep: 7, end: true },
  { name: "ttl", label: "Kept for", min: 74, flex: 0, keep: 1, end: true },
  { name: "variables", label: "Variables", min: 120, flex: 1.7, keep: 5 },
  { name: "id", label: "Task id", min: 90, flex: 0.8, keep: 4 },
];

export const COLUMNS: readonly Column[] = KNOWN.filter(({ name }) => name !== "given");

const GAP = 12;
const LEAD = 46;
const PADDING = 24;
/** Of the row's button, which so covers nothing. */
const ACTIONS = 62;

/** A row's value in a column of data. */
export function dataOf({ variables, cells }: TableRow, name: string): unknown {
  return name in cells ? cells[name] : variables[name.replace(/^variables\./, "")];
}

/** What to show: the columns that were chosen, or those that the kernel proposes. */
export function wanted(chosen: readonly string[], { shown }: About): readonly string[] {
  if (chosen.length > 0) return chosen;
  return shown.length > 0 ? shown : USUAL;
}

const USUAL = ["tool", "status", "progress", "message", "duration"];

export function columnOf(name: string, about: About): Column | null {
  const own = KNOWN.find((column) => column.name === name);
  if (own || !DATA.test(name)) return own ?? null;
  const known = about.columns.find(([each]) => each === name);
  const numeric = known?.[2] ?? false;
  const label = name.replace(DATA, "");
  const bar = numeric && !name.startsWith("arguments.");
  return {
    name,
    label,
    min: bar ? 88 : 76,
    flex: numeric ? 0.3 : 0.6,
    keep: 8.5,
    end: numeric,
    bar,
  };
}

const DATA = /^(arguments|variables|result)\./;

/** As many of the wanted columns as the width has room for. */
export function fitting(names: readonly string[], width: number, about: About): Column[] {
  const columns = names.map((name) => columnOf(name, about)).filter((column) => column !== null);
  for (const column of columns) {
    // A label that two have would say nothing: there the whole name stands.
    if (columns.some((each) => each !== column && each.label === column.label))
      column.label = about.columns.find(([name]) => name === column.name)?.[1] ?? column.name;
  }
  const room = width - PADDING - LEAD - ACTIONS - 2 * GAP;
  const needed = () => columns.reduce((sum, column) => sum + column.min + GAP, 0);
  while (columns.length > 1 && needed() > room) {
    const least = columns.reduce((a, b) => (b.keep <= a.keep ? b : a));
    columns.splice(columns.indexOf(least), 1);
  }
  return columns;
}

export function template(columns: readonly Column[]): string {
  const tracks = columns.map(({ min, flex }) =>
    flex > 0 ? `minmax(${min}px, ${flex}fr)` : `${min}px`,
  );
  return [`${LEAD}px`, ...tracks, `${ACTIONS}px`].join(" ");
}
