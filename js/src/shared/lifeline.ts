import { knownStatus, type Moment, type Row, type Status } from "./task";

/** A part of a task's life in one status, in milliseconds. */
interface Stretch {
  status: Status;
  length: number;
}

export type Lived = Pick<Row, "status" | "started" | "ended">;

/** How long a task was in which status, one after the other. */
export function lifeline(row: Lived, history: Moment[], now: number): Stretch[] {
  const end = row.ended ?? now;
  const stretches: Stretch[] = [];
  for (let index = 0; index < history.length; index += 1) {
    const moment = history[index] as Moment;
    const status = knownStatus(moment.status);
    const begin = index === 0 ? Math.min(row.started, moment.time) : moment.time;
    const length = Math.max(0, (history[index + 1]?.time ?? end) - begin);
    const last = stretches[stretches.length - 1];
    if (last?.status === status) last.length += length;
    else stretches.push({ status, length });
  }
  if (stretches.length === 0) {
    stretches.push({ status: knownStatus(row.status), length: Math.max(0, end - row.started) });
  }
  return stretches;
}
