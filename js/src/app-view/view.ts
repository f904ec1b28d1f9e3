/** One mounted view of one app: its parts, and when the app is opened and taken away. */
import { type Host as Front, listen, type Model } from "../shared/anywidget";
import { Channel, type Message } from "../shared/channel";
import { element } from "../shared/dom";
import type { Link } from "../shared/liveness";
import { followTheme } from "../shared/theme";
import { Attention } from "./attention";
import type { Call, DisplayMode, Host, Phase, Port } from "./bridge";
import { Cards } from "./cards";
import { Chrome } from "./chrome";
import { type Code, CodeLoader } from "./code";
import type { DirectModule } from "./direct";
import { DISPLAY_MODES, Display } from "./display";
import { documentOf, keepDocument } from "./documents";
import type { DownloadModule } from "./download";
import { INITIAL_HEIGHT, type Resource } from "./frame";
import { type Inspected, Inspection, type InspectorModule } from "./inspection";
import { UNAVAILABLE } from "./jsonrpc";
import type { Left, OldWidgets, Stored } from "./prelude";
import { Questions } from "./questions";
import { kernelOf, reopen } from "./reconnect";
import { Requests, type Wish } from "./requests";
import { RunningApp } from "./running";
import { SizeDamper } from "./size";
import { hasSpare, prepareSpare } from "./spare";
import { Status } from "./status";
import { Surroundings } from "./surroundings";
import { Trace } from "./trace";
import { KernelTransport } from "./transport";
import { showWanted } from "./wishes";
import { said } from "./words";

const HEIGHT_LIMITS = { min: 32, max: 2000 };
/** Milliseconds an app that is replaced by its successor has to say what it keeps. */
const SUCCESSION_TIMEOUT_MS = 100;

/** Milliseconds. A hello costs the notebook and the kernel several messages, of which the app's paint has none to spare. */
const HELLO_DELAY_MS = 1000;

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

export class AppView {
  readonly #chrome: Chrome;
  readonly #status: Status;
  readonly #channel: Channel;
  readonly #sizes = new SizeDamper(INITIAL_HEIGHT, HEIGHT_LIMITS);
  readonly #display: Display;
  readonly #questions: Questions;
  readonly #cards: Cards;
  readonly #code: CodeLoader;
  readonly #inspection: Inspection;
  /** What a page around the view may see and do, as the inspector does. */
  readonly inspected: Inspected;
  readonly #surroundings: Surroundings;
  readonly #kernel = new KernelTransport(() => this.#channel);
  readonly #requests: Requests;
  readonly #trace = new Trace();
  #app: RunningApp | null = null;
  #old: OldWidgets | null = null;
  #closed = false;
  /** What the app stored that the kernel has not confirmed yet. */
  #unconfirmed: Stored = {};
  #left: Left | null = null;
  #turn = 0;

