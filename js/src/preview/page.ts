/** The page: its parts, and what goes between them and the preview's server. */

import { Surroundings } from "../app-view/inspector/surroundings";
import { prepareSpare } from "../app-view/spare";
import type { Host } from "../app-view/traits";
import { AppView } from "../app-view/view";
import type { Content } from "../form/form";
import { button, element } from "../shared/dom";
import { PageModel } from "../shared/page-model";
import { followTheme } from "../shared/theme";
import { Header } from "./header";
import { Picker } from "./picker";
import { Runs } from "./runs";
import type { Outcome, ResourceInfo, Status, ToolInfo } from "./state";
import { ToolList } from "./tools";
import { type Message, Wire, type WireState } from "./wire";
import { PREVIEW } from "./words";

const THEME = "pmcp-lab-preview-theme";

interface OpenApp {
  number: number;
  model: PageModel;
  life: AbortController;
}

export class Page {
  readonly #root = element("div", "pmcp pv");
  readonly #header: Header;
  readonly #picker: Picker;
  readonly #tools: ToolList;
  readonly #runs: Runs;
  readonly #surroundings = new Surroundings(PREVIEW.width);
  readonly #stage = element("div", "pv-stage");
  readonly #notes = element("div", "pv-notes");
  readonly #wire: Wire;
  readonly #tool = new Map<number, string>();
  #app: OpenApp | null = null;
  #listed = false;
  #selected: string | null = null;
  #profile: string | null = null;

