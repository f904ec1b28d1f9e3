import { describe, expect, it } from "vitest";
import { compact, count, duration, lined, offset, percent, spoken } from "../src/shared/format";

describe("durations", () => {
  it.each([
    [0, "0:00"],
    [-5, "0:00"],
    [Number.NaN, "0:00"],
    [7_900, "0:07"],
    [754_000, "12:34"],
    [10_931_000, "3:02:11"],
    [187_200_000, "2d 04h"],
  ])("%d ms is %s", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it("are spoken in two units", () => {
    expect(spoken(400)).toBe("less than a second");
    expect(spoken(61_000)).toBe("1 minute 1 second");
    expect(spoken(90_061_000)).toBe("1 day 1 hour");
  });

  it("count from the start", () => {
    expect([offset(340), offset(12_000), offset(200_000), offset(-3)]).toEqual([
      "+0.3 s",
      "+12 s",
      "+3:20",
      "+0 s",
    ]);
  });
});

describe("values", () => {
  it("are not done before they are", () => {
    expect([percent(0), percent(0.425), percent(0.999), percent(1)]).toEqual([
      "0%",
      "43%",
      "99%",
      "100%",
    ]);
  });

  it.each([
    ["text", "text"],
    ["a\nb", "a b"],
    [0.123456789, "0.12346"],
    [3, "3"],
    [0.00000123, "1.230e-6"],
    [null, "null"],
    [undefined, ""],
    [{ a: [1] }, '{"a":[1]}'],
  ])("%j is %s", (value, text) => {
    expect(compact(value)).toBe(text);
  });

  it("are cut", () => {
    expect(compact("x".repeat(100), 10)).toBe(`${"x".repeat(9)}…`);
  });
});

describe("values with lines", () => {
  it.each([
    ["a\n  b", "a\n  b"],
    ["a  b", "a b"],
    [[{ a: 1 }, { b: "x\ny" }], '{"a":1}\n{"b":"x\\ny"}'],
    [[1, 2], "[1,2]"],
    [[], "[]"],
    [null, "null"],
  ])("%j is %s", (value, text) => {
    expect(lined(value)).toBe(text);
  });
});

describe("counts", () => {
  it("are easy to read", () => {
    expect([0, 999, 1000, 1234567].map(count)).toEqual(["0", "999", "1,000", "1,234,567"]);
  });
});
