// The TypeScript client 2.x without its tasks package: what a call asks comes in its result, and the client calls again.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { mode, print, text, transport } from "./target.mjs";

const client = new Client(
  { name: "client2", version: "1" },
  { capabilities: { elicitation: {} }, versionNegotiation: { mode } },
);
const asked = [];
const answers = { boolean: true, integer: 3, string: "Ada" };
client.setRequestHandler("elicitation/create", async (request) => {
  asked.push(request.params.message);
  const fields = Object.entries(request.params.requestedSchema.properties);
  return {
    action: "accept",
    content: Object.fromEntries(fields.map(([name, field]) => [name, answers[field.type]])),
  };
});
await client.connect(transport(StreamableHTTPClientTransport, StdioClientTransport));
const called = async (name, args) => text(await client.callTool({ name, arguments: args }));
print({
  version: client.getNegotiatedProtocolVersion(),
  plain: await called("greet", { name: "Ada" }),
  input: await called("confirm_delete", { filename: "b.txt" }),
  both: await called("multi_input", {}),
  asked,
});
await client.close();
