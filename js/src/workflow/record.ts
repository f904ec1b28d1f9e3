import type { Field } from "../form/field";
import type { Asked } from "../form/question";
import type { Message } from "../shared/channel";
import type { Sink } from "../shared/feed";

export interface Step {
  name: string;
  tool: string | null;
  /** pending, running, completed, failed, skipped, refused, undone or undo failed. */
  status: string;
  execution: string;
  by: string | null;
  arguments: string | null;
  line: string;
  tries: number;
  result: string | null;
  failed: boolean;
}

/** One thing that can be done next. */
export interface Call {
  key: string;
  kind: "call" | "read" | "answer" | "variable" | "resume";
  step: string | null;
  target: string;
  guidance: string | null;
  fields: Field[];
}

export interface Workflow {
  name: string;
  server: string;
  goal: string;
  status: string;
  taskId: string | null;
  doing: string | null;
  trouble: string | null;
  steps: Step[];
  pause: { kind: string; step: string; message: string; deadline: number | null } | null;
  ending: { kind: "stopped" | "skipped" | "failed" | "undone"; message: string } | null;
  /** The step that a person may leave out. */
  skippable: string | null;
  undoable: boolean;
  calls: Call[];
  said: string;
  started: number | null;
  ended: number | null;
}

interface State {
  workflow?: Workflow;
  questions?: Asked[];
}

/** What the view knows of its workflow. Every message says all of it. */
export class WorkflowRecord implements Sink {
  shown: Workflow | null = null;
  questions: Asked[] = [];

  replace(state: unknown): void {
    const { workflow, questions } = (state ?? {}) as State;
    this.shown = workflow ?? null;
    this.questions = questions ?? [];
  }

  apply(delta: Message): void {
    this.replace(delta);
  }
}

/** What a step is to be done with, in a word or two; empty for one that the server does by itself. */
export function duty({ execution, by, status }: Step): string {
  if (status === "refused") return by === "person" ? "a person said no" : "nobody answered in time";
  if (status === "skipped" && by === "person") return "left out by a person";
  if (by === "person") return "answered by a person";
  if (by === "client") return "done from here";
  if (execution === "manual") return "asks a person";
  if (execution === "client") return "to be done from here";
  return "";
}
