import { describe, expect, it } from "vitest";
import type { Message } from "../src/shared/channel";
import { lifeline } from "../src/shared/lifeline";
import type { Moment, Row, Status } from "../src/shared/task";
import { elapsed, headline, knownStatus, progressOf } from "../src/shared/task";
import { fitStages, stages, TaskRecord } from "../src/task-card/record";
import { fitting } from "../src/task-table/columns";
import { comparator, Lines, type Wish } from "../src/task-table/lines";
import { matches, parse, reasonFilter, statusesIn, toggleStatus } from "../src/task-table/query";
import { type About, blank, type Patch, Rows, type TableRow } from "../src/task-table/rows";
import { Selection } from "../src/task-table/selection";
import { Geometry } from "../src/task-table/window";

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

const line = (n: number, more: Partial<TableRow> = {}): TableRow => ({ ...blank(n), ...more });

/** A patch that gives each of these rows one value per field. */
function patch(first: number, fields: Record<string, unknown[]>, count?: number): Patch {
  const length = count ?? Object.values(fields)[0]?.length ?? 0;
  const columns = Object.fromEntries(
    Object.entries(fields).map(([name, values]) => [name, { values }]),
  );
  return { rows: { first, count: length }, columns };
}

const delta = (of: Patch | null, total: number): Message => ({ kind: "delta", patch: of, total });

function table(status: Status[], fields: Record<string, unknown[]> = {}): Rows {
  const rows = new Rows();
  rows.replace({ total: status.length, patch: patch(0, { status, ...fields }) });
  return rows;
}

describe("the table's rows", () => {
  it("are patched column by column", () => {
    const rows = table(["working", "working", "failed"]);
    rows.apply(
      delta(
        {
          rows: [0, 2],
          columns: {
            tool: { values: [0, 1], words: ["train", "tune"] },
            message: { at: [1], values: ["boom"] },
          },
          variables: { loss: { values: [0.5, 0.7] }, epoch: { at: [0], values: [3] } },
        },
        3,
      ),
    );
    expect(rows.get(0)).toMatchObject({ tool: "train", message: null });
    expect(rows.get(2)).toMatchObject({ tool: "tune", message: "boom" });
    expect({ ...rows.get(0)?.variables }).toEqual({ loss: 0.5, epoch: 3 });
    expect(rows.counts).toMatchObject({ working: 2, failed: 1 });
  });

  it("are counted by status, one of the future as unknown", () => {
    const rows = table(["paused" as Status, "working"]);
    expect(rows.counts).toMatchObject({ unknown: 1, working: 1 });
    rows.apply(delta(patch(0, { status: ["completed"] }), 2));
    expect(rows.counts).toMatchObject({ unknown: 0, completed: 1, working: 1 });
    expect(rows.live).toBe(1);
  });

  it("grow at their end", () => {
    const rows = table(["working"]);
    rows.apply(delta(patch(1, { tool: ["a", "b"] }), 3));
    expect([rows.size, rows.partial, rows.get(2)?.tool]).toEqual([3, false, "b"]);
  });

  it("that are still to come do not come in pieces", () => {
    const rows = new Rows();
    rows.replace({ total: 4, patch: patch(0, { status: ["working"] }) });
    expect(rows.partial).toBe(true);
    rows.apply(delta(patch(1, { progress: [0.5] }), 4));
    expect(rows.size).toBe(1);
    rows.apply({ kind: "rows", patch: patch(1, { tool: ["a", "b", "c"] }), total: 4 });
    expect([rows.size, rows.partial, rows.get(1)?.progress]).toEqual([4, false, null]);
  });

  it("lose variables only when they are told whole", () => {
    const rows = table(["working"], { variables: [{ a: 1, b: 2 }] });
    rows.apply(delta({ rows: [0], variables: { a: { values: [5] } } }, 1));
    expect({ ...rows.get(0)?.variables }).toEqual({ a: 5, b: 2 });
    rows.apply(delta(patch(0, { variables: [{ b: 3 }] }), 1));
    expect({ ...rows.get(0)?.variables }).toEqual({ b: 3 });
  });

  it("take a name that means something to JavaScript as a name", () => {
    const rows = table(["working"]);
    const named = JSON.parse('{"__proto__": {"values": ["mine"]}}');
    rows.apply(delta({ rows: [0], variables: named }, 1));
    expect(Object.keys(rows.get(0)?.variables ?? {})).toEqual(["__proto__"]);
    rows.apply(delta(patch(0, { constructor: ["bad"] }), 1));
    expect(Object.hasOwn(rows.get(0) as object, "constructor")).toBe(false);
  });

  it("have histories that are added to, or told anew", () => {
    const rows = table(["working"]);
    const moment = (time: number): Moment => ({ time, status: "working", message: null });
    const detail = (from: number, ...times: number[]) => ({
      kind: "delta",
      patch: null,
      total: 1,
      details: [
        { row: 0, from, history: times.map(moment), variables: {}, arguments: {}, result: null },
      ],
    });
    const times = () => rows.details.get(0)?.history.map((each) => each.time);
    rows.apply(detail(0, 1, 2));
    rows.apply(detail(2, 3));
    expect(times()).toEqual([1, 2, 3]);
    rows.apply(detail(1, 2, 3, 4));
    expect(times()).toEqual([2, 3, 4]);
  });

  it("survive a state without rows", () => {
    const rows = new Rows();
    rows.replace(null);
    rows.apply({ kind: "delta" });
    expect(rows.size).toBe(0);
  });
});

