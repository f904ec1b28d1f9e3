import { afterEach, describe, expect, it, vi } from "vitest";
import { routing } from "../src/app-view/direct/headers";
import { exchange, HttpError, type Message } from "../src/app-view/direct/http";

afterEach(() => vi.unstubAllGlobals());

function answer(chunks: (string | Uint8Array)[], type = "text/event-stream", status = 200): void {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks)
        controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
      controller.close();
    },
  });
  const headers = { "content-type": type };
  vi.stubGlobal("fetch", async () => new Response(body, { status, headers }));
}

async function received(headers: Record<string, string> = {}): Promise<Message[]> {
  const messages: Message[] = [];
  await exchange("http://x/mcp", { method: "POST", headers }, (each) => messages.push(each));
  return messages;
}

describe("what comes back", () => {
  it("is read however it is cut, with any line ends and with comments", async () => {
    const umlaut = new TextEncoder().encode("ü");
    answer([
      ': hello\r\n\r\nevent: message\r\ndata: {"id"',
      ":1}\r",
      '\n\r\nid: 7\ndata: {"id":\ndata: 2}\n\ndata:{"method":"',
      umlaut.slice(0, 1),
      umlaut.slice(1),
      '"}\r\r',
      "\n",
    ]);
    expect(await received()).toEqual([{ id: 1 }, { id: 2 }, { method: "ü" }]);
  });

  it("may be one JSON message, also with a status that says failure", async () => {
    answer(['{"id":1,"error":{"code":-32601,"message":"no"}}'], "application/json", 404);
    expect((await received())[0]?.error?.code).toBe(-32601);
  });

  it("says that the session ended", async () => {
    answer(['{"id":null,"error":{"code":-32600,"message":"no"}}'], "application/json", 404);
    await expect(received({ "mcp-session-id": "s" })).rejects.toThrow(HttpError);
  });

  it("may be nothing, and may be a failure without words", async () => {
    answer([], "", 202);
    expect(await received()).toEqual([]);
    answer(["<h1>oops"], "text/html", 500);
    await expect(received()).rejects.toThrow("HTTP 500");
  });
});

describe("what the headers say", () => {
  it("names what is called or read, in whatever letters", () => {
    expect(routing("tools/call", { name: "add" }, undefined)).toEqual({
      "mcp-method": "tools/call",
      "mcp-name": "add",
    });
    const name = routing("resources/read", { uri: "ui://größe" }, undefined)["mcp-name"];
    expect(name).toBe("=?base64?dWk6Ly9ncsO2w59l?=");
    const trick = "=?base64?eA==?=";
    expect(routing("tools/call", { name: trick }, undefined)["mcp-name"]).not.toBe(trick);
    expect(routing("tools/list", {}, undefined)).toEqual({ "mcp-method": "tools/list" });
  });

  it("repeats the arguments that the schema wants there", () => {
    const schema = {
      properties: {
        region: { "x-mcp-header": "Region" },
        deep: { properties: { tenant: { "x-mcp-header": "Tenant" } } },
        other: {},
      },
    };
    const given = { region: "eu west", deep: { tenant: 7 }, other: "x" };
    expect(routing("tools/call", { name: "t", arguments: given }, schema)).toMatchObject({
      "mcp-param-Region": "eu west",
      "mcp-param-Tenant": "7",
    });
    const none = routing("tools/call", { name: "t", arguments: { region: null } }, schema);
    expect(Object.keys(none)).toEqual(["mcp-method", "mcp-name"]);
  });
});
