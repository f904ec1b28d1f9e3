// The TypeScript client 2.x with its tasks package: one session over either generation; `mode` is legacy or auto.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { createTaskSessionFromClient } from "@modelcontextprotocol/ext-tasks/client";
import { mode, print, refusal, text, transport } from "./target.mjs";

const clientInfo = { name: "client2", version: "1" };
const clientCapabilities = {
  elicitation: {},
  extensions: { "io.modelcontextprotocol/tasks": {} },
};
const client = new Client(clientInfo, {
  capabilities: clientCapabilities,
  versionNegotiation: { mode },
});
const carrier = transport(StreamableHTTPClientTransport, StdioClientTransport);
await client.connect(carrier);

// The client refuses results of the tasks extension, so its tasks package wants a way past it.
const open = new Map();
const deliver = carrier.onmessage;
carrier.onmessage = (message, extra) => {
  const settle = open.get(message.id);
  if (settle && !message.method) settle(message);
  else deliver(message, extra);
};
const rawDispatch = (request) =>
  new Promise((resolve, reject) => {
    const id = `raw-${open.size}`;
    open.set(id, ({ result, error }) => resolve(error ? { kind: "error", error } : { kind: "result", result }));
    carrier.send({ jsonrpc: "2.0", ...request, id }).catch(reject);
  });

const protocolVersion = client.getNegotiatedProtocolVersion();
const modern = client.getProtocolEra() === "modern";
const asked = [];
const session = createTaskSessionFromClient(client, {
  endpointId: "interop",
  onInputRequest: async (request) => {
    asked.push(request.params.message);
    return { action: "accept", content: { confirm: true } };
  },
  ...(modern && { rawDispatch, v2RequestFraming: { protocolVersion, clientInfo, clientCapabilities } }),
});

async function run(name, args, onTask = () => {}) {
  const seen = { states: [] };
  const execution = await session.callTool(name, args, { task: { preference: "require" } });
  seen.id = execution.handle.taskId;
  await onTask(seen.id, execution);
  const { outcome, lastTask } = await execution.settle({
    onEvent: (event) => {
      const status = event.type === "task" ? event.task.status : event.outcome.status;
      if (seen.states.at(-1) !== status) seen.states.push(status);
    },
  });
  return { ...seen, outcome, lastTask };
}

const report = { version: protocolVersion };
report.plain = text(await client.callTool({ name: "greet", arguments: { name: "Ada" } }));
const slow = await run("slow_compute", { seconds: 0.3, label: "x" });
report.states = slow.states;
report.result = text(slow.outcome.result);
report.input = text((await run("confirm_delete", { filename: "b.txt" })).outcome.result);
report.asked = asked[0];
const failing = await run("failing_job", {});
report.toolError = {
  status: failing.lastTask.status,
  text: failing.outcome.result ? text(failing.outcome.result) : failing.outcome.error.message,
};
const broken = await run("protocol_error_job", {});
report.protocolError = {
  status: broken.outcome.status,
  code: broken.outcome.error.code ?? null,
  message: broken.outcome.error.message,
};
const stopped = await run("slow_compute", { seconds: 30 }, (_, execution) => execution.cancel());
report.cancelled = stopped.outcome.status;
if (!modern) {
  const listed = (await session.listTasks()).tasks.map((task) => task.taskId);
  report.listed = [slow.id, failing.id, stopped.id].every((id) => listed.includes(id));
}
report.unknown = (await refusal(session.task("no-such-task").snapshot())).code;
report.resumed = (await session.task(slow.id).result()).status;
print(report);
await session.close();
await client.close();