describe("a filter", () => {
  const failed = line(1, {
    tool: "train",
    server: "lab one",
    status: "failed",
    error: "Out of cheese",
  });

  it.each([
    ["", true],
    ["cheese TRAIN", true],
    ["cheese tune", false],
    ['"out of"', true],
    ["status:failed", true],
    ["status:working,failed cheese", true],
    ["status:working", false],
    ['server:"lab one"', true],
    ["tool:tune", false],
    ["(", false],
  ])("%s", (text, expected) => {
    expect(matches(failed, parse(text))).toBe(expected);
  });

  it("looks into variables and questions", () => {
    const asking = line(1, {
      variables: { colour: "mauve" },
      questions: [{ key: "q", message: "Sure?" }],
    });
    for (const word of ["colour", "mauve", "sure?"])
      expect(matches(asking, parse(word))).toBe(true);
  });

  it("gets and loses a status by a click", () => {
    expect(toggleStatus("cheese", "failed")).toBe("status:failed cheese");
    expect(toggleStatus("status:failed cheese", "working")).toBe("status:failed,working cheese");
    expect(toggleStatus("status:failed cheese", "failed")).toBe("cheese");
    expect(statusesIn("a status:x,y b")).toEqual({ statuses: ["x", "y"], rest: "a b" });
  });
});

describe("the lines", () => {
  const wish = (more: Partial<Wish>): Wish => ({
    filter: "",
    sort: "",
    group: null,
    folded: [],
    ...more,
  });
  const list = (lines: Lines) => Array.from({ length: lines.count }, (_, index) => lines.at(index));

  it("are in the order of starting, and stay while only values change", () => {
    const rows = table(["working", "working"]);
    const lines = new Lines(rows);
    lines.update(0);
    const { generation } = lines;
    rows.apply(delta(patch(0, { progress: [0.5, 0.6] }), 2));
    lines.update(1);
    expect(lines.generation).toBe(generation);
    rows.apply(delta(patch(2, { tool: ["new"] }), 3));
    lines.update(2);
    expect([list(lines), lines.indexOf(2)]).toEqual([[0, 1, 2], 2]);
  });

  it("are sorted, and what changes is merged in as if all were sorted anew", () => {
    const count = 300;
    const values = (seed: number) =>
      Array.from({ length: count }, (_, n) => ((n * seed) % 17 === 3 ? null : (n * seed) % 101));
    const rows = table(new Array(count).fill("working"), { progress: values(37) });
    const lines = new Lines(rows);
    lines.want(wish({ sort: "-progress" }));
    lines.update(0);
    for (let step = 1; step < 20; step += 1) {
      const some = Array.from({ length: 40 }, (_, n) => (n * 7 + step * 3) % count);
      const unique = [...new Set(some)];
      rows.apply(
        delta(
          { rows: unique, columns: { progress: { values: unique.map((n) => (n * step) % 97) } } },
          count,
        ),
      );
      lines.update(step * 1000);
      const compare = comparator("-progress");
      const all = Array.from({ length: count }, (_, n) => rows.get(n) as TableRow);
      const expected = all.sort((a, b) => compare?.(a, b) || a.n - b.n).map((each) => each.n);
      expect(list(lines)).toEqual(expected);
    }
  });

  it("do not jump about faster than one can read", () => {
    const rows = table(["working", "working"], { progress: [0.1, 0.2] });
    const lines = new Lines(rows);
    lines.want(wish({ sort: "progress" }));
    lines.update(0);
    rows.apply(delta(patch(0, { progress: [0.9] }), 2));
    expect(lines.update(100)).toBe(400);
    expect(list(lines)).toEqual([0, 1]);
    expect(lines.update(500)).toBeNull();
    expect(list(lines)).toEqual([1, 0]);
  });

  it("leave out what does not match any more, and take in what does", () => {
    const rows = table(["working", "failed", "working"]);
    const lines = new Lines(rows);
    lines.want(wish({ filter: "status:failed" }));
    lines.update(0);
    expect(list(lines)).toEqual([1]);
    rows.apply(delta(patch(1, { status: ["working", "failed"] }), 3));
    lines.update(1000);
    expect([list(lines), lines.indexOf(1), lines.matching]).toEqual([[2], -1, 1]);
  });

  it("are grouped, and folded", () => {
    const rows = table(["working", "completed", "working"], { tool: ["b", "a", "b"] });
    const lines = new Lines(rows);
    lines.want(wish({ group: "tool", folded: ["a"] }));
    lines.update(0);
    expect(lines.groups.map(({ name, count }) => [name, count])).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    expect(list(lines)).toEqual([-1, -2, 0, 2]);
    expect([lines.indexOf(1), lines.indexOf(2), lines.indexOfGroup("b")]).toEqual([-1, 3, 1]);
    lines.want(wish({ group: "status" }));
    lines.update(1);
    expect(lines.groups.map((group) => group.name)).toEqual(["working", "completed"]);
  });

  it("sort by a variable, and put what has none last", () => {
    const rows = table(["working", "working", "working"], {
      variables: [{ loss: 0.5 }, {}, { loss: 0.1 }],
    });
    const lines = new Lines(rows);
    for (const [sort, expected] of [
      ["variables.loss", [2, 0, 1]],
      ["-variables.loss", [0, 2, 1]],
    ] as const) {
      lines.want(wish({ sort }));
      lines.update(0);
      expect(list(lines)).toEqual(expected);
    }
  });
});

