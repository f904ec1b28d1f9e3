/**
 * `window.mcpBridge` and `window.openai` for widgets that were written for them, on top of the page's app. `callTool`
 * gives the `CallToolResult`, on which the fields of its structured content (or of the JSON in its text) can be read as
 * well, besides `success` and, for a failure, `error`.
 */

import { App, anyMade, whenMade } from "./app";

type Json = Record<string, unknown>;

const STATE_KEY = "mcp-app-widget-state";
const MODES = ["inline", "fullscreen", "pip"] as const;

/** A sandboxed document may have no storage; then it remembers as long as it lives. */
function remembered(): unknown {
  try {
    return JSON.parse(localStorage.getItem(STATE_KEY) ?? "null");
  } catch {
    return null;
  }
}

function remember(state: unknown): void {
  try {
    localStorage.setItem(STATE_KEY, JSON.stringify(state));
  } catch (error) {
    console.warn("The widget's state can't be kept here:", error);
  }
}

function data(result: Json): unknown {
  if (result.structuredContent !== undefined) return result.structuredContent;
  const text = (result.content as Json[] | undefined)?.find(({ type }) => type === "text")?.text;
  try {
    return JSON.parse(text as string);
  } catch {
    return text;
  }
}

function flattened(result: Json): Json {
  const inner = data(result);
  const fields = typeof inner === "object" && !Array.isArray(inner) ? inner : {};
  const failure = typeof inner === "string" ? inner : "the tool failed";
  const outcome = result.isError ? { success: false, error: failure } : { success: true };
  return { ...outcome, ...fields, ...result };
}

const globals: Json = {
  toolInput: null,
  toolOutput: null,
  toolResponseMetadata: null,
  widgetState: null,
  theme: "light",
  locale: navigator.language,
  displayMode: "inline",
  maxHeight: null,
  safeArea: { insets: { top: 0, right: 0, bottom: 0, left: 0 } },
  userAgent: { device: { type: "desktop" }, capabilities: { hover: true, touch: false } },
};

/** Whether `window.openai` is ours; a host that has one tells of its changes itself. */
let ours = false;

function set(changes: Json): void {
  Object.assign(globals, changes);
  if (!ours) return;
  dispatchEvent(new CustomEvent("openai:set_globals", { detail: { globals: changes } }));
}

function context({ theme, locale, displayMode, safeAreaInsets, containerDimensions }: Json): void {
  const changes: Json = {};
  if (theme) changes.theme = theme;
  if (locale) changes.locale = locale;
  if (displayMode) changes.displayMode = displayMode;
  if (safeAreaInsets) changes.safeArea = { insets: safeAreaInsets };
  if (containerDimensions) changes.maxHeight = (containerDimensions as Json).maxHeight ?? null;
  set(changes);
}

let connected: Promise<App> | null = null;

/** The page's app, connected; one of our own where the widget makes none. */
export function session(): Promise<App> {
  connected ??= new Promise((resolve, reject) => {
    if (anyMade()) {
      whenMade((app) => app.ready.then(() => resolve(app)));
      return;
    }
    const name = document.title || "widget";
    const app = new App({ name, version: "0" }, { availableDisplayModes: [...MODES] });
    app.connect().then(() => {
      context(app.getHostContext() as Json);
      dispatchEvent(new Event("mcpBridgeReady"));
      resolve(app);
    }, reject);
  });
  return connected;
}

/** Puts both names on the window, each where the host has not put its own. */
export function installLegacy(): void {
  const use = async <T>(then: (app: App) => T | Promise<T>): Promise<T> => then(await session());
  const callTool = (name: string, args?: Json) =>
    use((app) => app.callServerTool({ name, arguments: args ?? {} })).then(flattened);
  const text = (given: unknown) => ({ type: "text", text: String(given) });
  const message = (given: unknown) =>
    use((app) => app.sendMessage({ role: "user", content: [text(given)] }));
  const open = (to: unknown) =>
    use((app) => app.openLink({ url: String((to as Json | null)?.href ?? to) }));
  const mode = (wanted: unknown) =>
    use((app) => app.requestDisplayMode({ mode: String((wanted as Json | null)?.mode ?? wanted) }));
  const height = (tall: unknown) => use((app) => app.sendSizeChanged({ height: Number(tall) }));
  const keep = async (state: unknown) => {
    set({ widgetState: state });
    remember(state);
  };
  globals.widgetState = remembered();
  const bridge: Json = {
    callTool,
    readResource: (uri: string) => use((app) => app.readServerResource({ uri })),
    getState: () => globals.widgetState ?? {},
    setState: (changes: Json) => keep({ ...(globals.widgetState as Json | null), ...changes }),
    sendMessage: message,
    openExternal: open,
    openLink: open,
    requestDisplayMode: mode,
    notifyIntrinsicHeight: height,
    extensions: {},
  };
  const openai: Json = {
    callTool,
    setWidgetState: keep,
    sendFollowUpMessage: (given: unknown) => message((given as Json | null)?.prompt ?? given),
    openExternal: open,
    requestDisplayMode: mode,
    requestClose: () => use((app) => app.requestTeardown()),
    notifyIntrinsicHeight: height,
  };
  ours = !("openai" in window);
  const names = { mcpBridge: bridge, openai };
  for (const [global, value] of Object.entries(names)) {
    for (const name of Object.keys(globals)) {
      Object.defineProperty(value, name, { get: () => globals[name], enumerable: true });
    }
    if (!(global in window)) Object.assign(window, { [global]: value });
  }
  whenMade((app) => {
    app.observe("toolinput", ({ arguments: given }: Json) => set({ toolInput: given }));
    app.observe("toolresult", (result: Json) =>
      set({ toolOutput: data(result) ?? null, toolResponseMetadata: result._meta ?? null }),
    );
    app.observe("hostcontextchanged", context);
  });
}
