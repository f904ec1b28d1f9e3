/** What the person is told about the app in a view: its name, how it is doing, and what became of its call. */
import type { Link } from "../shared/channel";
import type { Phase } from "./bridge";
import type { Chrome } from "./chrome";
import type { Questions } from "./questions";
import type { Traits } from "./traits";
import type { Wire } from "./wire";
import { reason, said } from "./words";

interface Port {
  reload(): void;
  /** Shows what few people ever see. */
  show: Questions["show"];
  /** Opens the app again in a kernel that knows nothing of it, where that can be done: whether the person wanted it. */
  readonly reconnect: (() => Promise<boolean>) | null;
  /** The browser's process for it is gone. */
  ended(message: string): void;
  /** Whether there is an app to be seen. */
  shown(): boolean;
}

const TROUBLE_CHARACTERS = 200;
const LATE_S = 4;
const ENDED = "The app’s process ended.";

/** Code from text that a library makes to learn whether it may, and whether that is refused makes no difference. */
const A_TRY = /^\(?(async )?function\*? anonymous\(\s*\) ?{\s*(return this;?)?\s*}?\)?$/;

/** What the prelude tells: any of it may be anything. */
type Failure = Record<string, unknown>;

export class Status {
  #phase: Phase = "loading";
  #link: Link = "live";
  #closed = false;
  #problems = 0;
  /** Code from text was refused; of an app that starts nevertheless, that was no loss. */
  #refused = false;
  /** For how many seconds the app's process had no time. */
  #late = 0;
  /** The first thing that went wrong, in words. */
  #trouble = "";
  readonly #missing = new Set<string>();

  constructor(
    private readonly chrome: Chrome,
    private readonly traits: Traits,
    private readonly wire: Wire,
    private readonly port: Port,
  ) {
    traits.on("_host", () => {
      this.title();
      this.#stale();
    });
    wire.watch((link) => {
      this.#link = link;
      this.link();
    });
  }

  /** The app is opened (again). */
  opened(): void {
    this.#closed = false;
    this.#problems = 0;
    this.#missing.clear();
    this.#refused = false;
    this.#trouble = "";
    this.#late = 0;
    this.chrome.setProblems(0);
    this.#stale();
  }

  closed(): void {
    this.#closed = true;
    this.title();
    this.#show();
  }

  title(): void {
    const { resource, call, host } = this.traits;
    const tool = call?.tool as { name?: string; title?: string } | null | undefined;
    const name = tool?.title || tool?.name || resource?.name || resource?.uri || "MCP app";
    this.chrome.setTitle(name, host.server);
  }

  phase(phase: Phase): void {
    this.#phase = phase;
    this.#show();
    this.chrome.hideBar("silent");
    if (phase === "ready") {
      this.#refused = false;
      this.chrome.hideBar("eval");
    }
    if (phase !== "silent") return;
    const { initTimeout } = this.traits.host;
    this.#showEval();
    const text = `No ui/notifications/initialized within ${initTimeout / 1000} s`;
    this.#again("silent", `${text}: it is shown as a plain page.`);
  }

  /** What became of the call. */
  call(): void {
    const { call } = this.traits;
    this.title();
    if (call?.error) {
      this.chrome.showBar("call", "error", "The call failed.", { detail: call.error });
    } else if (typeof call?.cancelled === "string") {
      const detail = call.cancelled;
      this.chrome.showBar("call", "info", "The call was cancelled.", { detail });
    } else this.chrome.hideBar("call");
  }

