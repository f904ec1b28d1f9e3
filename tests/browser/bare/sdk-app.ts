// An app on the official SDK: the oracle for our half of the conversation.
import { App } from "@modelcontextprotocol/ext-apps";

const log = (text: string) => {
  (document.querySelector("#log") as HTMLElement).textContent += `${text};`;
};
const app = new App({ name: "sdk", version: "1" }, {});
app.ontoolinput = ({ arguments: given }) => log(`input ${JSON.stringify(given)}`);
app.ontoolresult = async ({ content }) => {
  log(`result ${(content?.[0] as { text: string }).text}`);
  const answer = await app.callServerTool({ name: "add", arguments: {} });
  log(`call ${(answer.content?.[0] as { text: string }).text}`);
  if ((content?.[0] as { text: string }).text === "everything") await everything();
};
/** Whatever an app may ask of its host, one after the other. */
async function everything() {
  const text = { type: "text" as const, text: "hello" };
  const tell = async (name: string, asked: Promise<unknown>) =>
    log(`${name} ${JSON.stringify(await asked.catch((error) => error.code))}`);
  await app.sendLog({ level: "info", data: "logged" });
  await tell("bad", app.callServerTool({ name: "bad", arguments: {} }));
  await tell("read", app.readServerResource({ uri: "ui://demo/x" }));
  await tell("message", app.sendMessage({ role: "user", content: [text] }));
  await tell("context", app.updateModelContext({ content: [text], structuredContent: { a: 1 } }));
  await tell("link", app.openLink({ url: "https://example.org/" }));
  await tell("mode", app.requestDisplayMode({ mode: "inline" }));
  await app.sendSizeChanged({ width: 300, height: 200 });
  log("end");
}
app.onhostcontextchanged = ({ theme }) => theme && log(`theme ${theme}`);
await app.connect();