describe("the selection", () => {
  it("grows from where it began", () => {
    const order = [5, 3, 9, 1];
    const lines = {
      indexOf: (n: number) => order.indexOf(n),
      at: (index: number) => order[index] ?? -1,
    };
    const selection = new Selection();
    selection.only(3);
    selection.extend(1, lines);
    expect([...selection].sort()).toEqual([1, 3, 9]);
    selection.extend(5, lines);
    expect([...selection].sort()).toEqual([3, 5]);
    selection.toggle(9);
    expect(selection.has(9)).toBe(true);
  });

  it("travels as stretches", () => {
    const selection = new Selection();
    selection.ranges = [1, 3, 7, 7];
    expect(selection.size).toBe(4);
    expect(selection.ranges).toEqual([1, 3, 7, 7]);
  });
});

describe("the window", () => {
  const plain = new Geometry(34, 1000);

  it("covers what is visible and a little more", () => {
    expect(plain.visible(0, 340, 6)).toEqual({ first: 0, end: 17 });
    expect(plain.visible(3400, 340, 6)).toEqual({ first: 94, end: 117 });
    expect(plain.visible(33_660, 340, 6)).toEqual({ first: 984, end: 1000 });
  });

  it("is empty for no rows and sane beyond the end", () => {
    expect(new Geometry(34, 0).visible(0, 340, 6)).toEqual({ first: 0, end: 0 });
    expect(new Geometry(34, 10).visible(90_000, 340, 6)).toEqual({ first: 10, end: 10 });
  });

  it("scrolls no further than it must", () => {
    expect(plain.reveal(5, 0, 340)).toBe(0);
    expect(plain.reveal(20, 0, 340)).toBe(374);
    expect(plain.reveal(2, 500, 340)).toBe(68);
  });

  it("makes room for panels", () => {
    const geometry = new Geometry(10, 20, [
      { line: 2, height: 100 },
      { line: 5, height: 50 },
    ]);
    expect(geometry.height).toBe(350);
    expect([2, 3, 5, 6].map((n) => geometry.top(n))).toEqual([20, 130, 150, 210]);
    expect([29, 30, 129, 130, 159, 160, 209, 210].map((y) => geometry.lineAt(y))).toEqual([
      2, 2, 2, 3, 5, 5, 5, 6,
    ]);
    expect(geometry.panelsBefore(5)).toBe(1);
  });
});

const about = (columns: About["columns"] = []): About => ({
  columns,
  more: 0,
  shown: [],
  alike: [],
  failures: [],
  moreFailures: 0,
});

