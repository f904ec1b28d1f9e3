import { describe, expect, it } from "vitest";
import { cell, python } from "../src/app-view/inspector/cell";
import { checkMessage, checkResult } from "../src/app-view/inspector/schema";
import { Trace } from "../src/app-view/trace";

const note = (params: unknown) => ({ jsonrpc: "2.0", method: "x", params });

describe("the trace", () => {
  it("forgets the oldest, by number and by weight", () => {
    const trace = new Trace();
    for (let n = 0; n < 600; n += 1) trace.add("app", note({ n }));
    expect(trace.entries.length).toBe(500);
    expect(trace.lost).toBe(100);
    for (let n = 0; n < 5; n += 1) trace.add("app", note("x".repeat(3_000_000)));
    expect(trace.entries.length).toBe(2);
  });

  it("keeps what is too large as a note", () => {
    const trace = new Trace();
    trace.add("app", note("x".repeat(9_000_000)));
    expect(JSON.stringify(trace.entries[0]?.message)).toContain("too large");
  });

  it("knows the steps of the present document only", () => {
    const trace = new Trace();
    trace.begin("opened");
    trace.begin("document");
    trace.add("app", { jsonrpc: "2.0", id: 1, method: "ui/initialize" });
    trace.add("host", { jsonrpc: "2.0", id: 1, result: { hostContext: {} } });
    trace.add("app", { jsonrpc: "2.0", method: "ui/notifications/initialized" });
    expect([...trace.steps.keys()]).toEqual([
      "opened",
      "document",
      "ui/initialize",
      "answered",
      "ui/notifications/initialized",
    ]);
    trace.add("app", { jsonrpc: "2.0", id: 1, method: "ui/initialize" });
    expect([...trace.steps.keys()]).toEqual(["document", "ui/initialize"]);
  });
});

describe("the schema", () => {
  it("knows what it does not know", () => {
    expect(checkMessage("tools/list", {})).toBe(null);
    expect(checkResult("ping", {})).toBe(null);
    expect(checkMessage("ui/notifications/initialized", undefined)).toEqual([]);
  });

  it("tells what is wrong from what is more", () => {
    const found = checkMessage("ui/open-link", { url: 5, why: "because" });
    expect(found).toEqual([
      { path: "params.url", text: "must be string, is number", extra: false },
      { path: "params.why", text: "is not in the schema", extra: true },
    ]);
  });

  it("looks into what has no name of its own, and lets what is open be", () => {
    const app = { appInfo: { name: "a", version: "1" }, protocolVersion: "x" };
    const appCapabilities = { experimental: { mine: 5 }, tools: { listChanged: 1 } };
    expect(checkMessage("ui/initialize", { ...app, appCapabilities })).toEqual([
      {
        path: "params.appCapabilities.experimental.mine",
        text: "must be object, is number",
        extra: false,
      },
      {
        path: "params.appCapabilities.tools.listChanged",
        text: "must be boolean, is number",
        extra: false,
      },
    ]);
    expect(checkResult("ui/open-link", { isError: true, of: "later" })).toEqual([]);
    expect(checkMessage("ui/initialize", undefined)?.[0]?.text).toBe("is missing");
  });

  it("blames the branch that was meant", () => {
    const content = [{ type: "image", data: "aGk=" }];
    const paths = checkResult("tools/call", { content })?.map(
      ({ path, text }) => `${path} ${text}`,
    );
    expect(paths).toEqual(["result.content[0].mimeType is missing"]);
  });
});

describe("a cell", () => {
  it("is Python", () => {
    expect(python([true, null, 1.5, 'a"b'])).toBe('[True, None, 1.5, "a\\"b"]');
    const call = { name: "t", arguments: { class: 1, timeout: 2 } };
    expect(cell("s", "tools/call", call)).toContain('.call("t", {"class": 1, "timeout": 2})');
    expect(cell("s", "ui/open-link", { url: "x" })).toBe(null);
  });
});
