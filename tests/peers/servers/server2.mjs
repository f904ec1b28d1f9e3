// The TypeScript server 2.x, both generations. Stdio, or with --http a free port, and the URL printed.
// It has no tasks in either generation; what it asks, it asks by `inputRequired`, which its shim turns into requests
// of 2025-11-25 where somebody speaks that.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import {
  acceptedContent,
  createMcpHandler,
  fromJsonSchema,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

const object = (properties, required = Object.keys(properties)) =>
  fromJsonSchema({ type: "object", properties, required });
const integer = { type: "integer" };
const text = (text) => ({ content: [{ type: "text", text }] });
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function server() {
  const server = new McpServer({ name: "server2", version: "1" }, { capabilities: { logging: {} } });
  server.registerTool(
    "add",
    { description: "Adds.", inputSchema: object({ a: integer, b: integer }), outputSchema: object({ sum: integer }) },
    ({ a, b }) => ({ ...text(JSON.stringify({ sum: a + b })), structuredContent: { sum: a + b } }),
  );
  server.registerTool("fail", {}, () => {
    throw new Error("on purpose");
  });
  server.registerTool("ask", {}, (context) => {
    const answer = inputResponse(context.mcpReq.inputResponses, "sure");
    if (answer.kind === "missing") {
      const sure = inputRequired.elicit({
        message: "Are you sure?",
        requestedSchema: { type: "object", properties: { sure: { type: "boolean" } }, required: ["sure"] },
      });
      return inputRequired({ inputRequests: { sure } });
    }
    const given = acceptedContent(context.mcpReq.inputResponses, "sure");
    return text(given ? `sure: ${given.sure}` : `not answered: ${answer.action}`);
  });
  server.registerTool("steps", { inputSchema: object({ count: { ...integer, default: 3 } }, []) }, async ({ count = 3 }, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= count; progress += 1) {
      if (progressToken !== undefined) {
        const params = { progressToken, progress, total: count, message: `step ${progress}` };
        await context.mcpReq.notify({ method: "notifications/progress", params });
      }
      await pause(30);
    }
    await context.mcpReq.log("info", "all steps done");
    return text("done");
  });
  const plain = { mimeType: "text/plain" };
  const note = (uri, name) => ({ contents: [{ uri: uri.href, ...plain, text: `A note named ${name}.` }] });
  server.registerResource("hello", "note://hello", plain, (uri) => note(uri, "hello"));
  const template = new ResourceTemplate("note://{name}", { list: undefined });
  server.registerResource("note", template, plain, (uri, { name }) => note(uri, name));
  server.registerPrompt("greet", { description: "Greets.", argsSchema: object({ name: { type: "string" } }) }, ({ name }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Say hello to ${name}.` } }],
  }));
  return server;
}

// Without sessions both generations are served, but nobody can be asked by a request: so there is one path for each.
const both = toNodeHandler(createMcpHandler(server));
const sessions = new Map();
async function inSession(request, response) {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response);
}

if (process.argv[2] === "--http") {
  const listening = createServer((request, response) =>
    (request.url === "/sessions" ? inSession : both)(request, response),
  );
  listening.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${listening.address().port}/mcp`));
} else serveStdio(server);
