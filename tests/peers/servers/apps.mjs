// Every app server of `@modelcontextprotocol/server-…` in one process, each at `/<name>/mcp`, and at
// `/mcp-ui/mcp` what mcp-ui makes, and a widget for ChatGPT. Prints its address and lazy-auth's. What a server would fetch from the network is answered here, where it can be; the
// argument is a folder for files.

import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { writeFile } from "node:fs/promises";
import { createUIResource } from "@mcp-ui/server";
import { NodeStreamableHTTPServerTransport } from "@modelcontextprotocol/node";
import { fromJsonSchema, McpServer } from "@modelcontextprotocol/server";

const folder = process.argv[2];
const links = (...titles) => titles.map((each) => `<a href="/wiki/${each}">${each}</a>`).join(" ");
// A quarter of a second of silence: what a video element plays need not be a picture.
function silence() {
  const sound = Buffer.alloc(44 + 2000);
  sound.write("RIFF", 0);
  sound.writeUInt32LE(36 + 2000, 4);
  sound.write("WAVEfmt ", 8);
  sound.writeUInt32LE(16, 16);
  sound.writeUInt32LE(8000, 24);
  sound.writeUInt16LE(1, 20);
  sound.writeUInt16LE(1, 22);
  sound.writeUInt32LE(8000, 28);
  sound.writeUInt16LE(1, 32);
  sound.writeUInt16LE(8, 34);
  sound.write("data", 36);
  sound.writeUInt32LE(2000, 40);
  return sound.fill(128, 44);
}
const NETWORK = {
  "en.wikipedia.org": () => new Response(links("Protocol", "Notebook", "Kernel")),
  "test-videos.co.uk": () => new Response(silence()),
};
globalThis.fetch = async (address) => {
  const answer = NETWORK[new URL(address).hostname];
  if (!answer) throw new TypeError("fetch failed: there is no network here");
  return answer();
};

async function pdf() {
  const { PDFDocument } = await import("@cantoo/pdf-lib");
  const { allowedLocalFiles, cliLocalFiles, createServer } = await import("@modelcontextprotocol/server-pdf");
  const document = await PDFDocument.create();
  for (const each of ["one", "two", "three"]) document.addPage([300, 200]).drawText(`Page ${each}`, { x: 20, y: 100 });
  const file = join(folder, "pages.pdf");
  await writeFile(file, await document.save());
  allowedLocalFiles.add(file);
  cliLocalFiles.add(file);
  return () => createServer({});
}

// A widget that speaks mcp-ui's own messages, as its documentation has them.
const WIDGET = `<!doctype html><p id="given">nothing</p><p id="said">nothing</p>
<button id="tool">Call add</button>
<script>
  const $ = (id) => document.getElementById(id);
  const say = (type, payload, messageId) => window.parent.postMessage({ type, payload, messageId }, "*");
  addEventListener("message", ({ data }) => {
    if (data.type === "ui-lifecycle-iframe-render-data") {
      const { toolInput } = data.payload.renderData;
      if (toolInput) $("given").textContent = JSON.stringify(toolInput);
    }
    if (data.type !== "ui-message-response" || data.payload.messageId !== "sum") return;
    const { response, error } = data.payload;
    $("said").textContent = error ? "failed: " + (error.message ?? error) : JSON.stringify(response);
  });
  $("tool").onclick = () => say("tool", { toolName: "add", params: { a: 20, b: 22 } }, "sum");
  say("ui-lifecycle-iframe-ready");
</script>`;

// One that speaks MCP Apps by itself.
const STANDARD = `<!doctype html><p id="given">nothing</p><p id="said">nothing</p><button id="tool">Call add</button>
<script>
  const $ = (id) => document.getElementById(id);
  const say = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  addEventListener("message", ({ data, source }) => {
    if (source !== window.parent) return;
    if (data.id === "begin") say({ method: "ui/notifications/initialized", params: {} });
    if (data.method === "ui/notifications/tool-input") $("given").textContent = JSON.stringify(data.params.arguments);
    if (data.id === "sum") $("said").textContent = JSON.stringify(data.result);
  });
  $("tool").onclick = () => say({ id: "sum", method: "tools/call", params: { name: "add", arguments: { a: 20, b: 22 } } });
  const appInfo = { name: "raw", version: "1" };
  say({ id: "begin", method: "ui/initialize", params: { appInfo, appCapabilities: {}, protocolVersion: "2026-01-26" } });
</script>`;