describe("the columns", () => {
  const wanted = ["server", "tool", "status", "message", "age", "variables.loss"];

  it("are as many as there is room for, the important ones longest", () => {
    expect(fitting(wanted, 1200, about()).map((each) => each.name)).toEqual(wanted);
    expect(fitting(wanted, 640, about()).map((each) => each.name)).toEqual([
      "tool",
      "status",
      "message",
      "variables.loss",
    ]);
    expect(fitting(wanted, 10, about()).map((each) => each.name)).toEqual(["status"]);
  });

  it("that do not exist are left out", () => {
    expect(fitting(["nonsense", "tool"], 900, about()).map((each) => each.name)).toEqual(["tool"]);
  });
});

describe("columns of data", () => {
  const shown = about([
    ["arguments.seed", "seed", true],
    ["variables.loss", "variables.loss", true],
    ["result.loss", "loss", true],
  ]);

  it("are called by their own names, and whole where two have the same", () => {
    const names = (wanted: string[]) => fitting(wanted, 1200, shown).map((each) => each.label);
    expect(names(["arguments.seed", "variables.loss"])).toEqual(["seed", "loss"]);
    expect(names(["variables.loss", "result.loss"])).toEqual(["variables.loss", "loss"]);
    expect(names(["result.nobody knows"])).toEqual(["nobody knows"]);
  });

  it("have bars for what changes, and none for arguments", () => {
    const [seed, loss] = fitting(["arguments.seed", "result.loss"], 900, shown);
    expect([seed?.end, seed?.bar, loss?.bar]).toEqual([true, false, true]);
  });

  it("sort numbers that travel as texts", () => {
    const rows = table(["working", "working", "working", "working", "working", "working"]);
    rows.apply({
      kind: "delta",
      patch: {
        rows: [0, 1, 2, 3, 4, 5],
        cells: { "result.x": { values: ["nan", 3, "inf", "9007199254740993", "-inf", -2] } },
      },
    });
    const order = (sort: string) => {
      const compare = comparator(sort) as (a: TableRow, b: TableRow) => number;
      return [0, 1, 2, 3, 4, 5].sort((a, b) =>
        compare(rows.get(a) as TableRow, rows.get(b) as TableRow),
      );
    };
    expect(order("result.x")).toEqual([4, 5, 1, 3, 2, 0]);
    expect(order("-result.x")).toEqual([2, 3, 1, 5, 4, 0]);
    expect(rows.spans.get("result.x")).toEqual([-2, 3]);
  });
});

describe("failures of one kind", () => {
  const finds = (reason: string, error: string) =>
    matches({ ...blank(0), error } as TableRow, parse(reasonFilter(reason)));

  it("are found by what they have in common", () => {
    expect(finds("job {n} diverged", "job 17 diverged")).toBe(true);
    expect(finds("job {n} diverged at step 2", "job 17 diverged at step 2")).toBe(true);
    expect(finds("job {n} diverged", "job x diverged")).toBe(false);
    expect(finds("job {n} diverged", "job 17 diverged twice")).toBe(false);
    expect(finds("loss is {n}", "loss is nan")).toBe(true);
    expect(finds("run {id} (a.b)", "run 77aa0012c (a.b)")).toBe(true);
    expect(finds('no "key" in $x', 'no "key" in $x')).toBe(true);
    expect(finds("{id}", "0b0c3a50-9e4a-4a52-8f6e-0d6d3a6f0001")).toBe(true);
  });

  it("take no time, whatever the text", () => {
    const began = performance.now();
    for (const part of ["1.2-0xab.", "a1", "deadbeef", "1e", "--", "1."]) {
      finds(`${"{n}-{id}.".repeat(40)}x`, `${part.repeat(40)}y`);
    }
    expect(performance.now() - began).toBeLessThan(100);
  });
});

describe("a lifeline", () => {
  it("has stretches as long as they took", () => {
    const moments: Moment[] = [
      { time: 1100, status: "working", message: "a" },
      { time: 1300, status: "working", message: "b" },
      { time: 1500, status: "input_required", message: null },
      { time: 1600, status: "completed", message: null },
    ];
    const done = line(0, { started: 1000, ended: 1600, status: "completed" });
    expect(lifeline(done, moments, 9999)).toEqual([
      { status: "working", length: 500 },
      { status: "input_required", length: 100 },
      { status: "completed", length: 0 },
    ]);
    expect(lifeline(line(0, { started: 1000 }), [], 1400)).toEqual([
      { status: "working", length: 400 },
    ]);
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