  constructor(body: HTMLElement) {
    const theme = localStorage.getItem(THEME) ?? "";
    setTheme(theme);
    this.#header = new Header(
      {
        reconnect: () => this.#send({ kind: "reconnect" }),
        signIn: () => this.#send({ kind: "sign-in" }),
        profile: (profile) => this.#send({ kind: "profile", profile }),
        bridge: (mode) => this.#send({ kind: "bridge", mode }),
        theme: (name) => {
          localStorage.setItem(THEME, name);
          setTheme(name);
        },
      },
      theme,
    );
    this.#picker = new Picker((uri) => this.#show(uri));
    this.#tools = new ToolList((tool, content) => this.#run(tool, content));
    this.#runs = new Runs((call) => this.#send({ kind: "cancel", call }));
    const side = element("aside", "pv-side", this.#picker.node, this.#tools.node);
    side.setAttribute("aria-label", "Apps and tools");
    const main = element(
      "main",
      "pv-main",
      this.#header.bars,
      this.#notes,
      this.#surroundings.node,
      this.#stage,
      this.#runs.node,
    );
    this.#notes.setAttribute("aria-live", "polite");
    this.#stage.setAttribute("role", "region");
    this.#stage.setAttribute("aria-label", "The app");
    this.#surroundings.node.setAttribute("aria-label", "Host context");
    this.#empty("No app is open. Choose one, or run a tool.");
    this.#root.append(this.#header.node, element("div", "pv-columns", side, main));
    followTheme(this.#root, new AbortController().signal);
    body.append(this.#root);
    this.#wire = new Wire(
      (message) => this.#receive(message),
      (state) => this.#wired(state),
    );
  }

  #send(message: Message): void {
    this.#wire.send(message);
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case "status":
        this.#showStatus(message as unknown as Status);
        break;
      case "catalogue":
        this.#list(message.tools as ToolInfo[], message.resources as ResourceInfo[]);
        break;
      case "model":
        this.#open(Number(message.model), message.state as Record<string, unknown>);
        break;
      case "traits":
        this.#shown(message)?.model.assign(message.traits as Record<string, unknown>);
        this.#mark();
        break;
      case "custom":
        this.#shown(message)?.model.arrived(message.content);
        break;
      case "gone":
        if (this.#shown(message)) this.#close();
        break;
      case "ran":
        this.#ran(message as unknown as Outcome);
        break;
      case "progress":
        this.#runs.progress(
          Number(message.call),
          Number(message.progress),
          message.total as number | null,
          message.message as string | null,
        );
        break;
      case "failed":
      case "note":
        this.#mark();
        this.#note(String(message.text), String(message.detail ?? ""), message.kind === "failed");
        break;
    }
  }

  /** The app that a message is about, if it is still there. */
  #shown({ model }: Message): OpenApp | null {
    return this.#app?.number === model ? this.#app : null;
  }

  #showStatus(status: Status): void {
    this.#header.showStatus(status);
    this.#selected = status.selected;
    if (this.#profile !== null && this.#profile !== status.profile) {
      this.#notes.replaceChildren();
      this.#close();
      this.#listed = false;
    }
    this.#profile = status.profile;
  }

  #list(tools: ToolInfo[], resources: ResourceInfo[]): void {
    this.#tools.set(tools);
    this.#picker.set(resources);
    if (this.#listed || tools.length === 0) return;
    // The first time: something to begin with.
    this.#listed = true;
    const wanted = this.#tools.get(this.#selected ?? "");
    const uri = wanted ? wanted.app : this.#picker.first;
    const tool = wanted ?? this.#tools.using(uri ?? "");
    this.#tools.choose(tool ?? this.#tools.chosen ?? tools[0] ?? null);
    if (uri) this.#show(uri);
  }

  #show(uri: string): void {
    this.#notes.replaceChildren();
    this.#wire.send({ kind: "show", uri });
    const chosen = this.#tools.chosen;
    if (chosen?.app !== uri) {
      const tool = this.#tools.using(uri);
      if (tool) this.#tools.choose(tool);
    }
  }

  #run(tool: ToolInfo, content: Content): void {
    this.#notes.replaceChildren();
    const call = this.#runs.begin(tool, content);
    this.#tool.set(call, tool.name);
    this.#wire.send({ kind: "run", call, tool: tool.name, content });
    // On a narrow page what comes of it is somewhere below.
    const where = tool.app === null ? this.#runs.node : this.#stage;
    where.scrollIntoView({ block: "nearest" });
  }

  #ran(outcome: Outcome): void {
    const tool = this.#tool.get(outcome.call) ?? "";
    this.#tool.delete(outcome.call);
    this.#runs.settle(outcome);
    if (outcome.problems) this.#tools.wrong(tool, outcome.problems);
  }

  #open(number: number, state: Record<string, unknown>): void {
    this.#close();
    const life = new AbortController();
    const model = new PageModel(state, (content) => {
      this.#wire.send({ kind: "custom", model: number, content });
    });
    this.#app = { number, model, life };
    this.#stage.replaceChildren();
    const { policy } = (state._host ?? {}) as Partial<Host>;
    if (policy) prepareSpare(policy);
    const view = new AppView(model, this.#stage, life.signal);
    view.inspected.controlled = true;
    this.#surroundings.attach(view.inspected, life.signal);
    this.#mark();
  }

  /** Which app is open, and who asks the server for it. */
  #mark(): void {
    const bridge = this.#app?.model.get("_bridge") as { mode?: string } | undefined;
    if (bridge?.mode) this.#header.bridged(bridge.mode);
    const resource = this.#app?.model.get("_resource") as { uri?: string } | undefined;
    this.#picker.mark(resource?.uri ?? "");
  }

  #close(): void {
    this.#app?.life.abort();
    this.#app = null;
    this.#empty("No app is open. Choose one, or run a tool.");
    this.#picker.mark("");
  }

  #empty(text: string): void {
    this.#stage.replaceChildren(element("p", "pmcp-empty pv-nothing", text));
  }

  #wired(state: WireState): void {
    this.#header.wired(state);
    this.#app?.model.setLive(state === "open" || state === "away");
  }

  #note(text: string, detail: string, failed: boolean): void {
    const bar = element("div", "pmcp-bar");
    bar.dataset.tone = failed ? "error" : "warning";
    const words = element("div", "pmcp-bar-text", element("span", "", text));
    if (detail) words.append(element("code", "pmcp-bar-detail", detail));
    bar.append(
      words,
      button("Close", "pmcp-button", () => bar.remove()),
    );
    this.#notes.replaceChildren(bar);
  }
}

/** The host front end looks where Jupyter says which theme there is. */
function setTheme(name: string): void {
  const { dataset } = document.body;
  if (name) dataset.jpThemeLight = String(name === "light");
  else delete dataset.jpThemeLight;
  document.documentElement.style.colorScheme = name || "light dark";
}
