// The TypeScript SDK 1.x: tasks of 2025-11-25 through `client.experimental.tasks`.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { print, refusal, text, transport } from "./target.mjs";

const client = new Client(
  { name: "sdk1", version: "1" },
  { capabilities: { elicitation: {}, tasks: { requests: {} } } },
);
const asked = [];
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push({ message: request.params.message, related: request.params._meta });
  return { action: "accept", content: { confirm: true } };
});
await client.connect(transport(StreamableHTTPClientTransport, StdioClientTransport));
await client.listTools();
const tasks = client.experimental.tasks;

// Everything one task-augmented call does, as this SDK drives it.
async function run(name, args, onTask = () => {}) {
  const seen = { states: [] };
  for await (const message of tasks.callToolStream({ name, arguments: args }, CallToolResultSchema, { task: {} })) {
    if (message.type === "taskCreated") {
      seen.id = message.task.taskId;
      await onTask(seen.id);
    } else if (message.type === "taskStatus") {
      seen.states.push(message.task.status);
      seen.message = message.task.statusMessage;
    } else if (message.type === "result") seen.text = text(message.result);
    else seen.error = message.error.message;
  }
  return seen;
}

const report = { version: "2025-11-25" };
report.plain = text(await client.callTool({ name: "greet", arguments: { name: "Ada" } }));
const slow = await run("slow_compute", { seconds: 0.3, label: "x" });
report.states = slow.states;
report.result = slow.text;
report.input = (await run("confirm_delete", { filename: "b.txt" })).text;
report.asked = asked[0].message;
report.related = "io.modelcontextprotocol/related-task" in asked[0].related;
const failing = await run("failing_job", {});
report.toolError = { status: failing.states.at(-1), text: text(await tasks.getTaskResult(failing.id, CallToolResultSchema)) };
const broken = await run("protocol_error_job", {});
report.protocolError = {
  status: broken.states.at(-1),
  ...(await refusal(tasks.getTaskResult(broken.id, CallToolResultSchema))),
};
const stopped = await run("slow_compute", { seconds: 30 }, (id) => tasks.cancelTask(id));
report.cancelled = stopped.states.at(-1);
report.cancelTwice = (await refusal(tasks.cancelTask(stopped.id))).code;
const listed = (await tasks.listTasks()).tasks.map((task) => task.taskId);
report.listed = [slow.id, failing.id, stopped.id].every((id) => listed.includes(id));
report.unknown = (await refusal(tasks.getTask("no-such-task"))).code;
report.required = (await refusal(client.request({ method: "tools/call", params: { name: "failing_job" } }, CallToolResultSchema))).code;
print(report);
await client.close();
