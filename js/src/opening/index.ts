/** Many apps on one page that nobody looks at, while `pmcp-lab app check` finds out what becomes of each. */
import { AppView } from "../app-view/view";
import { speak } from "../app-view/words";
import { type Message, Wire } from "../preview/wire";
import { PREVIEW } from "../preview/words";
import { element } from "../shared/dom";
import { PageModel } from "../shared/page-model";

interface OpenApp {
  model: PageModel;
  life: AbortController;
  node: HTMLElement;
}

const apps = new Map<number, OpenApp>();
// All of them in sight: a browser lets what is out of it wait.
document.body.style.cssText = "margin:0;display:grid;grid-template-columns:1fr 1fr;overflow:hidden";

function open(number: number, state: Record<string, unknown>): void {
  const model = new PageModel(state, (content) =>
    wire.send({ kind: "custom", model: number, content }),
  );
  const node = element("div");
  node.style.cssText = "height:33vh;overflow:hidden";
  const life = new AbortController();
  apps.set(number, { model, life, node });
  document.body.append(node);
  new AppView(model, node, life.signal);
}

function close(number: number): void {
  const app = apps.get(number);
  apps.delete(number);
  app?.life.abort();
  app?.node.remove();
}

function receive(message: Message): void {
  const number = Number(message.model);
  switch (message.kind) {
    case "model":
      open(number, message.state as Record<string, unknown>);
      break;
    case "traits":
      apps.get(number)?.model.assign(message.traits as Record<string, unknown>);
      break;
    case "custom":
      apps.get(number)?.model.arrived(message.content);
      break;
    case "gone":
      close(number);
      break;
  }
}

speak(PREVIEW);
const wire = new Wire(receive, () => {});
