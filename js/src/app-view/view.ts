import { listen, type Model } from "../shared/anywidget";
import { Channel, type Message } from "../shared/channel";
import { element } from "../shared/dom";
import type { Link } from "../shared/liveness";
import { currentTheme, followTheme, watchTheme } from "../shared/theme";
import {
  Bridge,
  type Call,
  type CallPayload,
  type DisplayMode,
  type Host,
  type Phase,
} from "./bridge";
import { Chrome } from "./chrome";
import { DISPLAY_MODES, Display } from "./display";
import { documentOf, keepDocument } from "./documents";
import { embedded } from "./download";
import { Frame, type Resource } from "./frame";
import {
  hostContext,
  type Pretence,
  pretended,
  type Space,
  spaceContext,
  themeContext,
} from "./host-context";
import { type Inspected, Inspection, type InspectorCode } from "./inspection";
import { UNAVAILABLE } from "./jsonrpc";
import type { Stored } from "./prelude";
import { Questions } from "./questions";
import { SizeDamper } from "./size";
import { hasSpare, prepareSpare, takeSpare } from "./spare";
import { Trace } from "./trace";
import { showEval, showWanted } from "./wishes";

const SIZES = { min: 32, max: 2000 };
const INITIAL_HEIGHT = 320;
const RESIZE_PAUSE = 150;
const RELOAD_GRACE = 1000;

const HOST: Host = {
  info: { name: "pmcp_lab", version: "0" },
  capabilities: {},
  initTimeout: 10_000,
  server: "",
};

/** A front end may attach the element after rendering it; a frame can be moved only into what is attached. */
function whenConnected(el: Element, signal: AbortSignal, then: () => void): void {
  if (signal.aborted) return;
  if (el.isConnected) then();
  else setTimeout(() => whenConnected(el, signal, then));
}

/** One mounted view of one app: its own frame, its own session with the app. */
export class AppView {
  readonly #chrome: Chrome;
  readonly #channel: Channel;
  readonly #sizes = new SizeDamper(INITIAL_HEIGHT, SIZES);
  #bridge: Bridge | null = null;
  #frame: Frame | null = null;
  #phase: Phase = "loading";
  #closed = false;
  #link: Link = "live";
  #width = 0;
  #lastHeard = 0;
  readonly #display: Display;
  readonly #questions: Questions;
  readonly #trace = new Trace();
  readonly #inspection: Inspection;
  #pretence: Pretence = {};
  #problems = 0;
  #triedEval = false;
  /** What this view itself asked of the server. */
  readonly #reads = new Map<number, (payload: CallPayload) => void>();
  #lastRead = 0;

