/** The part of anywidget 0.11 that the widgets use. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: object): void;
  // biome-ignore lint/suspicious/noExplicitAny: the payload depends on the event name
  on(event: string, callback: (...args: any[]) => void): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  off(event: string, callback: (...args: any[]) => void): void;
  /** The front end's own, whatever it is. */
  widget_manager?: unknown;
}

export interface InitializeContext {
  model: Model;
  signal: AbortSignal;
}

/** Other widgets of the page, by model id. */
export interface Host {
  getWidget(ref: string): Promise<{
    render(place: { el: HTMLElement; signal?: AbortSignal }): Promise<void>;
  }>;
}

export interface RenderContext extends InitializeContext {
  el: HTMLElement;
  host?: Host | undefined;
}

export interface Widget {
  initialize(context: InitializeContext): void;
  render(context: RenderContext): void;
}

/** A signal of the front end's. */
interface Signal {
  connect(slot: (sender: unknown, value: string) => void): void;
  disconnect(slot: (sender: unknown, value: string) => void): void;
}

/** What Jupyter's widget managers have for a kernel; others may have some of it. */
export interface Kernel {
  connectionStatus?: string;
  statusChanged?: Signal;
  connectionStatusChanged?: Signal;
  requestExecute?(content: object): { done: Promise<unknown> };
}

/** Null where the front end does not hand it out. */
export function kernelOf(model: Model): Kernel | null {
  return (model.widget_manager as { kernel?: Kernel } | undefined)?.kernel ?? null;
}

/** Subscribes until the signal aborts. */
export function listen<T>(
  model: Model,
  event: string,
  signal: AbortSignal,
  callback: (value: T) => void,
): void {
  if (signal.aborted) return;
  model.on(event, callback);
  signal.addEventListener("abort", () => model.off(event, callback), { once: true });
}

/**
 * Whether a comm stands behind the model: `undefined` where the front end does not tell.
 * anywidget hides the model's own comm; the layout model that comes with every widget has the same
 * life and is handed out whole. A page that marimo exported says that it is one.
 */
export function hasKernel(model: Model): boolean | undefined {
  if ("__MARIMO_STATIC__" in globalThis) return false;
  const layout = model.get("layout") as { comm_live?: unknown } | null | undefined;
  return typeof layout?.comm_live === "boolean" ? layout.comm_live : undefined;
}

/** Calls back after the comm went or came. Later, because each model is told in a turn of its own. */
export function watchKernel(model: Model, signal: AbortSignal, changed: () => void): void {
  listen(model, "comm_live_update", signal, () =>
    setTimeout(() => {
      if (!signal.aborted) changed();
    }),
  );
}
