/** One mounted view of one app: its parts, and when the app is opened and taken away. */

import type { Stored } from "../prelude/names";
import type { Host as Front, Model } from "../shared/anywidget";
import { element } from "../shared/dom";
import { followTheme } from "../shared/theme";
import type { Phase, Port } from "./bridge";
import { Changes } from "./changes";
import { Chrome } from "./chrome";
import { CodeLoader } from "./code";
import { Display } from "./display";
import { INITIAL_HEIGHT } from "./frame";
import { type Inspected, Inspection } from "./inspection";
import { UNAVAILABLE } from "./jsonrpc";
import { Keeping } from "./keeping";
import { standard } from "./old-names";
import { Questions } from "./questions";
import { reconnecting } from "./reconnect";
import { Requests } from "./requests";
import { RunningApp } from "./running";
import { SizeDamper } from "./size";
import { Source } from "./source";
import { drop, hasSpare, prepareSpare } from "./spare";
import { Status } from "./status";
import { Surroundings } from "./surroundings";
import { Trace } from "./trace";
import { Traits } from "./traits";
import { Wire } from "./wire";
import { said } from "./words";

const HEIGHT_LIMITS = { min: 32, max: 2000 };
/** Milliseconds an app that is replaced by its successor has to say what it keeps. */
const SUCCESSION_TIMEOUT_MS = 100;

/** A front end may attach the element after rendering it; a frame can be moved only into what is attached. */
function whenConnected(el: Element, signal: AbortSignal, then: () => void): void {
  if (signal.aborted) return;
  if (el.isConnected) then();
  else setTimeout(() => whenConnected(el, signal, then));
}

export class AppView {
  readonly #traits: Traits;
  readonly #wire: Wire;
  readonly #chrome: Chrome;
  readonly #status: Status;
  readonly #source: Source;
  readonly #keeping: Keeping;
  readonly #display: Display;
  readonly #surroundings: Surroundings;
  readonly #requests: Requests;
  readonly #questions: Questions;
  /** The comm's, after that of all that speaks over it. */
  readonly #end = new AbortController();
  readonly #trace = new Trace();
  readonly #sizes = new SizeDamper(INITIAL_HEIGHT, HEIGHT_LIMITS);
  /** What a page around the view may see and do, as the inspector does. */
  readonly inspected: Inspected;
  #app: RunningApp | null = null;
  #closed = false;
  #turn = 0;

