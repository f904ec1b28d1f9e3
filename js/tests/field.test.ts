import { describe, expect, it } from "vitest";
import { bounds, type Field, parse, pick, textOf } from "../src/form/field";
import { addressOf } from "../src/shared/address";

const field = (more: Partial<Field>): Field => ({
  name: "x",
  title: "X",
  description: "",
  required: false,
  kind: "text",
  ...more,
});

describe("parse", () => {
  it.each([
    [{ kind: "integer" }, "42", 42],
    [{ kind: "integer" }, " -7 ", -7],
    [{ kind: "number" }, "1e3", 1000],
    [{ kind: "number" }, ".5", 0.5],
    [{ kind: "text" }, " a ", " a "],
    [{ kind: "json", type: "array" }, "[1]", [1]],
    [{ kind: "json", type: "object", nullable: true }, "null", null],
    [{ kind: "json", type: "any" }, "3", 3],
    [{ kind: "email" }, "a@b.example", "a@b.example"],
    [{ kind: "uri" }, "urn:isbn:1", "urn:isbn:1"],
    [{ kind: "date" }, "2026-02-03", "2026-02-03"],
    [{ kind: "text", maxLength: 1 }, "𝄞", "𝄞"],
  ] as [Partial<Field>, string, unknown][])("%o takes %s", (more, text, value) => {
    expect(parse(field(more), text)).toEqual({ value });
  });

  it.each([
    [{ kind: "integer" }, "1.5", "A whole number."],
    [{ kind: "integer" }, "0x10", "A whole number."],
    [{ kind: "integer" }, "9007199254740993", "Too large to be sent exactly."],
    [{ kind: "number" }, "twelve", "A number."],
    [{ kind: "number" }, "1e999", "A number."],
    [{ kind: "integer", minimum: 3 }, "2", "At least 3."],
    [{ kind: "integer", maximum: 3 }, "4", "At most 3."],
    [{ kind: "number", exclusiveMinimum: 0 }, "0", "More than 0."],
    [{ kind: "number", exclusiveMaximum: 1 }, "1", "Less than 1."],
    [{ kind: "text", minLength: 3 }, "ab", "At least 3 characters."],
    [{ kind: "text", maxLength: 1 }, "ab", "At most 1 characters."],
    [{ kind: "email" }, "a b", "An e-mail address."],
    [{ kind: "uri" }, "nowhere", "A whole URL."],
    [{ kind: "json", type: "array" }, "{}", "A JSON list: […]."],
    [{ kind: "json", type: "object" }, "null", "A JSON object: {…}."],
    [{ kind: "json" }, "{", "This is not JSON."],
    [{ kind: "text", required: true }, "  ", "Required."],
  ] as [Partial<Field>, string, string][])("%o refuses %s", (more, text, problem) => {
    expect(parse(field(more), text)).toEqual({ problem });
  });

  it("leaves out what is empty and need not be there", () => {
    expect(parse(field({ kind: "number" }), "")).toBeNull();
  });

  it("gives a time its zone, and shows it in ours", () => {
    const local = textOf(field({ kind: "date-time" }), "2026-03-04T05:06:07Z");
    expect(parse(field({ kind: "date-time" }), local)).toEqual({
      value: "2026-03-04T05:06:07.000Z",
    });
  });

  it("tries no pattern: it may take for ever", () => {
    const evil = field({ pattern: "^(a+)+$" });
    expect(parse(evil, `${"a".repeat(60)}!`)).toHaveProperty("value");
  });
});

describe("pick", () => {
  const options = ["a", "b", "c"].map((value) => ({ value, title: value }));

  it("takes one", () => {
    expect(pick(field({ kind: "choice", options }), [1])).toEqual({ value: "b" });
    expect(pick(field({ kind: "choice", options }), [])).toBeNull();
    expect(pick(field({ kind: "choice", options, required: true }), [])).toHaveProperty("problem");
  });

  it("takes several, within bounds", () => {
    const some = field({ kind: "choices", options, minItems: 1, maxItems: 2, required: true });
    expect(pick(some, [0, 2])).toEqual({ value: ["a", "c"] });
    expect(pick(some, [])).toEqual({ problem: "Choose at least 1." });
    expect(pick(some, [0, 1, 2])).toEqual({ problem: "Choose at most 2." });
    expect(pick(field({ ...some, required: false }), [])).toBeNull();
  });
});

describe("bounds", () => {
  it("are said in a few words", () => {
    expect(bounds(field({ minimum: 1, maximum: 9 }))).toBe("1 to 9");
    expect(bounds(field({ pattern: "^a", maxLength: 4 }))).toBe(
      "at most 4 characters, matching ^a",
    );
    expect(bounds(field({}))).toBe("");
  });
});

describe("addressOf", () => {
  it.each([
    ["https://pay.example/x?y", "pay.example", false],
    ["http://127.0.0.1:8000/", "127.0.0.1:8000", false],
    ["https://bank.example@evil.example/", "evil.example", false],
    ["https://аpple.com/", "xn--pple-43d.com", true],
  ])("%s leads to %s", (url, host, disguised) => {
    expect(addressOf(url)).toEqual({ host, disguised });
  });

  it.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//a.example", ""])(
    "%s leads nowhere",
    (url) => {
      expect(addressOf(url)).toBeNull();
    },
  );
});
