import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Bridge, type Phase, type Port } from "../src/app-view/bridge";
import type { Call, Host } from "../src/app-view/traits";
import type { Answer } from "../src/app-view/transport";

const HOST: Host = {
  info: { name: "pmcp_lab", version: "1" },
  capabilities: { serverTools: {} },
  initTimeout: 5000,
  server: "demo",
};
const CALL: Call = { tool: { name: "t" }, arguments: { a: 1 }, result: { content: [] } };

interface Sent {
  id?: unknown;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string; data?: unknown };
}

function setup(overrides: Partial<Port> = {}, host: Partial<Host> = {}) {
  const posted: Sent[] = [];
  const rpcs: { method: string; params: unknown }[] = [];
  const answers: ((answer: Answer) => void)[] = [];
  const cancelled: number[] = [];
  const events: [string, unknown][] = [];
  const phases: Phase[] = [];
  const sizes: unknown[] = [];
  const port: Port = {
    post: (message) => posted.push(message as Sent),
    request: (method, params, signal) => {
      const call = rpcs.push({ method, params });
      signal.addEventListener("abort", () => cancelled.push(call));
      return new Promise((resolve) => answers.push(resolve));
    },
    event: (name, payload) => events.push([name, payload]),
    size: (height) => sizes.push(height),
    openLink: async () => true,
    download: async () => true,
    display: () => "inline",
    leave: () => events.push(["left", null]),
    escape: () => events.push(["escaped", null]),
    violation: (params) => events.push(["violation", params]),
    failed: (params) => events.push(["failed", params]),
    notOffered: (what) => events.push(["not-offered", what]),
    left: (what) => events.push(["left", what]),
    context: () => ({ theme: "dark" }),
    phase: (phase) => phases.push(phase),
    ...overrides,
  };
  const bridge = new Bridge(port, { ...HOST, ...host });
  const request = (id: number | string, method: string, params?: unknown) =>
    bridge.receive({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) });
  const note = (method: string, params: unknown = {}) =>
    bridge.receive({ jsonrpc: "2.0", method, params });
  const handshake = () => {
    request(0, "ui/initialize", { appInfo: { name: "app", version: "1" }, appCapabilities: {} });
    note("ui/notifications/initialized");
  };
  const answer = async (call: number, payload: Answer) => {
    answers[call - 1]?.(payload);
    await Promise.resolve();
  };
  const methods = () => posted.map((each) => each.method).filter(Boolean);
  bridge.start();
  return {
    bridge,
    posted,
    rpcs,
    cancelled,
    answer,
    events,
    phases,
    sizes,
    request,
    note,
    handshake,
    methods,
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the handshake", () => {
  it("is answered by the host itself", () => {
    const { request, posted } = setup();
    request("x", "ui/initialize", { appInfo: {}, appCapabilities: {} });
    expect(posted).toEqual([
      {
        jsonrpc: "2.0",
        id: "x",
        result: {
          protocolVersion: "2026-01-26",
          hostInfo: HOST.info,
          hostCapabilities: HOST.capabilities,
          hostContext: { theme: "dark" },
        },
      },
    ]);
  });

  it("sends not one request or notification before initialized", async () => {
    const { bridge, request, posted, note } = setup();
    bridge.setCall(CALL);
    bridge.notify("notifications/tools/list_changed", {});
    bridge.contextChanged({ theme: "light" });
    await bridge.teardown();
    request(1, "ui/initialize", {});
    expect(posted.filter((each) => each.method)).toEqual([]);
    note("ui/notifications/initialized");
    expect(posted.slice(1).map((each) => each.method)).toEqual([
      "ui/notifications/tool-input",
      "ui/notifications/tool-result",
      "notifications/tools/list_changed",
    ]);
  });

  it("delivers input and result once, in this order", () => {
    const { bridge, handshake, posted, note } = setup();
    bridge.setCall(CALL);
    handshake();
    note("ui/notifications/initialized");
    bridge.setCall({ ...CALL });
    expect(posted.slice(1)).toEqual([
      { jsonrpc: "2.0", method: "ui/notifications/tool-input", params: { arguments: { a: 1 } } },
      { jsonrpc: "2.0", method: "ui/notifications/tool-result", params: { content: [] } },
    ]);
  });

  it("pushes a result that comes later", () => {
    const { bridge, handshake, methods } = setup();
    bridge.setCall({ ...CALL, result: null });
    handshake();
    expect(methods()).toEqual(["ui/notifications/tool-input"]);
    bridge.setCall(CALL);
    expect(methods()).toEqual(["ui/notifications/tool-input", "ui/notifications/tool-result"]);
  });

  it("tells of a cancellation with its reason", () => {
    const { bridge, handshake, posted } = setup();
    bridge.setCall({ ...CALL, result: null, cancelled: "user action" });
    handshake();
    expect(posted.at(-1)).toEqual({
      jsonrpc: "2.0",
      method: "ui/notifications/tool-cancelled",
      params: { reason: "user action" },
    });
  });

  it("says nothing about a call that there was not", () => {
    const { bridge, handshake, methods } = setup();
    bridge.setCall(null);
    handshake();
    expect(methods()).toEqual([]);
  });

  it("starts over when the app does", async () => {
    const { bridge, handshake, methods, request, cancelled, posted, answer } = setup();
    bridge.setCall(CALL);
    handshake();
    request(7, "tools/call", { name: "x" });
    handshake();
    expect(cancelled).toEqual([1]);
    await answer(1, { result: {} });
    expect(posted.filter((each) => each.id === 7)).toEqual([]);
    expect(methods()).toEqual([
      "ui/notifications/tool-input",
      "ui/notifications/tool-result",
      "ui/notifications/tool-input",
      "ui/notifications/tool-result",
    ]);
  });

  it("is over once: a second initialized is not heard", () => {
    const { bridge, handshake, methods, events, note, posted } = setup();
    bridge.setCall({ ...CALL, result: null });
    handshake();
    bridge.notify("notifications/tools/list_changed", {});
    const before = posted.length;
    note("ui/notifications/initialized");
    expect(posted.length).toBe(before);
    expect(events.filter(([name]) => name === "initialized")).toHaveLength(1);
    bridge.setCall(CALL);
    expect(methods().at(-1)).toBe("ui/notifications/tool-result");
  });

  it("reports an app that never initialises, and one that does so late", () => {
    const { handshake, phases, events } = setup();
    vi.advanceTimersByTime(4999);
    expect(phases).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(phases).toEqual(["silent"]);
    expect(events).toEqual([["init-timeout", { waited: 5000 }]]);
    handshake();
    expect(phases).toEqual(["silent", "ready"]);
    expect(events[1]?.[0]).toBe("initialized");
  });
});

