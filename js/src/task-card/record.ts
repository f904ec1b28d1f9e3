import type { Asked } from "../form/question";
import type { Message } from "../shared/channel";
import type { Sink } from "../shared/feed";
import { knownStatus, type Moment, type Row, type Status } from "../shared/task";

const MAX_HISTORY = 500;

/** A stretch of the task's life in one status. */
export interface Stage {
  status: Status | "submitted";
  since: number;
  /** How many moments were told about within it. */
  moments: number;
  message: string | null;
}

interface State {
  row?: Row;
  history?: Moment[];
  questions?: Asked[];
  visiting?: string | null;
  stderr?: string;
}

/** What the card knows of its task. */
export class TaskRecord implements Sink {
  row: Row | null = null;
  history: Moment[] = [];

  questions: Asked[] = [];
  /** The host that a question sent the person to, until it reports back. */
  visiting: string | null = null;
  stderr = "";

  replace(state: unknown): void {
    const { row, history } = (state ?? {}) as State;
    this.row = row ?? null;
    this.history = (history ?? []).slice(-MAX_HISTORY);
    this.#ask(state as State | null);
  }

  apply(delta: Message): void {
    if (delta.row) this.row = delta.row as Row;
    const added = (delta.history as Moment[] | undefined) ?? [];
    if (added.length > 0) this.history = [...this.history, ...added].slice(-MAX_HISTORY);
    this.#ask(delta as unknown as State);
  }

  #ask(state: State | null): void {
    this.questions = state?.questions ?? [];
    this.visiting = state?.visiting ?? null;
    this.stderr = state?.stderr ?? "";
  }
}

/** The history as runs of one status each, from the submission on. */
export function stages(row: Row, history: Moment[]): Stage[] {
  const track: Stage[] = [{ status: "submitted", since: row.started, moments: 1, message: null }];
  for (const { time, status: raw, message } of history) {
    const status = knownStatus(raw);
    const last = track[track.length - 1];
    if (last?.status === status) {
      last.moments += 1;
      last.message = message ?? last.message;
    } else track.push({ status, since: time, moments: 1, message });
  }
  // The row may be ahead of its history, or come without any.
  const status = knownStatus(row.status);
  if (track[track.length - 1]?.status !== status) {
    track.push({ status, since: row.ended ?? row.updated, moments: 1, message: row.message });
  }
  return track;
}

/** At most `limit` stages: the first and the latest, and how many were left out between them. */
export function fitStages(track: Stage[], limit: number): { shown: Stage[]; omitted: number } {
  if (track.length <= limit) return { shown: track, omitted: 0 };
  const [first, ...rest] = track;
  const tail = rest.slice(-(limit - 1));
  return { shown: first ? [first, ...tail] : tail, omitted: track.length - limit };
}
