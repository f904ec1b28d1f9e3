import { AnsweringTransport, type Answers, type Params, textOf, toolResult } from "./answering";

/** `window.openai`, as ChatGPT offers it to documents of type `text/html+skybridge`. */
type OpenAi = Params & Record<string, ((...given: unknown[]) => Promise<unknown>) | undefined>;

export const openai = (): OpenAi | null => {
  const found = (window as unknown as { openai?: OpenAi }).openai;
  return typeof found?.callTool === "function" ? found : null;
};

/** ChatGPT's own bridge behind the standard's messages. */
export class ChatGptTransport extends AnsweringTransport {
  protected readonly name = "ChatGPT";
  protected readonly capabilities = { serverTools: {}, openLinks: {}, message: { text: {} } };
  protected readonly answers: Answers = {
    "tools/call": async ({ name, arguments: given }) =>
      toolResult(await this.host.callTool?.(name, given ?? {})),
    "ui/message": async (params) => {
      await this.host.sendFollowUpMessage?.({ prompt: textOf(params) });
    },
    "ui/open-link": async ({ url }) => {
      await this.host.openExternal?.({ href: url });
    },
    "ui/request-display-mode": async ({ mode }) => {
      const said = (await this.host.requestDisplayMode?.({ mode })) as Params | undefined;
      return { mode: said?.mode ?? this.host.displayMode ?? "inline" };
    },
  };
  #delivered: Params = {};

  constructor(private readonly host: OpenAi) {
    super();
  }

  protected context(): Params {
    const { theme, locale, displayMode, maxHeight, safeArea } = this.host as Params;
    const known: Params = { theme, locale, displayMode };
    if (maxHeight) known.containerDimensions = { maxHeight };
    if (safeArea) known.safeAreaInsets = (safeArea as Params).insets;
    return Object.fromEntries(Object.entries(known).filter(([, value]) => value != null));
  }

  protected begin(): void {
    this.#deliverCall();
    addEventListener("openai:set_globals", () => {
      this.#deliverCall();
      this.push("ui/notifications/host-context-changed", this.context());
    });
  }

  /** What the tool was called with, and its result, each once for every value. */
  #deliverCall(): void {
    const { toolInput, toolOutput, toolResponseMetadata } = this.host as Params;
    if (toolInput && toolInput !== this.#delivered.toolInput) {
      this.#delivered.toolInput = toolInput;
      this.push("ui/notifications/tool-input", { arguments: toolInput });
    }
    if (toolOutput && toolOutput !== this.#delivered.toolOutput) {
      this.#delivered.toolOutput = toolOutput;
      const meta = toolResponseMetadata ? { _meta: toolResponseMetadata } : {};
      this.push("ui/notifications/tool-result", { ...toolResult(toolOutput), ...meta });
    }
  }

  protected override noted(method: string, params: Params): void {
    if (method === "ui/notifications/size-changed")
      void this.host.notifyIntrinsicHeight?.(params.height);
    if (method === "ui/notifications/request-teardown") void this.host.requestClose?.();
  }
}
