// The official host half, in one sandboxed frame: the oracle for ours.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

type Options = ConstructorParameters<typeof AppBridge>;

interface Session {
  html: string;
  info: Options[1];
  capabilities: Options[2];
  context: NonNullable<NonNullable<Options[3]>["hostContext"]>;
  input: Record<string, unknown>;
  result: Parameters<AppBridge["sendToolResult"]>[0];
}

export async function show({ html, info, capabilities, context, input, result }: Session) {
  const frame = document.createElement("iframe");
  frame.className = "official";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.srcdoc = html;
  document.body.append(frame);
  const target = frame.contentWindow as Window;
  const bridge = new AppBridge(null, info, capabilities, { hostContext: context });
  bridge.oncalltool = async ({ name }) => {
    if (name === "bad") throw Object.assign(new Error("no such tool"), { code: -32602 });
    return { content: [{ type: "text", text: "4" }] };
  };
  bridge.onreadresource = async ({ uri }) => ({ contents: [{ uri, text: "<p>" }] });
  bridge.onmessage = async () => ({});
  bridge.onupdatemodelcontext = async () => ({});
  bridge.onopenlink = async () => ({});
  bridge.onrequestdisplaymode = async () => ({ mode: "inline" });
  bridge.oninitialized = async () => {
    await bridge.sendToolInput({ arguments: input });
    await bridge.sendToolResult(result);
  };
  await bridge.connect(new PostMessageTransport(target, target));
  return bridge;
}
