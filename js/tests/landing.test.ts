import { describe, expect, it } from "vitest";
import { RecordedServer, same } from "../src/landing/server";

describe("a recorded call", () => {
  it.each([
    [{ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }, true],
    [{ a: 1 }, { a: 1, b: undefined }, false],
    [{ a: 1 }, { a: "1" }, false],
    [[1, 2], [2, 1], false],
    [[], {}, false],
    [{ toString: 1 }, {}, false],
    [{ key: "[left out]" }, { key: "anything" }, true],
    [{ key: "[left out]" }, { key: 7 }, false],
  ])("%j is %j: %s", (recorded, given, alike) => {
    expect(same(recorded, given, "[left out]")).toBe(alike);
  });
});

describe("a recorded server", () => {
  const call = (n: number) => ({ tool: "next", arguments: {}, ms: n, result: { n } });
  const missed: string[] = [];
  const server = new RecordedServer(
    { tools: [], resources: [], calls: [call(1), call(2)], leftOut: "x", code: {} },
    (tool) => missed.push(tool),
  );

  it("answers the same call as it was answered, one time after the other, and then with the last", () => {
    const said = [1, 2, 3].map(() => server.answer("tools/call", { name: "next" }));
    expect(said.map(({ ms }) => ms)).toEqual([1, 2, 2]);
  });

  it("says what was not recorded", () => {
    const { answer } = server.answer("tools/call", { name: "next", arguments: { a: 1 } });
    expect(answer.error?.message).toContain('"a":1');
    expect(missed).toEqual(["next"]);
  });

  it("offers nothing else", () => {
    expect(server.answer("sampling/createMessage", {}).answer.error?.code).toBe(-32601);
  });
});
