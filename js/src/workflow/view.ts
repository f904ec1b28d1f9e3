import type { RenderContext } from "../shared/anywidget";
import { Badge } from "../shared/badge";
import { Channel, type Message } from "../shared/channel";
import { everySecond } from "../shared/clock";
import { button, element, setAttribute, setText, showText } from "../shared/dom";
import type { Feed } from "../shared/feed";
import { duration, spoken } from "../shared/format";
import { linkText } from "../shared/link-text";
import { followTheme } from "../shared/theme";
import { Questions } from "../task-card/questions";
import { Calls } from "./calls";
import type { Workflow, WorkflowRecord } from "./record";
import { Skip } from "./skip";
import { Track } from "./steps";

export interface WorkflowContext extends RenderContext {
  feed: Feed;
  record: WorkflowRecord;
}

const OVER = ["completed", "failed", "cancelled"];

/** How one that ended early looks: its task is completed, and that is not the point. */
const ENDINGS = {
  stopped: "cancelled",
  undone: "cancelled",
  skipped: "completed",
  failed: "failed",
};

/** One mounted view of a workflow. */
export class WorkflowView {
  readonly #root = element("section", "pmcp pmcp-card pmcp-workflow");
  readonly #badge = new Badge();
  readonly #name = element("span", "pmcp-card-tool");
  readonly #server = element("span", "pmcp-card-server");
  readonly #id = element("code", "pmcp-card-id");
  readonly #link = element("span", "pmcp-link-state");
  readonly #elapsed = element("span", "pmcp-card-elapsed");
  readonly #finish: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #undo: HTMLButtonElement;
  readonly #skip = new Skip();
  readonly #goal = element("p", "pmcp-hint pmcp-flow-goal");
  readonly #doing = element("p", "pmcp-flow-doing");
  readonly #pause = element("div", "pmcp-bar");
  readonly #trouble = element("div", "pmcp-bar");
  readonly #track = new Track();
  readonly #calls = new Calls(() => this.#root.focus({ preventScroll: true }));
  readonly #questions = new Questions(() => this.#root.focus({ preventScroll: true }));
  readonly #said = element("details", "pmcp-details pmcp-raw");
  readonly #text = element("pre", "pmcp-outcome-text");
  readonly #channel: Channel;
  readonly #context: WorkflowContext;
  #wrong = "";
  #frame = 0;
  #stopTicking: (() => void) | null = null;