  constructor(
    private readonly model: Model,
    el: HTMLElement,
    private readonly signal: AbortSignal,
    front?: Front,
  ) {
    const reload = () => void this.#reopen(true);
    this.#chrome = new Chrome(reload, () => this.#inspection.toggle());
    const { root, stage } = this.#chrome;
    this.#status = new Status(
      this.#chrome,
      reload,
      front && kernelOf(model) ? () => void this.#reconnect(front) : null,
    );
    this.#code = new CodeLoader((name) => this.#channel.send({ kind: "code", name }), root);
    this.#questions = new Questions(
      this.#chrome,
      (uri) => this.#read(uri),
      () => this.#code.load<DownloadModule>("download"),
    );
    this.#cards = new Cards(front, () => this.#status.answerElsewhere());
    this.#display = new Display(root, (mode) => this.#displayed(mode), signal);
    this.#surroundings = new Surroundings({
      stage,
      call: () => this.#call,
      mode: () => this.#display.mode,
      changed: (part) => this.#app?.bridge.contextChanged(part),
      themed: (theme) => this.#app?.frame.setTheme(theme),
      signal,
    });
    this.#requests = new Requests({
      kernel: this.#kernel,
      attention: new Attention(
        stage,
        (paused) => this.#event(paused ? "paused" : "resumed", {}),
        signal,
      ),
      load: () => this.#code.load<DirectModule>("direct"),
      notify: (method, params) => this.#app?.bridge.notify(method, params),
      event: (name, payload) => this.#event(name, payload),
      failed: (why) => this.#status.notDirect(why),
    });
    this.inspected = this.#inspected();
    this.#inspection = new Inspection(
      this.inspected,
      this.#chrome,
      () => this.#inspector(),
      signal,
    );
    root.append(this.#cards.node, this.#inspection.panel);
    followTheme(root, signal);
    // The frame before all else: nothing may stand between the person and the app's first paint.
    el.append(root);
    if (model.get("_closed") === true) this.#close();
    else if (this.#mayTakeSpare()) whenConnected(el, signal, () => this.#app ?? this.#open());
    else this.#open();
    // Before the channel's own listener: what is under way is cancelled first, then comes the bye.
    signal.addEventListener("abort", () => this.#leave());
    this.#channel = new Channel({
      model,
      signal,
      seq: () => 0,
      receive: (message) => this.#fromKernel(message),
      linked: (link) => this.#linked(link),
      helloDelay: HELLO_DELAY_MS,
    });
    this.#linked(this.#channel.link);
    this.#follow("_bridge", (wish) => this.#requests.use((wish as Wish) ?? { mode: "kernel" }));
    this.#follow("_cards", (models) => this.#cards.show((models as string[]) ?? []));
    listen(model, "change:_resource", signal, () => void this.#reopen());
    listen(model, "change:_storage", signal, () => this.#echoed());
    listen(model, "change:_call", signal, () => this.#showCall());
    listen(model, "change:_host", signal, () => this.#showTitle());
    listen(model, "change:_closed", signal, () => {
      if (model.get("_closed") === true) void this.#teardown();
    });
  }

  get #call(): Call | null {
    return this.model.get("_call") as Call | null;
  }

  get #resource(): Resource | null {
    return this.model.get("_resource") as Resource | null;
  }

  get #host(): Host {
    return { ...HOST, ...(this.model.get("_host") as Partial<Host> | null) };
  }

  /** Calls back with the trait's value now and with every later one. */
  #follow(trait: string, changed: (value: unknown) => void): void {
    listen(this.model, `change:${trait}`, this.signal, () => changed(this.model.get(trait)));
    const value = this.model.get(trait);
    if (value) changed(value);
  }

  #event(event: string, payload: unknown): void {
    this.#channel.send({ kind: "event", event, payload });
  }

  // --- the app is opened ---

  #mayTakeSpare(): boolean {
    const resource = this.#resource;
    return Boolean(resource?.uri && hasSpare(resource));
  }

  #open(): void {
    this.#discard();
    this.#closed = false;
    const resource = this.#resource;
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
    if (resource.legacy && !this.#old && this.#channel?.link !== "static") {
      queueMicrotask(() => this.#loadOld());
      return;
    }
    this.#chrome.setBorder(resource.prefersBorder ?? true);
    showWanted(this.#chrome, resource.wanted ?? {}, () => this.#channel.send({ kind: "consent" }));
    this.#trace.begin("opened");
    this.#status.opened();
    const host = this.#host;
    const left = this.#left;
    this.#left = null;
    this.#turn = this.#call?.turn ?? 0;
    const opening = {
      resource,
      html,
      stored: () => {
        const kept = this.model.get("_storage") as Stored | null;
        return { ...kept, ...this.#unconfirmed, left };
      },
      old: resource.legacy ? this.#old : null,
      only: Boolean(host.only),
      stage: this.#chrome.stage,
      height: this.#sizes.height,
      maxHeight: this.#surroundings.maxHeight,
      theme: this.#surroundings.theme,
      trace: this.#trace,
      left: () => this.#status.left(),
    };
    this.#app = new RunningApp(opening, this.#port(host), host);
    this.#app.bridge.setCall(this.#call);
    this.#app.start();
    this.#enter("loading", host);
    this.#status.link(this.#channel?.link ?? "live", true);
    this.#showCall();
  }

  /**
   * The app is another one now, or may do more, or the person wants it anew: it gets its moment, keeps what it stored,
   * and its call anew.
   * @param blank Forget what was typed into it.
   */
  async #reopen(blank = false): Promise<void> {
    if (!(await this.#letGo(SUCCESSION_TIMEOUT_MS))) return;
    if (blank) this.#left = null;
    this.#open();
  }

  #echoed(): void {
    const known = (this.model.get("_storage") ?? {}) as Stored;
    for (const name of ["local", "state"] as const) {
      const same = JSON.stringify(known[name]) === JSON.stringify(this.#unconfirmed[name]);
      if (same) delete this.#unconfirmed[name];
    }
  }

  #port(host: Host): Omit<Port, "post"> {
    return {
      request: (method, params, signal) => this.#requests.request(method, params, signal),
      event: (event, payload) => {
        if (event === "stored") Object.assign(this.#unconfirmed, payload as Stored);
        this.#event(event, payload);
      },
      size: (height) => this.#resize(height),
      openLink: (url) => this.#questions.link(url),
      download: async (contents) =>
        this.#channel.link !== "static" && this.#questions.download(contents),
      display: (mode) => {
        // An app that could do it by itself would come back whenever it is sent away.
        const wanted = mode === "inline" || navigator.userActivation?.isActive !== false;
        const taken = wanted && this.#app?.bridge.takes(mode);
        return taken ? this.#display.show(mode) : this.#display.mode;
      },
      leave: () => void this.#teardown(),
      escape: () => {
        if (this.#display.mode === "fullscreen") this.#display.show("inline");
      },
      violation: (params) => {
        this.#event("csp-violation", params);
        this.#status.blocked(params.blocked, this.#host);
      },
      notOffered: (what) => {
        this.#event("not-offered", { what });
        this.#status.notOffered(what, host);
      },
      left: (what) => {
        this.#left = what;
      },
      context: () => this.#surroundings.context(),
      phase: (phase) => this.#enter(phase, host),
    };
  }

  #askDocument(): void {
    if (this.#channel.link === "static") this.#status.notSaved();
    else this.#channel.send({ kind: "document" });
  }

  async #loadOld(): Promise<void> {
    this.#old = await this.#code.load<OldWidgets>("old-widgets");
    if (!this.#app && !this.#closed && !this.signal.aborted) this.#open();
  }

  #enter(phase: Phase, host: Host): void {
    this.#status.phase(phase, host);
    if (phase !== "ready") return;
    // The next app finds its frame ready, once this one has its own start behind it.
    if (host.policy) prepareSpare(host.policy, this.#chrome.stage.clientWidth);
    this.#offerModes();
  }

  // --- the kernel speaks ---

  #fromKernel(message: Message): void {
    const payload = message.payload as Record<string, unknown> | undefined;
    if (message.kind === "rpc-result") this.#kernel.receive(message);
    else if (message.kind === "notify" && typeof payload?.method === "string") {
      if (payload.method === "notifications/tools/list_changed") this.#requests.changed();
      this.#app?.bridge.notify(payload.method, payload.params);
    } else if (message.kind === "document" && typeof payload?.html === "string") {
      keepDocument(String(payload.hash), payload.html);
      if (!this.#app && !this.#closed) this.#open();
    } else if (message.kind === "ask" && typeof payload?.method === "string") {
      void this.#askApp(Number(message.call), payload.method, payload.params);
    } else if (message.kind === "display" && typeof payload?.mode === "string") {
      this.#display.show(payload.mode as DisplayMode);
    } else if (message.kind === "code" && typeof payload?.module === "string") {
      this.#code.arrived(payload as unknown as Code);
    } else if (message.kind === "teardown") void this.#teardown();
  }

  /** What Python asks of the app; null says that there is no app to answer. */
  async #askApp(call: number, method: string, params: unknown): Promise<void> {
    const answer = await this.#app?.bridge.ask(method, params);
    const payload = answer
      ? { result: answer.result, error: answer.error }
      : { error: { code: UNAVAILABLE, message: "The app is not there, or started over." } };
    this.#channel.send({ kind: "answer", call, payload });
  }

  #linked(link: Link): void {
    if (link === "static") this.#kernel.lost();
    this.#status.link(link, this.#app !== null);
  }

  /** The kernel was restarted, and knows nothing of this app. */
  async #reconnect(front: Front): Promise<void> {
    const kernel = kernelOf(this.model);
    if (!kernel) return;
    this.#status.reopening();
    const request = {
      server: this.#host.server,
      tool: this.#call?.tool?.name,
      arguments: this.#call?.arguments ?? null,
    };
    const el = element("div");
    try {
      this.#chrome.root.after(el);
      await reopen(kernel, front, request, { el, signal: this.signal });
      this.#discard();
      this.#chrome.root.remove();
    } catch (error) {
      el.remove();
      this.#status.notReopened(error instanceof Error ? error.message : String(error));
    }
  }

  // --- what the person sees and does ---

  #showTitle(): void {
    this.#status.title(this.#resource, this.#call, this.#host);
  }

  #showCall(): void {
    const call = this.#call;
    const anew = (call?.turn ?? 0) !== this.#turn;
    this.#turn = call?.turn ?? 0;
    this.#showTitle();
    this.#status.call(call);
    if (anew && this.#app?.bridge) void this.#reopen();
    else this.#app?.bridge.setCall(call);
  }

  #inspector(): Promise<InspectorModule> {
    if (this.#channel.link !== "static") return this.#code.load<InspectorModule>("inspector");
    return Promise.reject(said().nobody);
  }

  #inspected(): Inspected {
    const view = this;
    return {
      trace: this.#trace,
      get server() {
        return view.#host.server;
      },
      get resource() {
        return view.#resource;
      },
      get mode() {
        return view.#display.mode;
      },
      context: () => this.#surroundings.context(),
      pretend: (pretence) => this.#surroundings.pretend(pretence),
      limit: (size) => {
        this.#surroundings.limit(size);
        if (this.#app?.frame) this.#app.frame.node.style.maxHeight = this.#surroundings.maxHeight;
      },
      display: (mode) => this.#display.show(mode),
      repeat: (method, params) => this.#requests.repeat(method, params),
    };
  }

  #displayed(mode: DisplayMode): void {
    this.#offerModes();
    if (mode === "fullscreen") this.#chrome.focusModes();
    this.#surroundings.displayed();
    this.#event("display", { mode });
  }

  /** The way back always, another way where the app can take it. */
  #offerModes(): void {
    const { mode } = this.#display;
    const offered = DISPLAY_MODES.filter(
      (each) => each !== mode && (each === "inline" || this.#app?.bridge.takes(each)),
    );
    this.#chrome.offerModes(offered, (each) => this.#display.show(each));
  }

  #resize(height: unknown): void {
    if (this.#display.mode !== "inline") return;
    const next = this.#sizes.report(height, performance.now());
    if (next === null || !this.#app) return;
    this.#app.frame.node.style.height = `${next}px`;
    this.#event("size", { width: Math.round(this.#surroundings.width), height: next });
  }

  async #read(uri: string) {
    const { result } = await this.#requests.repeat("resources/read", { uri });
    const { contents } = (result ?? {}) as { contents?: Record<string, unknown>[] };
    return contents?.[0];
  }

  // --- the app goes ---

  /** Asks the app to let go; false when something else became of it meanwhile. */
  async #letGo(timeout?: number): Promise<boolean> {
    const bridge = this.#app?.bridge;
    await bridge?.teardown(timeout);
    return !this.#closed && !this.signal.aborted && bridge === this.#app?.bridge;
  }

  async #teardown(): Promise<void> {
    if (!(await this.#letGo())) return;
    this.#close();
    this.#event("closed", {});
  }

  #close(): void {
    this.#closed = true;
    this.#display.show("inline");
    this.#discard();
    this.#showTitle();
    this.#status.closed();
    this.#chrome.stage.replaceChildren(element("p", "pmcp-app-closed", said().closed));
  }

  #discard(): void {
    for (const bar of ["silent", "left", "document", "eval", "missing"]) this.#chrome.hideBar(bar);
    this.#questions.refuse();
    this.#chrome.offerModes([], () => {});
    this.#app?.remove();
    this.#app = null;
  }

  /** The page usually takes the frame away at once; where it does not, the app gets its moment. */
  #leave(): void {
    const farewell = this.#app?.bridge.teardown();
    this.#app?.bridge.dispose();
    this.#requests.close();
    this.#cards.show([]);
    void Promise.resolve(farewell).then(() => {
      this.#discard();
      this.#chrome.root.remove();
    });
  }
}