  constructor(
    model: Model,
    el: HTMLElement,
    private readonly signal: AbortSignal,
    front?: Front,
    changes?: Changes,
  ) {
    const reload = () => void this.#reopen(true);
    this.#traits = new Traits(model, signal);
    const { signal: end } = this.#end;
    this.#wire = new Wire(model, changes ?? new Changes(model, end), end);
    this.#chrome = new Chrome(reload);
    const { root, stage } = this.#chrome;
    const code = new CodeLoader(this.#wire, root);
    this.#status = new Status(this.#chrome, this.#traits, this.#wire, {
      reload,
      show: (show) => this.#questions.show(show),
      reconnect: reconnecting(model, this.#traits, front, this.#chrome, signal, () =>
        this.#remove(),
      ),
      ended: (message) => this.#failed({ message }),
      shown: () => this.#app !== null,
    });
    this.#keeping = new Keeping(this.#traits);
    this.#source = new Source(this.#wire, code, {
      arrived: () => this.#arrived(),
      missing: () => this.#status.notSaved(),
    });
    this.#display = new Display(this.#chrome, this.#wire, signal, {
      takes: (mode) => this.#app?.bridge.takes(mode) === true,
      changed: () => this.#surroundings.displayed(),
    });
    this.#surroundings = new Surroundings(stage, this.#traits, this.#display, signal, {
      changed: (part) => this.#app?.bridge.contextChanged(part),
      themed: (theme) => this.#app?.frame.setTheme(theme),
    });
    this.#requests = new Requests(stage, this.#traits, this.#wire, code, signal, {
      notify: (method, params) => this.#app?.bridge.notify(method, params),
      failed: (why) => this.#status.notDirect(why),
    });
    this.#questions = new Questions(this.#chrome, this.#requests, code);
    this.#questions.followCards(this.#traits, signal, front);
    this.inspected = {
      trace: this.#trace,
      traits: this.#traits,
      display: this.#display,
      surroundings: this.#surroundings,
      requests: this.#requests,
      words: said,
      standard,
    };
    new Inspection(this.inspected, this.#chrome, code, signal);
    followTheme(root, signal);
    el.append(root);
    this.#begin(el);
    this.#follow();
  }

  // --- the app is opened ---

  #begin(el: HTMLElement): void {
    const { closed, resource } = this.#traits;
    if (closed) this.#close();
    else if (resource?.uri && hasSpare(resource)) {
      whenConnected(el, this.signal, () => this.#app ?? this.#open());
    } else this.#open();
  }

  #follow(): void {
    const traits = this.#traits;
    traits.on("_resource", () => void this.#reopen());
    traits.on("_call", () => this.#showCall());
    traits.on("_closed", () => {
      if (traits.closed) void this.#teardown();
    });
    this.#wire.on("ask", ({ method, params }, { call }) => {
      if (typeof method === "string") void this.#ask(Number(call), method, params);
    });
    // After the parts' own listeners: what is under way is cancelled first, then comes the bye.
    this.signal.addEventListener("abort", () => this.#leave());
  }

  #open(): void {
    this.#discard();
    this.#closed = false;
    const { resource, host } = this.#traits;
    this.#status.title();
    // Until the server has sent it.
    const sources = resource?.uri ? this.#source.of(resource) : null;
    if (!resource || !sources) return;
    this.#chrome.setBorder(resource.prefersBorder ?? true);
    const wanted = resource.wanted ?? {};
    this.#questions.wanted(wanted, () => this.#wire.send({ kind: "consent", payload: wanted }));
    this.#trace.begin("opened");
    this.#status.opened();
    const opening = {
      ...sources,
      resource,
      code: this.#traits.prelude,
      stored: this.#keeping.hand(),
      stage: this.#chrome.stage,
      height: this.#sizes.height,
      theme: this.#surroundings.theme,
      trace: this.#trace,
      left: () => this.#status.left(),
      late: (seconds: number) => this.#status.late(seconds),
    };
    this.#app = new RunningApp(opening, this.#port(), host);
    this.#turn = this.#traits.call?.turn ?? 0;
    this.#app.bridge.setCall(this.#traits.call);
    this.#app.start();
    this.#enter("loading");
    this.#status.link();
    this.#showCall();
  }

  /** What it lacked is there. */
  #arrived(): void {
    if (!this.#app && !this.#closed && !this.signal.aborted) this.#open();
  }

  /**
   * The app is another one now, or may do more, or the person wants it anew: it gets its moment, keeps what it stored,
   * and its call anew.
   * @param blank Forget what was typed into it.
   */
  async #reopen(blank = false): Promise<void> {
    if (!(await this.#letGo(SUCCESSION_TIMEOUT_MS))) return;
    if (blank) {
      this.#keeping.left = null;
      drop();
    }
    this.#open();
  }

  #enter(phase: Phase): void {
    this.#status.phase(phase);
    if (phase !== "ready") return;
    // The next app finds its frame ready, once this one has its own start behind it.
    const { policy } = this.#traits.host;
    if (policy) prepareSpare(policy, this.#chrome.stage.clientWidth);
    this.#display.offer();
  }

  #showCall(): void {
    const { call } = this.#traits;
    const turn = call?.turn ?? 0;
    const anew = turn !== this.#turn;
    this.#turn = turn;
    this.#status.call();
    if (anew && this.#app) void this.#reopen();
    else this.#app?.bridge.setCall(call);
  }

  // --- the app speaks, and answers ---

  #port(): Omit<Port, "post"> {
    return {
      request: (method, params, signal) => this.#requests.request(method, params, signal),
      event: (event, payload) => {
        if (event === "stored") this.#keeping.store(payload as Stored);
        this.#wire.event(event, payload);
      },
      size: (height) => this.#resize(height),
      openLink: (url) => this.#questions.link(url),
      download: (contents) => this.#questions.download(contents),
      display: (mode) => this.#display.ask(mode),
      leave: () => void this.#teardown(),
      escape: () => this.#display.leaveFullscreen(),
      violation: (params) => {
        this.#wire.event("csp-violation", params);
        this.#status.blocked(params);
      },
      failed: (params) => this.#failed(params),
      notOffered: (what) => {
        this.#wire.event("not-offered", { what });
        this.#status.notOffered(what);
      },
      left: (what) => {
        this.#keeping.left = what;
      },
      context: () => this.#surroundings.context(),
      phase: (phase) => this.#enter(phase),
    };
  }

  #failed(params: Record<string, unknown>): void {
    this.#wire.event("app-error", params);
    this.#status.failed(params);
  }

  #resize(height: unknown): void {
    if (this.#display.mode !== "inline") return;
    const next = this.#sizes.report(height, performance.now());
    if (next === null || !this.#app) return;
    this.#app.grow(next);
    this.#wire.event("size", { width: Math.round(this.#surroundings.width), height: next });
  }

  /** What Python asks of the app; null says that there is no app to answer. */
  async #ask(call: number, method: string, params: unknown): Promise<void> {
    const answer = await this.#app?.bridge.ask(method, params);
    const payload = answer
      ? { result: answer.result, error: answer.error }
      : { error: { code: UNAVAILABLE, message: "The app is not there, or started over." } };
    // Whether somebody had just done something there: who uses the app is told from an app that answers for them.
    const { stage } = this.#chrome;
    const { activeElement } = stage.getRootNode() as Document;
    const active = navigator.userActivation?.isActive !== false && stage.contains(activeElement);
    this.#wire.send({ kind: "answer", call, payload, active });
  }

  // --- the app goes ---

  /** Asks the app to let go; false when something else became of it meanwhile. */
  async #letGo(timeout?: number): Promise<boolean> {
    const app = this.#app;
    await app?.bridge.teardown(timeout);
    return !this.#closed && !this.signal.aborted && app === this.#app;
  }

  async #teardown(): Promise<void> {
    if (!(await this.#letGo())) return;
    this.#close();
    this.#wire.event("closed", {});
  }

  #close(): void {
    this.#closed = true;
    this.#display.show("inline");
    this.#discard();
    this.#status.closed();
    this.#chrome.stage.replaceChildren(element("p", "pmcp-empty pmcp-app-closed", said.closed));
  }

  #discard(): void {
    for (const bar of ["silent", "left", "ended", "document", "eval", "missing", "wanted"])
      this.#chrome.hideBar(bar);
    this.#questions.refuse();
    this.#app?.remove();
    this.#app = null;
    this.#display.offer();
  }

  #remove(): void {
    this.#discard();
    this.#chrome.root.remove();
  }

  /** The page usually takes the frame away at once; where it does not, the app gets its moment. */
  #leave(): void {
    const farewell = this.#app?.bridge.teardown();
    this.#app?.bridge.dispose();
    this.#end.abort();
    void Promise.resolve(farewell).then(() => this.#remove());
  }
}
