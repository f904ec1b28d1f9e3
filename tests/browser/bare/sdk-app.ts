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
};
app.onhostcontextchanged = ({ theme }) => theme && log(`theme ${theme}`);
await app.connect();