  constructor(
    private readonly model: Model,
    el: HTMLElement,
    private readonly signal: AbortSignal,
  ) {
    this.#chrome = new Chrome(
      () => this.#open(),
      () => this.#inspect(),
    );
    this.#questions = new Questions(this.#chrome, (uri) => this.#read(uri));
    this.#inspection = new Inspection(
      this.#inspected(),
      () => this.#channel.send({ kind: "inspector" }),
      (why) => this.#inspectorFailed(why),
      signal,
    );
    this.#chrome.root.append(this.#inspection.panel);
    this.#display = new Display(this.#chrome.root, (mode) => this.#displayed(mode), signal);
    followTheme(this.#chrome.root, signal);
    // The frame before all else: nothing may stand between the person and the app's first paint.
    el.append(this.#chrome.root);
    if (model.get("_closed") === true) this.#close();
    else if (this.#mayTakeSpare()) whenConnected(el, signal, () => this.#frame ?? this.#open());
    else this.#open();
    // Before the channel's own listener: what is under way is cancelled first, then comes the bye.
    signal.addEventListener("abort", () => this.#leave());
    this.#channel = new Channel({
      model,
      signal,
      seq: () => 0,
      receive: (message) => this.#fromKernel(message),
      linked: (link) => this.#linked(link),
    });
    this.#linked(this.#channel.link);
    listen(model, "change:_resource", signal, () => !this.#closed && this.#open());
    listen(model, "change:_call", signal, () => this.#showCall());
    listen(model, "change:_host", signal, () => this.#showTitle());
    listen(model, "change:_closed", signal, () => {
      if (model.get("_closed") === true) void this.#teardown();
    });
    watchTheme(signal, (theme) => {
      if (this.#pretence.theme) return;
      this.#frame?.setTheme(theme);
      this.#bridge?.contextChanged(themeContext());
    });
    this.#watchWidth();
  }

  get #call(): Call | null {
    return this.model.get("_call") as Call | null;
  }

  #mayTakeSpare(): boolean {
    const resource = this.model.get("_resource") as Resource | null;
    return Boolean(resource?.uri && hasSpare(resource));
  }

  get #host(): Host {
    return { ...HOST, ...(this.model.get("_host") as Partial<Host> | null) };
  }

  #open(): void {
    this.#discard();
    this.#closed = false;
    const resource = this.model.get("_resource") as Resource | null;
    this.#showTitle();
    // Until the server has sent it.
    if (!resource?.uri) return;
    const html = resource.html ?? documentOf(resource.hash ?? "");
    if (html === null) {
      // The constructor comes by here before there is a channel.
      queueMicrotask(() => this.#askDocument());
      return;
    }
    if (resource.hash) keepDocument(resource.hash, html);
    this.#chrome.setBorder(resource.prefersBorder ?? true);
    showWanted(this.#chrome, resource.wanted ?? {}, () => this.#channel.send({ kind: "consent" }));
    const host = this.#host;
    const bridge = new Bridge(
      {
        post: (message) => {
          this.#trace.add("host", message);
          this.#frame?.post(message);
        },
        rpc: (call, payload) => {
          this.#channel.expect();
          this.#channel.send({ kind: "rpc", call, payload });
        },
        cancel: (call) => {
          this.#channel.settle(false);
          this.#channel.send({ kind: "rpc-cancel", call });
        },
        event: (event, payload) => this.#channel.send({ kind: "event", event, payload }),
        size: (height) => this.#resize(height),
        openLink: (url) => this.#questions.link(url),
        download: (contents) => this.#questions.download(contents),
        display: (mode) => {
          // An app that could do it by itself would come back whenever it is sent away.
          const wanted = mode === "inline" || navigator.userActivation?.isActive !== false;
          return wanted && bridge.takes(mode) ? this.#display.show(mode) : this.#display.mode;
        },
        leave: () => void this.#teardown(),
        escape: () => {
          if (this.#display.mode === "fullscreen") this.#display.show("inline");
        },
        violation: (params) => this.#violated(params),
        context: () => this.#context(),
        phase: (phase) => this.#enter(phase, host),
        reachable: () => this.#link !== "static" && !this.signal.aborted,
      },
      host,
    );
    this.#bridge = bridge;
    this.#trace.begin("opened");
    this.#problems = 0;
    this.#triedEval = false;
    this.#chrome.setProblems(0);
    bridge.setCall(this.#call);
    const { stage } = this.#chrome;
    const spare = takeSpare(resource, stage);
    this.#frame = spare ?? new Frame(resource, currentTheme());
    this.#frame.setTheme(this.#pretence.theme ?? currentTheme());
    this.#frame.node.style.height = `${this.#sizes.height}px`;
    if (!spare) stage.replaceChildren(this.#frame.node);
    const stored = () => this.model.get("_storage") as Stored | null;
    const receive = (data: unknown) => {
      this.#trace.add("app", data);
      bridge.receive(data);
    };
    this.#frame.show(resource, html, stored, {
      starts: () => {
        this.#trace.begin("document");
        bridge.start();
      },
      loaded: (times) => this.#loaded(times),
      message: (data) => {
        this.#lastHeard = performance.now();
        receive(data);
      },
      // That is no sign of life: it may be the last that there is to hear.
      notLoaded: receive,
    });
    bridge.start();
    this.#enter("loading", host);
    this.#showLink();
    this.#showCall();
  }

  #askDocument(): void {
    if (this.#link === "static") {
      const text = "The app is not saved in this notebook. Run its cell to open it.";
      this.#chrome.showBar("document", { tone: "info", text });
    } else this.#channel.send({ kind: "document" });
  }

  #fromKernel(message: Message): void {
    const payload = message.payload as Record<string, unknown> | undefined;
    if (message.kind === "rpc-result") {
      const read = this.#reads.get(Number(message.call));
      if (read) {
        this.#reads.delete(Number(message.call));
        this.#channel.settle();
        read((payload ?? {}) as CallPayload);
      } else if (this.#bridge?.answer(Number(message.call), (payload ?? {}) as CallPayload)) {
        this.#channel.settle();
      }
    } else if (message.kind === "notify" && typeof payload?.method === "string") {
      this.#bridge?.notify(payload.method, payload.params);
    } else if (message.kind === "document" && typeof payload?.html === "string") {
      keepDocument(String(payload.hash), payload.html);
      if (!this.#frame && !this.#closed) this.#open();
    } else if (message.kind === "ask" && typeof payload?.method === "string") {
      void this.#askApp(Number(message.call), payload.method, payload.params);
    } else if (message.kind === "display" && typeof payload?.mode === "string") {
      this.#display.show(payload.mode as DisplayMode);
    } else if (message.kind === "inspector" && typeof payload?.module === "string") {
      this.#inspection.arrived(payload as unknown as InspectorCode);
    } else if (message.kind === "teardown") {
      void this.#teardown();
    }
  }

  #enter(phase: Phase, host: Host): void {
    this.#phase = phase;
    this.#showState();
    if (phase === "silent" && this.#triedEval) showEval(this.#chrome, this.#host.server);
    if (phase === "silent") {
      this.#chrome.showBar("silent", {
        tone: "warning",
        text: `The app has not said ui/notifications/initialized within ${host.initTimeout / 1000} s. It is shown as a plain page.`,
        actions: [{ label: "Reload", run: () => this.#open() }],
      });
    } else this.#chrome.hideBar("silent");
    // The next app finds its frame ready, once this one has its own start behind it.
    if (phase === "ready" && host.policy) prepareSpare(host.policy);
    if (phase === "ready") this.#offerModes();
  }

  /** What the app is told of its surroundings: the truth, or what the inspector makes of it. */
  #context(): ReturnType<typeof hostContext> {
    return { ...hostContext(this.#call, this.#space()), ...pretended(this.#pretence) };
  }

  #pretend(pretence: Pretence): void {
    const before = this.#context();
    this.#pretence = pretence;
    const changed = Object.entries(this.#context()).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
    );
    this.#frame?.setTheme(pretence.theme ?? currentTheme());
    if (changed.length > 0) this.#bridge?.contextChanged(Object.fromEntries(changed));
  }

  #inspected(): Inspected {
    const view = this;
    return {
      trace: this.#trace,
      get server() {
        return view.#host.server;
      },
      get resource() {
        return view.model.get("_resource") as Resource | null;
      },
      get mode() {
        return view.#display.mode;
      },
      context: () => this.#context(),
      pretend: (pretence) => this.#pretend(pretence),
      limitWidth: (width) => {
        this.#chrome.stage.style.maxWidth = width === null ? "" : `${width}px`;
      },
      display: (mode) => this.#display.show(mode),
      repeat: (method, params) => this.#ask(method, params),
    };
  }

  #inspect(): void {
    if (!this.#inspection.open && this.#link === "static") {
      this.#inspectorFailed("There is no live kernel to load it from.");
      return;
    }
    this.#chrome.hideBar("inspector");
    this.#inspection.toggle();
    this.#chrome.setInspected(this.#inspection.open);
  }

  #inspectorFailed(why: string): void {
    this.#chrome.setInspected(false);
    this.#chrome.showBar("inspector", {
      tone: "warning",
      text: "The inspector could not be opened.",
      detail: why,
      actions: [{ label: "Close", run: () => this.#chrome.hideBar("inspector") }],
    });
  }

  #violated(params: Record<string, unknown>): void {
    this.#channel.send({ kind: "event", event: "csp-violation", payload: params });
    const code = params.blocked === "eval";
    // While an app starts, its libraries try what they may do, and do without. It counts if it never starts.
    if (code && this.#phase === "loading") {
      this.#triedEval = true;
      return;
    }
    this.#problems += 1;
    this.#chrome.setProblems(this.#problems);
    if (code) showEval(this.#chrome, this.#host.server);
  }

  #space(): Space {
    this.#width ||= this.#chrome.stage.clientWidth;
    const { mode } = this.#display;
    const height = mode === "inline" ? SIZES.max : this.#chrome.stage.clientHeight;
    return { mode, width: this.#width, height };
  }

  #displayed(mode: DisplayMode): void {
    this.#width = this.#chrome.stage.clientWidth;
    this.#offerModes();
    if (mode === "fullscreen") this.#chrome.focusModes();
    this.#bridge?.contextChanged(spaceContext(this.#space()));
    this.#channel.send({ kind: "event", event: "display", payload: { mode } });
  }

  /** The way back always, another way where the app can take it. */
  #offerModes(): void {
    const { mode } = this.#display;
    const offered = DISPLAY_MODES.filter(
      (each) => each !== mode && (each === "inline" || this.#bridge?.takes(each)),
    );
    this.#chrome.offerModes(offered, (each) => this.#display.show(each));
  }

  /** What Python asks of the app; null says that there is no app to answer. */
  async #askApp(call: number, method: string, params: unknown): Promise<void> {
    const answer = await this.#bridge?.ask(method, params);
    const payload = answer
      ? { result: answer.result, error: answer.error }
      : { error: { code: UNAVAILABLE, message: "The app is not there, or started over." } };
    this.#channel.send({ kind: "answer", call, payload });
  }

  #showState(): void {
    if (this.#closed) this.#chrome.setState("closed");
    else if (this.#link === "static") this.#chrome.setState("static");
    else if (this.#link === "busy") this.#chrome.setState("busy");
    else this.#chrome.setState(this.#phase === "closing" ? "ready" : this.#phase);
  }

  #showTitle(): void {
    const resource = this.model.get("_resource") as Resource | null;
    const tool = this.#call?.tool as { name?: string; title?: string } | null | undefined;
    const name = tool?.title || tool?.name || resource?.name || resource?.uri || "MCP app";
    this.#chrome.setTitle(name, this.#host.server);
  }

  #showCall(): void {
    const call = this.#call;
    this.#showTitle();
    if (call?.error) {
      this.#chrome.showBar("call", { tone: "error", text: "The call failed.", detail: call.error });
    } else if (typeof call?.cancelled === "string") {
      const detail = call.cancelled ? { detail: call.cancelled } : {};
      this.#chrome.showBar("call", { tone: "info", text: "The call was cancelled.", ...detail });
    } else this.#chrome.hideBar("call");
    this.#bridge?.setCall(call);
  }

  #linked(link: Link): void {
    this.#link = link;
    this.#showState();
    this.#showLink();
  }

  #showLink(): void {
    if (this.#link === "static" && this.#frame) {
      this.#chrome.showBar("kernel", {
        tone: "info",
        text: "No kernel stands behind this view any more: it shows its last state. Run its cell again to go on.",
      });
    } else this.#chrome.hideBar("kernel");
  }

  /** A document that comes after the first and says nothing is the browser's error page, not the app. */
  #loaded(times: number): void {
    if (times < 2) return;
    const at = performance.now();
    setTimeout(() => {
      if (this.signal.aborted || this.#closed || this.#lastHeard > at - RELOAD_GRACE) return;
      this.#chrome.showBar("left", {
        tone: "warning",
        text: "The app left its page, which a sandboxed app may not do.",
        actions: [{ label: "Reload", run: () => this.#open() }],
      });
    }, RELOAD_GRACE);
  }

  #resize(height: unknown): void {
    if (this.#display.mode !== "inline") return;
    const next = this.#sizes.report(height, performance.now());
    if (next === null || !this.#frame) return;
    this.#frame.node.style.height = `${next}px`;
    this.#channel.send({
      kind: "event",
      event: "size",
      payload: { width: Math.round(this.#width), height: next },
    });
  }

  /** A request to the server by this view, and not by the app. */
  #ask(method: string, params: unknown): Promise<CallPayload> {
    if (this.#link === "static" || this.signal.aborted) {
      const error = { code: UNAVAILABLE, message: "There is no live kernel behind this view." };
      return Promise.resolve({ error });
    }
    return new Promise((resolve) => {
      // The bridge counts its calls upwards.
      this.#lastRead -= 1;
      const call = this.#lastRead;
      this.#reads.set(call, resolve);
      this.#channel.expect();
      this.#channel.send({ kind: "rpc", call, payload: { method, params } });
    });
  }

  async #read(uri: string) {
    const payload = await this.#ask("resources/read", { uri });
    const { contents } = (payload.result ?? {}) as { contents?: Record<string, unknown>[] };
    return contents?.[0] ? embedded(contents[0]) : null;
  }

  #watchWidth(): void {
    let pause: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const width = this.#chrome.stage.clientWidth;
        // A hidden cell has no width; the app need not hear of that.
        if (width === 0 || Math.abs(width - this.#width) < 1) return;
        this.#width = width;
        this.#bridge?.contextChanged(spaceContext(this.#space()));
      }, RESIZE_PAUSE);
    });
    observer.observe(this.#chrome.stage);
    this.signal.addEventListener("abort", () => {
      clearTimeout(pause);
      observer.disconnect();
    });
  }

  async #teardown(): Promise<void> {
    if (this.#closed) return;
    const bridge = this.#bridge;
    await bridge?.teardown();
    if (this.#closed || bridge !== this.#bridge) return;
    this.#close();
    this.#channel.send({ kind: "event", event: "closed", payload: {} });
  }

  #close(): void {
    this.#closed = true;
    this.#display.show("inline");
    this.#discard();
    this.#showTitle();
    this.#showState();
    this.#chrome.stage.replaceChildren(
      element("p", "pmcp-app-closed", "This app was closed. Run its cell again to open it."),
    );
  }

  #discard(): void {
    for (const bar of ["silent", "left", "document", "eval"]) this.#chrome.hideBar(bar);
    this.#questions.refuse();
    this.#chrome.offerModes([], () => {});
    this.#bridge?.dispose();
    this.#bridge = null;
    this.#frame?.remove();
    this.#frame = null;
  }

  /** The page usually takes the frame away at once; where it does not, the app gets its moment. */
  #leave(): void {
    const farewell = this.#bridge?.teardown();
    this.#bridge?.dispose();
    void Promise.resolve(farewell).then(() => {
      this.#discard();
      this.#chrome.root.remove();
    });
  }
}