describe("requests of the app", () => {
  it("are forwarded side by side and answered in any order", async () => {
    const { request, rpcs, posted, answer } = setup();
    request("a", "tools/call", { name: "one" });
    request("b", "resources/read", { uri: "x" });
    expect(rpcs).toEqual([
      { method: "tools/call", params: { name: "one" } },
      { method: "resources/read", params: { uri: "x" } },
    ]);
    await answer(2, { result: { contents: [] } });
    await answer(1, { result: { content: [] } });
    expect(posted.map((each) => each.id)).toEqual(["b", "a"]);
  });

  it("get errors without loss", async () => {
    const { request, posted, answer } = setup();
    const error = { code: -32042, message: "URL elicitation required", data: { url: "https://x" } };
    request(3, "tools/call", {});
    await answer(1, { error });
    expect(posted).toEqual([{ jsonrpc: "2.0", id: 3, error }]);
  });

  it("can be cancelled, after which the answer is forgotten", async () => {
    const { request, note, cancelled, posted, answer } = setup();
    request(3, "tools/call", {});
    note("notifications/cancelled", { requestId: 3, reason: "gone" });
    expect(cancelled).toEqual([1]);
    await answer(1, { result: {} });
    expect(posted).toEqual([]);
  });

  it.each(["tools/list", "resources/list", "resources/templates/list", "prompts/list"])(
    "%s goes to the kernel",
    (method) => {
      const { request, rpcs } = setup();
      request(1, method);
      expect(rpcs[0]).toEqual({ method, params: {} });
    },
  );

  it("of an unknown method are refused", () => {
    const { request, posted, rpcs } = setup();
    request(1, "kernel/execute", { code: "1" });
    request(2, "ui/message", {});
    expect(posted.map((each) => each.error?.code)).toEqual([-32601, -32601]);
    expect(rpcs).toEqual([]);
  });

  it("go to the kernel where it offered the capability", () => {
    const { request, rpcs } = setup({}, { capabilities: { message: { text: {} } } });
    request(2, "ui/message", { role: "user", content: [] });
    expect(rpcs[0]?.method).toBe("ui/message");
  });

  it("are refused where the host that is played has another way to ask", async () => {
    const { request, posted, events, rpcs, answer } = setup({}, { only: "ChatGPT" });
    for (const method of ["ui/initialize", "ping", "tools/call", "ui/open-link"]) {
      request(method, method, { name: "x" });
      expect(posted.at(-1)).toMatchObject({ id: method, error: { code: -32601 } });
      expect(events.at(-1)).toEqual(["not-offered", method]);
    }
    expect(rpcs).toEqual([]);
    request("legacy-1", "tools/call", { name: "x" });
    await answer(1, { result: { content: [] } });
    expect(posted.at(-1)).toMatchObject({ id: "legacy-1", result: { content: [] } });
  });

  it("are answered here: ping, display mode", () => {
    const { request, posted } = setup();
    request(1, "ping");
    request(2, "ui/request-display-mode", { mode: "fullscreen" });
    expect(posted.map((each) => each.result)).toEqual([{}, { mode: "inline" }]);
  });

  it("are bounded in number", () => {
    const { request, rpcs, posted } = setup();
    for (let id = 0; id < 300; id += 1) request(id, "tools/call", {});
    expect(rpcs.length).toBe(256);
    expect(posted.map((each) => each.error?.code)).toEqual(Array(44).fill(-32000));
  });
});

