import { AnsweringTransport, type Answers, type Params, textOf, toolResult } from "./answering";

/** MCP-UI's messages behind the standard's: `{type, messageId, payload}`, answered by `ui-message-response`. */
export class McpUiTransport extends AnsweringTransport {
  protected readonly name = "MCP-UI";
  protected readonly capabilities = { serverTools: {}, openLinks: {}, message: { text: {} } };
  protected readonly answers: Answers = {
    "tools/call": async ({ name, arguments: given }) =>
      toolResult(await this.#ask("tool", { toolName: name, params: given ?? {} })),
    "ui/message": (params) => this.#ask("prompt", { prompt: textOf(params) }).then(() => ({})),
    "ui/open-link": ({ url }) => this.#ask("link", { url }).then(() => ({})),
    "ui/request-display-mode": () => ({ mode: "inline" }),
  };
  readonly #asked = new Map<
    string,
    { resolve: (value: unknown) => void; reject: (e: Error) => void }
  >();
  #next = 0;

  protected context(): Params {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return { theme: dark ? "dark" : "light", locale: navigator.language, displayMode: "inline" };
  }

  protected begin(): void {
    addEventListener("message", ({ data, source }) => {
      if (source !== window.parent || typeof data !== "object" || data === null) return;
      this.#receive(data as Params);
    });
    this.#post({ type: "ui-lifecycle-iframe-ready" });
  }

  #receive({ type, messageId, payload }: Params): void {
    const said = (payload ?? {}) as Params;
    if (type === "ui-lifecycle-iframe-render-data") this.#render((said.renderData ?? {}) as Params);
    else if (type === "ui-message-response") this.#answered(String(messageId), said);
  }

  #render({ toolInput, toolOutput, theme, locale }: Params): void {
    if (toolInput) this.push("ui/notifications/tool-input", { arguments: toolInput });
    if (toolOutput) this.push("ui/notifications/tool-result", toolResult(toolOutput));
    const changes = { ...(theme ? { theme } : {}), ...(locale ? { locale } : {}) };
    if (theme || locale) this.push("ui/notifications/host-context-changed", changes);
  }

  #answered(messageId: string, said: Params): void {
    const asked = this.#asked.get(messageId);
    if (!asked) return;
    this.#asked.delete(messageId);
    const error = said.error as Params | string | undefined;
    if (!error) asked.resolve(said.response);
    else asked.reject(new Error(typeof error === "string" ? error : String(error.message)));
  }

  #ask(type: string, payload: Params): Promise<unknown> {
    this.#next += 1;
    const messageId = `app-${this.#next}`;
    return new Promise((resolve, reject) => {
      this.#asked.set(messageId, { resolve, reject });
      this.#post({ type, messageId, payload });
    });
  }

  #post(message: object): void {
    window.parent.postMessage(message, "*");
  }

  protected override noted(method: string, params: Params): void {
    if (method === "ui/notifications/size-changed")
      this.#post({ type: "ui-size-change", payload: params });
    if (method === "notifications/message") {
      this.#post({ type: "notify", payload: { message: String(params.data) } });
    }
  }
}
