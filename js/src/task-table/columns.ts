/** The columns there are, and which of them fit. */
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
}

const KNOWN: Column[] = [
  { name: "server", label: "Server", min: 66, flex: 0.6, keep: 3 },
  { name: "tool", label: "Tool", min: 80, flex: 0.8, keep: 10 },
  { name: "set", label: "Set", min: 76, flex: 0.6, keep: 3 },
  { name: "status", label: "Status", min: 110, flex: 0, keep: 11 },
  { name: "progress", label: "Progress", min: 96, flex: 0.2, keep: 8 },
  { name: "message", label: "Message", min: 140, flex: 1.9, keep: 9 },
  { name: "age", label: "Age", min: 58, flex: 0, keep: 2, end: true },
  { name: "duration", label: "Duration", min: 64, flex: 0, keep: 7, end: true },
  { name: "ttl", label: "Time left", min: 74, flex: 0, keep: 1, end: true },
  { name: "variables", label: "Variables", min: 120, flex: 1.7, keep: 5 },
  { name: "id", label: "Task id", min: 90, flex: 0.8, keep: 4 },
];

export const COLUMNS: readonly Column[] = KNOWN;

const GAP = 12;
const LEAD = 46;
const PADDING = 24;

export function columnOf(name: string): Column | null {
  if (!name.startsWith("variables.")) return KNOWN.find((column) => column.name === name) ?? null;
  const label = name.slice("variables.".length);
  return { name, label, min: 76, flex: 0.4, keep: 6, end: true };
}

/** As many of the wanted columns as the width has room for. */
export function fitting(wanted: readonly string[], width: number): Column[] {
  const columns = wanted.map(columnOf).filter((column) => column !== null);
  const room = width - PADDING - LEAD - GAP;
  const needed = () => columns.reduce((sum, column) => sum + column.min + GAP, 0);
  while (columns.length > 1 && needed() > room) {
    const least = columns.reduce((a, b) => (b.keep < a.keep ? b : a));
    columns.splice(columns.indexOf(least), 1);
  }
  return columns;
}

export function template(columns: readonly Column[]): string {
  const tracks = columns.map(({ min, flex }) =>
    flex > 0 ? `minmax(${min}px, ${flex}fr)` : `${min}px`,
  );
  return [`${LEAD}px`, ...tracks].join(" ");
}
