/**
 * For widgets that are older than the standard. A bundle of its own, because few apps are such; its function is put
 * into the app's document as text, so it may use nothing from outside of itself.
 */

/**
 * `window.mcpBridge` and `window.openai` for widgets that were written for them. They shake hands with the host as
 * any app does. `callTool` gives the `CallToolResult`, on which the fields of its structured content (or of the JSON
 * in its text) can be read as well, besides `success` and, for a failure, `error`. A host that has `window.openai` alone
 * gives what ChatGPT gives, and tells (by the method `missing`) of all that is wanted beyond.
 */
export function install(state: unknown, method: string, missing: string | null): void {
  type Json = Record<string, unknown>;
  const pending = new Map<number, { resolve: (value: Json) => void; reject: (e: Error) => void }>();
  let next = 0;
  const say = (message: object) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const send = (name: string, params: object) =>
    new Promise<Json>((resolve, reject) => {
      next += 1;
      pending.set(next, { resolve, reject });
      say({ id: `legacy-${next}`, method: name, params });
    });
  let opened = () => {};
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  // A widget may call while it is being parsed; the host takes no call before it has shaken hands.
  const ask = (name: string, params: object) => open.then(() => send(name, params));
  const globals: Json = {
    toolInput: null,
    toolOutput: null,
    toolResponseMetadata: null,
    widgetState: state ?? null,
    theme: "light",
    locale: navigator.language,
    displayMode: "inline",
    maxHeight: null,
    safeArea: { insets: { top: 0, right: 0, bottom: 0, left: 0 } },
    userAgent: { device: { type: "desktop" }, capabilities: { hover: true, touch: false } },
  };
  const data = (result: Json): unknown => {
    if (result.structuredContent !== undefined) return result.structuredContent;
    const text = (result.content as Json[] | undefined)?.find((each) => each.type === "text")?.text;
    try {
      return JSON.parse(text as string);
    } catch {
      return text;
    }
  };
  const flattened = (result: Json): Json => {
    if (missing) {
      const text = (result.content as Json[] | undefined)?.find((each) => each.type === "text");
      return { ...result, meta: result._meta, result: text?.text ?? "" };
    }
    const inner = data(result);
    const fields = typeof inner === "object" && !Array.isArray(inner) ? inner : {};
    const outcome = result.isError
      ? { success: false, error: typeof inner === "string" ? inner : "the tool failed" }
      : { success: true };
    return { ...outcome, ...fields, ...result };
  };
  const set = (changes: Json) => {
    Object.assign(globals, changes);
    dispatchEvent(new CustomEvent("openai:set_globals", { detail: { globals: changes } }));
  };
  const context = (given: Json) => {
    const { theme, locale, displayMode, safeAreaInsets, containerDimensions } = given;
    const changes: Json = {};
    if (theme) changes.theme = theme;
    if (locale) changes.locale = locale;
    if (displayMode) changes.displayMode = displayMode;
    if (safeAreaInsets) changes.safeArea = { insets: safeAreaInsets };
    if (containerDimensions) changes.maxHeight = (containerDimensions as Json).maxHeight ?? null;
    set(changes);
  };
  const keep = (value: unknown) => {
    set({ widgetState: value });
    say({ method, params: { state: value } });
  };
  const callTool = async (name: string, args?: object) =>
    flattened(await ask("tools/call", { name, arguments: args ?? {} }));
  const message = (text: unknown) =>
    ask("ui/message", { role: "user", content: [{ type: "text", text: String(text) }] });
  const link = (target: unknown) =>
    ask("ui/open-link", { url: (target as Json | null)?.href ?? target });
  const mode = (wanted: unknown) =>
    ask("ui/request-display-mode", { mode: (wanted as Json | null)?.mode ?? wanted });
  const height = (tall: unknown) =>
    say({ method: "ui/notifications/size-changed", params: { height: tall } });
  const bridge: Json = {
    callTool,
    readResource: (uri: string) => ask("resources/read", { uri }),
    getState: () => globals.widgetState ?? {},
    setState: (changes: object) => keep({ ...(globals.widgetState as object | null), ...changes }),
    sendMessage: message,
    openExternal: link,
    openLink: link,
    requestDisplayMode: mode,
    notifyIntrinsicHeight: height,
    extensions: {},
  };
  const openai: Json = {
    callTool,
    setWidgetState: (value: unknown) => keep(value),
    sendFollowUpMessage: (given: unknown) => message((given as Json | null)?.prompt ?? given),
    openExternal: link,
    requestDisplayMode: mode,
    requestClose: () => say({ method: "ui/notifications/request-teardown", params: {} }),
    notifyIntrinsicHeight: height,
  };
  for (const name of Object.keys(globals)) {
    const get = () => globals[name];
    Object.defineProperty(openai, name, { get, enumerable: true });
    Object.defineProperty(bridge, name, { get, enumerable: true });
  }
  const answered = (number: number, result: Json, error?: Error) => {
    const waiting = pending.get(number);
    pending.delete(number);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  };
  const told = new Map<unknown, (params: Json) => void>([
    ["ui/notifications/tool-input", (params) => set({ toolInput: params.arguments })],
    [
      "ui/notifications/tool-result",
      (params) =>
        set({ toolOutput: data(params) ?? null, toolResponseMetadata: params._meta ?? null }),
    ],
    ["ui/notifications/host-context-changed", context],
  ]);
  addEventListener("message", ({ data: message, source }) => {
    if (source !== parent || typeof message !== "object" || message === null) return;
    const { id, method: name, params, result, error } = message;
    told.get(name)?.(params);
    if (name !== undefined || typeof id !== "string" || !id.startsWith("legacy-")) return;
    answered(Number(id.slice(7)), result, error);
  });
  const lacking = (name: string) => {
    say({ method: missing, params: { name } });
    return undefined;
  };
  if (missing) {
    const only = new Proxy(openai, {
      get: (target, name) =>
        typeof name === "symbol" || name in target
          ? target[name as string]
          : lacking(`window.openai.${name}`),
    });
    Object.defineProperty(window, "openai", { value: only });
    // A widget may bring one that stands on window.openai.
    Object.defineProperty(window, "mcpBridge", {
      configurable: true,
      get: () => lacking("window.mcpBridge"),
      set: (value) => Object.defineProperty(window, "mcpBridge", { value, configurable: true }),
    });
  } else Object.assign(window, { mcpBridge: bridge, openai });
  const modes = ["inline", "fullscreen", "pip"];
  const start = async () => {
    const host = await send("ui/initialize", {
      appInfo: { name: document.title || "widget", version: "0" },
      appCapabilities: { availableDisplayModes: modes },
      protocolVersion: "2026-01-26",
    });
    context(host.hostContext as Json);
    say({ method: "ui/notifications/initialized", params: {} });
    opened();
    dispatchEvent(new Event("mcpBridgeReady"));
  };
  // A widget that waits for the event has to be there first.
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
}