  constructor(context: WorkflowContext) {
    const { model, el, signal, feed } = context;
    this.#context = context;
    this.#finish = this.#button("Finish", "End it as completed, whatever steps are open", "finish");
    this.#cancel = this.#button("Cancel", "Give it up", "cancel");
    this.#undo = this.#button("Undo", "Take back what was done, and end it", "undo");
    const name = element("div", "pmcp-card-name", this.#name, this.#server, this.#id);
    const header = element("header", "pmcp-card-header", this.#badge.node, name, this.#link);
    header.append(this.#elapsed, this.#undo, this.#finish, this.#cancel);
    for (const node of [this.#pause, this.#trouble, this.#doing, this.#link])
      node.setAttribute("role", "status");
    this.#pause.dataset.tone = "info";
    this.#trouble.dataset.tone = "warning";
    this.#said.append(element("summary", "", "What the server says"), this.#text);
    const flow = element("div", "pmcp-flow-body", this.#goal, this.#track.node, this.#doing);
    const body = element("div", "pmcp-card-body", flow, this.#pause, this.#trouble);
    body.append(this.#questions.node, this.#calls.node, this.#skip.node, this.#said);
    this.#root.append(header, body, this.#questions.news);
    this.#root.tabIndex = -1;
    followTheme(this.#root, signal);
    el.append(this.#root);
    this.#channel = new Channel({
      model,
      signal,
      seq: () => feed.seq,
      open: () => !OVER.includes(context.record.shown?.status ?? ""),
      receive: (message) => this.#receive(message),
      linked: () => this.#settle(),
    });
    this.#questions.connect(this.#channel);
    this.#calls.connect(this.#channel);
    this.#skip.connect(this.#channel);
    this.#settle();
    feed.attach(this.#channel, () => this.#schedule(), signal);
    this.#paint();
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.#frame);
      this.#tick(null);
      this.#root.remove();
    });
  }

  #button(label: string, title: string, kind: string): HTMLButtonElement {
    const node = button(label, "pmcp-button pmcp-cancel", () => {
      if (node.ariaDisabled === "true") return;
      this.#channel.expect();
      this.#channel.send({ kind });
    });
    node.title = title;
    return node;
  }

  #receive(message: Message): void {
    this.#questions.receive(message);
    if (message.kind !== "made") return;
    this.#channel.settle();
    this.#calls.receive(message);
    this.#skip.receive(message);
    const problems = (message.problems ?? {}) as Record<string, string>;
    const own = ["finish", "cancel", "undo"].includes(String(message.call));
    this.#wrong = own ? (problems[""] ?? "") : "";
    this.#schedule();
  }

  #settle(): void {
    const { link } = this.#channel;
    this.#questions.dead = link === "static";
    this.#calls.dead = link === "static";
    this.#skip.dead = link === "static";
    showText(this.#link, linkText(this.#channel));
    this.#schedule();
  }

  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const { shown, questions } = this.#context.record;
    if (!shown) return;
    this.#root.setAttribute("aria-label", `Workflow ${shown.name}`);
    this.#root.dataset.status = shown.status;
    this.#paintHead(shown);
    this.#track.show(shown.steps, shown.pause?.step ?? null);
    setText(this.#doing, shown.doing ? `${shown.doing}…` : "");
    this.#doing.hidden = shown.doing === null;
    this.#paintWhy(shown);
    showText(this.#trouble, shown.trouble ?? this.#wrong);
    this.#questions.show(questions);
    this.#calls.show(shown.doing ? [] : shown.calls, questions.length > 0);
    this.#skip.show(shown.doing ? null : shown.skippable);
    setText(this.#text, shown.said);
    this.#said.hidden = shown.said === "";
    this.#paintButtons(shown);
    this.#tick(shown);
  }

  #paintHead(shown: Workflow): void {
    const ended = OVER.includes(shown.status) && shown.status !== "cancelled";
    const ending = ended ? shown.ending : null;
    const word = ending?.kind === "skipped" ? undefined : ending?.kind;
    const status = ending ? ENDINGS[ending.kind] : shown.status;
    this.#badge.set(status === "starting" ? "working" : status, word);
    setText(this.#name, shown.name);
    setText(this.#server, shown.server);
    setText(this.#id, shown.taskId ?? "");
    setAttribute(this.#id, "title", shown.taskId);
    showText(this.#goal, shown.goal);
  }

  /** Why it ended, or waits. */
  #paintWhy({ ending, pause }: Workflow): void {
    const until = pause?.deadline;
    const decides = until ? ` It decides itself at ${new Date(until).toLocaleString()}.` : "";
    showText(this.#pause, ending?.message ?? (pause ? pause.message + decides : ""));
    this.#pause.dataset.tone = ending && ending.kind !== "skipped" ? "warning" : "info";
  }

  #paintButtons({ status, taskId, undoable }: Workflow): void {
    const none = OVER.includes(status) || taskId === null;
    const dead = this.#channel.link === "static" ? "true" : null;
    for (const node of [this.#finish, this.#cancel, this.#undo]) {
      node.hidden = none || (node === this.#undo && !undoable);
      setAttribute(node, "aria-disabled", dead);
    }
  }

  #tick(shown: Workflow | null): void {
    const { clock } = this.#context.feed;
    const running = shown?.started != null && shown.ended === null && !clock.frozen;
    if (running !== (this.#stopTicking !== null)) {
      this.#stopTicking?.();
      this.#stopTicking = running
        ? everySecond(() => this.#tick(this.#context.record.shown))
        : null;
    }
    if (shown?.started == null) return;
    const time = (shown.ended ?? clock.now()) - shown.started;
    if (setText(this.#elapsed, duration(time))) setAttribute(this.#elapsed, "title", spoken(time));
  }
}