  /** Whether a kernel stands behind the app, which is worth a word where an app is seen. */
  link(): void {
    this.#show();
    if (this.#link === "static" && this.port.shown()) {
      this.chrome.showBar("kernel", "info", said.gone, { actions: this.#wayBack() });
    } else this.chrome.hideBar("kernel");
  }

  /** The app's policy kept it from something. */
  blocked({ blocked, directive, line, sample }: Failure): void {
    const code = blocked === "eval";
    if (code && A_TRY.test(String(sample))) return;
    this.#refused ||= code;
    // While an app starts, its libraries try what they may do, and do without. It counts if it never starts.
    const starting = code && this.#phase !== "ready";
    if (!starting) this.#kept(`blocked: ${directive} ${blocked}`, line);
    if (code && this.#phase !== "loading") this.#showEval();
  }

  /** The app has an error that it did not deal with. */
  failed({ message, line }: Failure): void {
    this.#kept(`error: ${message}`, line);
    if (!/\bEvalError\b/.test(String(message))) return;
    this.#refused = true;
    this.#showEval();
  }

  /** The app wants what the host that is played does not have: seen at once, and not when it is too late. */
  notOffered(what: string): void {
    this.#missing.add(what);
    this.#kept(`not offered: ${what}`);
    const { only } = this.traits.host;
    this.port.show(({ showMissing }, chrome) => {
      if (only && this.#missing.has(what)) showMissing(chrome, only, [...this.#missing]);
    });
  }

  left(): void {
    this.#again("left", "The app left its page, which a sandboxed app may not do.");
  }

  /** The app's process had no time for so many seconds; infinite when it ended. */
  late(seconds: number): void {
    // Less is what a page takes that draws much.
    const late = seconds < LATE_S ? 0 : seconds;
    if (late === this.#late) return;
    this.#late = late;
    if (late === Infinity) {
      this.port.ended(ENDED);
      this.#again("ended", ENDED);
    } else this.chrome.hideBar("ended");
    this.#show();
  }

  notSaved(): void {
    this.chrome.showBar("document", "info", said.empty);
  }

  notDirect(detail: string): void {
    this.chrome.showBar("direct", "warning", said.indirect, { detail, closable: true });
  }

  /** What may be otherwise when the app begins anew. */
  #again(name: string, text: string): void {
    const actions = [{ label: "Reload", run: this.port.reload }];
    this.chrome.showBar(name, "warning", text, { actions });
  }

  #stale(): void {
    const { stale } = this.traits.host;
    if (!stale) this.chrome.hideBar("stale");
    else {
      this.port.show(({ showStale }, chrome) => {
        if (this.traits.host.stale === stale) showStale(chrome, stale);
      });
    }
  }

  #showEval(): void {
    if (!this.#refused) return;
    this.port.show(({ showEval }, chrome) => {
      if (this.#refused) showEval(chrome, this.traits.host.server);
    });
  }

  /** The app has one more problem. */
  #kept(what: string, line?: unknown): void {
    this.#problems += 1;
    // The words are the app's, but for the first.
    this.#trouble ||=
      what.slice(0, TROUBLE_CHARACTERS) + (Number(line) > 0 ? ` (line ${line})` : "");
    this.chrome.setProblems(this.#problems);
    this.#show();
  }

  #wayBack() {
    const { reconnect } = this.port;
    return reconnect ? [{ label: "Reconnect", run: () => this.#reconnect(reconnect) }] : [];
  }

  async #reconnect(reconnect: () => Promise<boolean>): Promise<void> {
    this.chrome.showBar("kernel", "info", "Opening the app again…");
    try {
      if (!(await reconnect())) this.link();
    } catch (error) {
      this.chrome.showBar("kernel", "warning", "The app could not be opened again.", {
        detail: reason(error),
        actions: this.#wayBack(),
      });
    }
  }

  #show(): void {
    if (this.#closed) this.chrome.setState("closed");
    else if (this.#link === "static") this.chrome.setState("static", said.static);
    else if (this.#late === Infinity) this.chrome.setState("trouble", ENDED);
    else if (this.#late) this.chrome.setState("busy", `app not answering for ${this.#late} s`);
    else if (this.#link === "busy") this.chrome.setState("busy", this.wire.trouble(said.behind));
    else if (this.#trouble) this.chrome.setState("trouble", this.#trouble);
    else this.chrome.setState(this.#phase === "closing" ? "ready" : this.#phase);
  }
}
