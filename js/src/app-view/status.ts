/** What the person is told about the app in a view: its name, how it is doing, and what became of its call. */
import type { Link } from "../shared/liveness";
import type { Call, Host, Phase } from "./bridge";
import type { Chrome } from "./chrome";
import type { Resource } from "./frame";
import { showEval } from "./wishes";
import { said } from "./words";

export class Status {
  #phase: Phase = "loading";
  #link: Link = "live";
  #closed = false;
  #problems = 0;
  #triedEval = false;
  readonly #missing = new Set<string>();

  constructor(
    private readonly chrome: Chrome,
    private readonly reload: () => void,
    private readonly reconnect: (() => void) | null,
  ) {}

  /** The app is opened (again). */
  opened(): void {
    this.#closed = false;
    this.#problems = 0;
    this.#missing.clear();
    this.#triedEval = false;
    this.chrome.setProblems(0);
  }

  closed(): void {
    this.#closed = true;
    this.#show();
  }

  title(resource: Resource | null, call: Call | null, host: Host): void {
    const tool = call?.tool as { name?: string; title?: string } | null | undefined;
    const name = tool?.title || tool?.name || resource?.name || resource?.uri || "MCP app";
    this.chrome.setTitle(name, host.server);
  }

  phase(phase: Phase, host: Host): void {
    this.#phase = phase;
    this.#show();
    if (phase === "silent" && this.#triedEval) showEval(this.chrome, host.server);
    if (phase === "silent") {
      this.chrome.showBar("silent", {
        tone: "warning",
        text: `The app has not said ui/notifications/initialized within ${host.initTimeout / 1000} s. It is shown as a plain page.`,
        actions: [{ label: "Reload", run: this.reload }],
      });
    } else this.chrome.hideBar("silent");
  }

  call(call: Call | null): void {
    if (call?.error) {
      this.chrome.showBar("call", { tone: "error", text: "The call failed.", detail: call.error });
    } else if (typeof call?.cancelled === "string") {
      const detail = call.cancelled ? { detail: call.cancelled } : {};
      this.chrome.showBar("call", { tone: "info", text: "The call was cancelled.", ...detail });
    } else this.chrome.hideBar("call");
  }

  /** `shown`: whether there is an app to be seen. */
  link(link: Link, shown: boolean): void {
    this.#link = link;
    this.#show();
    if (link === "static" && shown) {
      this.chrome.showBar("kernel", {
        tone: "info",
        text: said().gone,
        actions: this.#wayBack(),
      });
    } else this.chrome.hideBar("kernel");
  }

  /** The app's policy kept it from something. */
  blocked(what: unknown, host: Host): void {
    const code = what === "eval";
    // While an app starts, its libraries try what they may do, and do without. It counts if it never starts.
    if (code && this.#phase === "loading") {
      this.#triedEval = true;
      return;
    }
    this.#kept();
    if (code) showEval(this.chrome, host.server);
  }

  /** The app wants what the host that is played does not have: seen at once, and not when it is too late. */
  notOffered(what: string, host: Host): void {
    this.#missing.add(what);
    this.#kept();
    this.chrome.showBar("missing", {
      tone: "error",
      text: `The app uses what ${host.only} does not offer:`,
      detail: [...this.#missing].join(", "),
    });
  }

  left(): void {
    this.chrome.showBar("left", {
      tone: "warning",
      text: "The app left its page, which a sandboxed app may not do.",
      actions: [{ label: "Reload", run: this.reload }],
    });
  }

  notSaved(): void {
    this.chrome.showBar("document", { tone: "info", text: said().empty });
  }

  notDirect(detail: string): void {
    this.chrome.showBar("direct", {
      tone: "warning",
      text: said().indirect,
      detail,
      closable: true,
    });
  }

  /** The server asks something, and there is no way to show the form. */
  answerElsewhere(): void {
    this.chrome.showBar("asked", {
      tone: "info",
      text: "The server asks something. To answer:",
      detail: "view.asking[0].answer({…})",
      closable: true,
    });
  }

  reopening(): void {
    this.chrome.showBar("kernel", { tone: "info", text: "Opening the app again…" });
  }

  notReopened(detail: string): void {
    const text = "The app could not be opened again.";
    this.chrome.showBar("kernel", { tone: "warning", text, detail, actions: this.#wayBack() });
  }

  /** The app was kept from something once more. */
  #kept(): void {
    this.#problems += 1;
    this.chrome.setProblems(this.#problems);
  }

  #wayBack() {
    return this.reconnect ? [{ label: "Reconnect", run: this.reconnect }] : [];
  }

  #show(): void {
    if (this.#closed) this.chrome.setState("closed");
    else if (this.#link === "static") this.chrome.setState("static");
    else if (this.#link === "busy") this.chrome.setState("busy");
    else this.chrome.setState(this.#phase === "closing" ? "ready" : this.#phase);
  }
}
