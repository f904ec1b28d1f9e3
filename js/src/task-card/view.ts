import type { RenderContext } from "../shared/anywidget";
import { Badge } from "../shared/badge";
import { Channel, type Link, type Message } from "../shared/channel";
import { everySecond } from "../shared/clock";
import { button, element, flash, setAttribute, setText, showText } from "../shared/dom";
import type { Feed } from "../shared/feed";
import { duration, spoken } from "../shared/format";
import { linkText } from "../shared/link-text";
import { ProgressBar } from "../shared/progress";
import { Stderr } from "../shared/stderr";
import { elapsed, isLive, type Row } from "../shared/task";
import { followTheme } from "../shared/theme";
import { Questions } from "./questions";
import type { TaskRecord } from "./record";
import { Lifecycle, Outcome, Raw, Variables } from "./sections";

export interface CardContext extends RenderContext {
  feed: Feed;
  record: TaskRecord;
}

/** One mounted card. */
export class CardView {
  readonly #root = element("section", "pmcp pmcp-card");
  readonly #badge = new Badge();
  readonly #tool = element("span", "pmcp-card-tool");
  readonly #server = element("span", "pmcp-card-server");
  readonly #id = element("code", "pmcp-card-id");
  readonly #link = element("span", "pmcp-link-state");
  readonly #elapsed = element("span", "pmcp-card-elapsed");
  readonly #cancel: HTMLButtonElement;
  readonly #progress = new ProgressBar();
  readonly #message = element("p", "pmcp-card-message");
  readonly #trouble = element("div", "pmcp-bar");
  readonly #lifecycle = new Lifecycle();
  readonly #visiting = element("div", "pmcp-bar");
  readonly #questions: Questions;
  readonly #variables = new Variables();
  readonly #outcome = new Outcome();
  readonly #stderr = new Stderr();
  readonly #raw = new Raw(() => this.#channel?.send({ kind: "raw" }));
  readonly #body: HTMLElement;
  readonly #empty = element("p", "pmcp-empty", "Waiting for the kernel…");
  readonly #feed: Feed;
  readonly #record: TaskRecord;
  #channel: Channel | null = null;
  #asked = false;
  #painted = false;
  #frame = 0;
  #stopTicking: (() => void) | null = null;

  constructor({ model, el, signal, feed, record, host }: CardContext) {
    this.#questions = new Questions(() => this.#root.focus({ preventScroll: true }), host);
    this.#feed = feed;
    this.#record = record;
    this.#cancel = button("Cancel", "pmcp-button pmcp-cancel", () => this.#askCancel());
    const header = element(
      "header",
      "pmcp-card-header",
      this.#badge.node,
      element("div", "pmcp-card-name", this.#tool, this.#server, this.#id),
      this.#link,
      this.#elapsed,
      this.#cancel,
    );
    this.#trouble.dataset.tone = "warning";
    this.#trouble.setAttribute("role", "status");
    this.#visiting.dataset.tone = "info";
    this.#visiting.setAttribute("role", "status");
    this.#link.setAttribute("role", "status");
    this.#body = element(
      "div",
      "pmcp-card-body",
      element("div", "pmcp-card-progress", this.#progress.node, this.#message),
      this.#trouble,
      this.#visiting,
      this.#questions.node,
      this.#lifecycle.node,
      this.#variables.node,
      this.#outcome.node,
      this.#stderr.node,
      this.#raw.node,
    );
    this.#root.append(header, this.#body, this.#empty, this.#questions.news);
    this.#root.tabIndex = -1;
    followTheme(this.#root, signal);
    el.append(this.#root);
    this.#paint();
    const channel = new Channel({
      model,
      signal,
      seq: () => feed.seq,
      open: () => record.row === null || isLive(record.row),
      receive: (message) => this.#receive(message),
      linked: (link) => this.#linked(link),
    });
    this.#channel = channel;
    this.#questions.connect(channel);
    this.#linked(channel.link);
    feed.attach(channel, () => this.#schedule(), signal);
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.#frame);
      this.#stopTicking?.();
      this.#stopTicking = null;
      this.#questions.end();
      this.#root.remove();
    });
  }

  #receive(message: Message): void {
    if (message.kind === "raw") this.#raw.receive(String(message.text));
    else if (message.kind === "refused") {
      this.#asked = false;
      this.#schedule();
    } else this.#questions.receive(message);
  }

  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint(): void {
    const { row, history, questions, visiting } = this.#record;
    this.#empty.hidden = row !== null;
    this.#body.hidden = row === null;
    this.#root.firstElementChild?.toggleAttribute("hidden", row === null);
    if (!row) return;
    this.#paintHead(row);
    this.#progress.set(row);
    // A server may say its question twice; the form below says it better.
    const repeated = questions.some((asked) => asked.message === row.message);
    this.#paintMessage(repeated ? "" : (row.message ?? ""));
    this.#message.hidden = repeated;
    this.#trouble.hidden = row.trouble === null;
    // Trouble may be that the task could not be cancelled: the wish can be repeated then.
    if (setText(this.#trouble, row.trouble ?? "")) this.#asked = false;
    this.#visiting.hidden = visiting === null || !isLive(row);
    const done = visiting && `Waiting for ${visiting} to report that you are done there.`;
    setText(this.#visiting, done ?? "");
    this.#questions.show(questions, row.server);
    this.#lifecycle.show(row, history);
    this.#variables.show(row.variables);
    this.#outcome.show(row);
    this.#stderr.show(this.#record.stderr, row.status !== "completed");
    this.#raw.show(row);
    this.#showCancel(row);
    this.#tick(row);
    const running = isLive(row) && !this.#feed.clock.frozen;
    if (running === (this.#stopTicking !== null)) return;
    this.#stopTicking?.();
    this.#stopTicking = running ? everySecond(() => this.#tick(this.#record.row)) : null;
  }

  #paintHead(row: Row): void {
    this.#root.setAttribute("aria-label", `Task ${row.tool}`);
    this.#root.dataset.status = row.status;
    this.#badge.set(row.status);
    setText(this.#tool, row.tool);
    setText(this.#server, row.server);
    setText(this.#id, row.taskId);
    setAttribute(this.#id, "title", row.taskId);
  }

  #paintMessage(message: string): void {
    if (setText(this.#message, message)) {
      if (this.#painted) flash(this.#message);
      setAttribute(this.#message, "title", message || null);
    }
    this.#painted = true;
  }

  #tick(row: Row | null): void {
    if (!row) return;
    const now = this.#feed.clock.now();
    const time = elapsed(row, now);
    this.#lifecycle.tick(row, now);
    if (setText(this.#elapsed, duration(time))) setAttribute(this.#elapsed, "title", spoken(time));
  }

  #askCancel(): void {
    const { row } = this.#record;
    if (!row || this.#cancel.ariaDisabled === "true") return;
    this.#asked = true;
    this.#showCancel(row);
    this.#channel?.send({ kind: "action", action: "cancel", key: row.key });
  }

  #showCancel(row: Row): void {
    this.#cancel.hidden = !isLive(row);
    // A button that is really disabled would lose the keyboard's focus.
    const dead = this.#asked || this.#channel?.link === "static";
    setAttribute(this.#cancel, "aria-disabled", dead ? "true" : null);
    setText(this.#cancel, this.#asked ? "Cancelling" : "Cancel");
    setAttribute(this.#cancel, "aria-label", `Cancel ${row.tool}`);
  }

  #linked(link: Link): void {
    this.#questions.dead = link === "static";
    showText(this.#link, this.#channel ? linkText(this.#channel) : "");
    this.#schedule();
  }
}