// A widget as OpenAI's documentation has them.
const OPENAI = `<!doctype html><p id="given">nothing</p><p id="said">nothing</p><p id="kept">nothing</p>
<button id="tool">Call add</button>
<script>
  const $ = (id) => document.getElementById(id);
  const show = () => {
    $("given").textContent = JSON.stringify(window.openai.toolOutput);
    $("kept").textContent = JSON.stringify(window.openai.widgetState);
  };
  addEventListener("openai:set_globals", show);
  $("tool").onclick = async () => {
    const { structuredContent } = await window.openai.callTool("add", { a: 20, b: 22 });
    $("said").textContent = structuredContent.sum;
    await window.openai.setWidgetState({ sum: structuredContent.sum });
  };
  show();
</script>`;

function widgets() {
  const server = new McpServer({ name: "mcp-ui", version: "1" });
  const add = { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } };
  const widgetAccessible = { "openai/widgetAccessible": true };
  server.registerTool("add", { inputSchema: fromJsonSchema(add), _meta: widgetAccessible }, ({ a, b }) => ({
    content: [{ type: "text", text: String(a + b) }],
    structuredContent: { sum: a + b },
  }));
  const kinds = { raw: {}, adapted: { mcpApps: { enabled: true } }, chatgpt: { appsSdk: { enabled: true } } };
  for (const [name, adapters] of Object.entries(kinds)) {
    const uri = `ui://mcp-ui/${name}`;
    const content = { type: "rawHtml", htmlString: name === "raw" ? STANDARD : WIDGET };
    const { resource } = createUIResource({ uri, content, encoding: "text", adapters });
    server.registerResource(name, uri, { mimeType: resource.mimeType }, () => ({ contents: [resource] }));
    const _meta =
      name === "chatgpt" ? { "openai/outputTemplate": uri, ...widgetAccessible } : { ui: { resourceUri: uri } };
    const inputSchema = fromJsonSchema({ type: "object", properties: { city: { type: "string" } } });
    server.registerTool(name, { description: "Shows a city.", inputSchema, _meta }, ({ city = "" }) => ({ content: [{ type: "text", text: city }] }));
  }
  const uri = "ui://chatgpt/own";
  const mimeType = "text/html+skybridge";
  server.registerResource("own", uri, { mimeType }, () => ({ contents: [{ uri, mimeType, text: OPENAI }] }));
  const _meta = { "openai/outputTemplate": uri };
  const inputSchema = fromJsonSchema({ type: "object", properties: {} });
  server.registerTool("own", { description: "Shows a city.", inputSchema, _meta }, () => ({ content: [], structuredContent: { city: "Bern" } }));
  return server;
}

const OWN = { pdf, "mcp-ui": async () => widgets };
const made = new Map();
function maker(name) {
  if (!made.has(name)) {
    const load = OWN[name] ?? (() => import(`@modelcontextprotocol/server-${name}`).then((each) => each.createServer));
    made.set(name, load());
  }
  return made.get(name);
}

async function answer(request, response) {
  const [, name] = request.url.split("/");
  const server = (await maker(name))();
  const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

const failing = (answer) => (request, response) =>
  answer(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end(String(error));
  });
const listen = (handler) =>
  new Promise((resolve) => {
    const listening = createServer(handler).listen(0, "127.0.0.1", () => resolve(listening.address().port));
  });
const { createApp } = await import("@modelcontextprotocol/server-lazy-auth");
console.log = console.error;
// Where one signs in stands at the root of an origin.
const [port, signIn] = [await listen(failing(answer)), await listen(createApp())];
process.stdout.write(`http://127.0.0.1:${port} http://localhost:${signIn}/mcp\n`);