describe("links", () => {
  it.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "vscode://x"])(
    "%s is never opened",
    (url) => {
      const openLink = vi.fn(async () => true);
      const { request, posted } = setup({ openLink });
      request(1, "ui/open-link", { url });
      expect(openLink).not.toHaveBeenCalled();
      expect(posted[0]?.result).toEqual({ isError: true });
    },
  );

  it("are opened if the person agrees", async () => {
    const { request, posted } = setup();
    request(1, "ui/open-link", { url: "https://example.org" });
    await vi.runAllTicks();
    await Promise.resolve();
    expect(posted[0]?.result).toEqual({});
  });

  it("are not if not", async () => {
    const { request, posted } = setup({ openLink: async () => false });
    request(1, "ui/open-link", { url: "https://example.org" });
    await Promise.resolve();
    await Promise.resolve();
    expect(posted[0]?.result).toEqual({ isError: true });
  });
});

describe("teardown", () => {
  it("takes any answer as consent", async () => {
    const { bridge, handshake, posted } = setup();
    handshake();
    const done = bridge.teardown();
    const asked = posted.at(-1);
    expect(asked?.method).toBe("ui/resource-teardown");
    const error = { code: -32601, message: "Method not found" };
    bridge.receive({ jsonrpc: "2.0", id: asked?.id, error });
    await done;
  });

  it("does not wait for ever", async () => {
    const { bridge, handshake } = setup();
    handshake();
    let closed = false;
    void bridge.teardown().then(() => {
      closed = true;
    });
    await vi.advanceTimersByTimeAsync(499);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(closed).toBe(true);
  });
});

describe("nonsense", () => {
  it.each([
    null,
    "text",
    [],
    {},
    { jsonrpc: "1.0", method: "ping", id: 1 },
    { jsonrpc: "2.0", method: 3, id: 1 },
    { jsonrpc: "2.0", method: "ping", id: null },
    { jsonrpc: "2.0", method: "ping", id: {} },
    { jsonrpc: "2.0", method: "ping", params: "x", id: 1 },
    { jsonrpc: "2.0", id: 1 },
    { kind: "rpc", view: "v", call: 1, payload: {} },
  ])("%j is dropped", (data) => {
    const { bridge, posted, events, rpcs } = setup();
    bridge.receive(data);
    expect([posted, events, rpcs]).toEqual([[], [], []]);
  });

  it("that is too large is refused", () => {
    const { request, rpcs, posted } = setup();
    request(1, "tools/call", { arguments: { blob: "x".repeat(9 * 1024 * 1024) } });
    expect(rpcs).toEqual([]);
    expect(posted[0]?.error?.code).toBe(-32602);
  });

  it("that is a cycle is dropped", () => {
    const { bridge, posted, events } = setup();
    const params: Record<string, unknown> = {};
    params.self = params;
    bridge.receive({ jsonrpc: "2.0", method: "notifications/message", params });
    expect([posted, events]).toEqual([[], []]);
  });

  it("in the log is limited", () => {
    const { note, events } = setup();
    for (let n = 0; n < 100; n += 1) note("notifications/message", { level: "info", data: n });
    expect(events.length).toBe(20);
  });

  it("held back for a silent app is bounded", () => {
    const { bridge, handshake, posted } = setup();
    for (let n = 0; n < 300; n += 1) bridge.notify("notifications/x", { n });
    handshake();
    expect(posted.length).toBe(257);
    expect(posted[1]?.params).toEqual({ n: 44 });
    expect(posted.at(-1)?.params).toEqual({ n: 299 });
  });
});
