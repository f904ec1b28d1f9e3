import { describe, expect, it } from "vitest";
import type { Message } from "../src/shared/channel";
import type { Moment, Row, Status } from "../src/shared/task";
import { elapsed, headline, knownStatus, progressOf } from "../src/shared/task";
import { fitStages, stages, TaskRecord } from "../src/task-card/record";
import { Rows } from "../src/task-table/rows";
import { scrollTo, visibleSpan } from "../src/task-table/window";

function row(key: string, more: Partial<Row> = {}): Row {
  return {
    key,
    server: "demo",
    tool: "train",
    taskId: key,
    status: "working",
    message: null,
    progress: null,
    variables: {},
    started: 1000,
    updated: 2000,
    ended: null,
    ttl: null,
    trouble: null,
    error: null,
    result: null,
    questions: [],
    ...more,
  };
}

const delta = (rows: Row[], removed: string[] = []): Message => ({ kind: "delta", rows, removed });

describe("the table's rows", () => {
  it("are put in by key and keep their order", () => {
    const rows = new Rows();
    rows.replace({ rows: [row("a"), row("b")], title: "Mine" });
    rows.apply(delta([row("c"), row("a", { status: "completed" })]));
    expect(rows.keys(null)).toEqual(["a", "b", "c"]);
    expect(rows.get("a")?.status).toBe("completed");
    expect(rows.title).toBe("Mine");
    expect([rows.live, rows.counts.completed, rows.size]).toEqual([2, 1, 3]);
  });

  it("go away when they are removed", () => {
    const rows = new Rows();
    rows.replace({ rows: [row("a"), row("b", { status: "failed" })] });
    rows.apply(delta([], ["b", "unheard of"]));
    expect(rows.keys(null)).toEqual(["a"]);
    expect(rows.counts.failed).toBe(0);
  });

  it("are filtered by status", () => {
    const rows = new Rows();
    rows.replace({ rows: [row("a"), row("b", { status: "failed" }), row("c")] });
    expect(rows.keys("working")).toEqual(["a", "c"]);
    rows.apply(delta([row("c", { status: "failed" })]));
    expect(rows.keys("failed")).toEqual(["b", "c"]);
  });

  it("keep their list while only values change", () => {
    const rows = new Rows();
    rows.replace({ rows: [row("a")] });
    const keys = rows.keys(null);
    rows.apply(delta([row("a", { progress: 0.5 })]));
    expect(rows.keys(null)).toBe(keys);
  });

  it("count a status of the future as unknown", () => {
    const rows = new Rows();
    rows.replace({ rows: [row("a", { status: "paused" as Status })] });
    expect(rows.counts.unknown).toBe(1);
    rows.apply(delta([row("a")]));
    expect([rows.counts.unknown, rows.counts.working]).toEqual([0, 1]);
  });

  it("survive a state without rows", () => {
    const rows = new Rows();
    rows.replace(null);
    rows.apply({ kind: "delta" });
    expect(rows.size).toBe(0);
  });
});

describe("the window", () => {
  it("covers what is visible and a little more", () => {
    expect(visibleSpan(0, 340, 34, 1000, 6)).toEqual({ first: 0, end: 16 });
    expect(visibleSpan(3400, 340, 34, 1000, 6)).toEqual({ first: 94, end: 116 });
    expect(visibleSpan(33_660, 340, 34, 1000, 6)).toEqual({ first: 984, end: 1000 });
  });

  it("is empty for no rows and sane beyond the end", () => {
    expect(visibleSpan(0, 340, 34, 0, 6)).toEqual({ first: 0, end: 0 });
    expect(visibleSpan(90_000, 340, 34, 10, 6)).toEqual({ first: 10, end: 10 });
  });

  it("scrolls no further than it must", () => {
    expect(scrollTo(5, 0, 340, 34)).toBe(0);
    expect(scrollTo(20, 0, 340, 34)).toBe(374);
    expect(scrollTo(2, 500, 340, 34)).toBe(68);
  });
});

describe("a row's words", () => {
  it("put what matters first", () => {
    expect(headline(row("a", { status: "failed", error: "boom", message: "m" }))).toBe("boom");
    const questions = [{ key: "q", message: "Sure?" }];
    expect(headline(row("a", { status: "input_required", questions }))).toBe("Sure?");
    expect(headline(row("a", { status: "completed", result: "42" }))).toBe("42");
    expect(headline(row("a", { message: "m" }))).toBe("m");
  });

  it("bound the progress", () => {
    expect(progressOf(row("a", { progress: 7 }))).toBe(1);
    expect(progressOf(row("a", { progress: -1 }))).toBe(0);
    expect(progressOf(row("a", { progress: Number.NaN }))).toBeNull();
    expect(progressOf(row("a", { status: "completed" }))).toBe(1);
  });

  it("age only while alive", () => {
    expect(elapsed(row("a"), 5000)).toBe(4000);
    expect(elapsed(row("a", { status: "failed", ended: 3000 }), 5000)).toBe(2000);
    expect(elapsed(row("a"), 0)).toBe(0);
  });

  it("know no inherited status", () => {
    expect(knownStatus("toString")).toBe("unknown");
  });
});

describe("the card's record", () => {
  const moment = (time: number, status: Status, message: string | null = null): Moment => ({
    time,
    status,
    message,
  });

  it("appends history", () => {
    const record = new TaskRecord();
    record.replace({ row: row("a"), history: [moment(1, "working")] });
    const before = record.history;
    record.apply({
      kind: "delta",
      row: row("a", { status: "failed" }),
      history: [moment(2, "failed")],
    });
    expect(record.history.map((each) => each.status)).toEqual(["working", "failed"]);
    expect(record.history).not.toBe(before);
    expect(record.row?.status).toBe("failed");
  });

  it("tells its life in stages", () => {
    const history = [
      moment(1100, "working", "one"),
      moment(1200, "working", "two"),
      moment(1300, "input_required"),
      moment(1400, "working"),
    ];
    const track = stages(row("a", { status: "completed", ended: 1500 }), history);
    expect(track.map((each) => [each.status, each.since])).toEqual([
      ["submitted", 1000],
      ["working", 1100],
      ["input_required", 1300],
      ["working", 1400],
      ["completed", 1500],
    ]);
    expect(track[1]).toMatchObject({ moments: 2, message: "two" });
  });

  it("leaves out the middle of a long life", () => {
    const history = Array.from({ length: 20 }, (_, n) =>
      moment(n, n % 2 ? "working" : "input_required"),
    );
    const { shown, omitted } = fitStages(stages(row("a"), history), 7);
    expect(shown.length).toBe(7);
    expect(shown[0]?.status).toBe("submitted");
    expect(omitted).toBe(14);
  });
});
