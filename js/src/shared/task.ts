/** The task as MESSAGES.md describes it, and the words a view uses for it. */

export type Status =
  | "working"
  | "queued"
  | "input_required"
  | "completed"
  | "failed"
  | "cancelled"
  | "unknown";

export interface Row {
  key: string;
  server: string;
  tool: string;
  taskId: string;
  status: Status;
  message: string | null;
  progress: number | null;
  variables: Record<string, unknown>;
  started: number;
  updated: number;
  ended: number | null;
  ttl: number | null;
  trouble: string | null;
  error: string | null;
  result: string | null;
  questions: { key: string; message: string }[];
}

export interface Moment {
  time: number;
  status: Status;
  message: string | null;
}

export const STATUSES: readonly Status[] = [
  "working",
  "queued",
  "input_required",
  "completed",
  "failed",
  "cancelled",
  "unknown",
];

const LABELS: Record<Status, string> = {
  working: "working",
  queued: "queued",
  input_required: "needs input",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  unknown: "unknown",
};

/** A status that a newer kernel invents is shown as unknown rather than as nothing. */
export function knownStatus(status: string): Status {
  return Object.hasOwn(LABELS, status) ? (status as Status) : "unknown";
}

export function statusLabel(status: Status): string {
  return LABELS[knownStatus(status)];
}

export function isLive({ status }: Pick<Row, "status">): boolean {
  return status === "working" || status === "queued" || status === "input_required";
}

/** What the person should read first about a row. */
export function headline(
  row: Pick<Row, "status" | "error" | "questions" | "result" | "message">,
): string {
  if (row.status === "failed" && row.error) return row.error;
  if (row.status === "input_required" && row.questions[0]) return row.questions[0].message;
  if (row.status === "completed" && row.result && !row.message) return row.result;
  return row.message ?? "";
}

/** The text of the cell of a finished task says how far it came; a finished one is full. */
export function progressOf(row: Pick<Row, "status" | "progress">): number | null {
  if (row.status === "completed") return 1;
  if (row.progress === null || !Number.isFinite(row.progress)) return null;
  return Math.min(1, Math.max(0, row.progress));
}

/** How long the task has been going on, by the kernel's clock, or took; 0 before it began. */
export function elapsed(
  row: Pick<Row, "status" | "started" | "ended"> & { updated?: number },
  now: number,
): number {
  if (row.status === "queued") return 0;
  return Math.max(0, (isLive(row) ? now : (row.ended ?? row.updated ?? now)) - row.started);
}
