import { type Kernel, kernelOf, type Model } from "./anywidget";

/** Milliseconds until the kernel is asked for what it has not answered, and then as long as it has not. */
const FIRST_ASK_MS = 1000;
const NEXT_ASK_MS = 2000;
/** Between two looks at whether anything was missed, while something may still change. */
const CHECK_MS = 5000;
/** An ask that is not answered is repeated after the first ask's pause, then twice that, and so on up to this. */
const LONGEST_PAUSE_MS = 15_000;
/** Between an ask and the next for which the kernel gives occasion: its answer makes it idle, too. */
const OCCASION_MS = 1000;
/** A timer as late as this was asleep with its page. */
const ASLEEP_MS = 2000;

/** How far the kernel is with a view: its last change, the last command it took, its last reply, the first it still has. */
export type Standing = [seq: number, taken: number, said: number, first: number];

/** A view, as far as the line to its kernel is concerned. */
export interface Member {
  readonly view: string;
  /** The last reply that it has. */
  readonly heard: number;
  /** Something is unanswered. */
  readonly waiting: boolean;
  /** Something may still change, and somebody sees it. */
  readonly open: boolean;
  /** As it is, and no promise that it arrives. */
  post(message: object): void;
  /** The answer to the nth ping; null when the kernel has not heard of it yet. */
  told(standing: Standing | null, n: number): void;
  linked(): void;
}

/**
 * The line to a kernel, shared by all views of a page that have it: whether it answers, and what was missed.
 *
 * Whatever is lost on the way, a view learns from the answer to a ping, which says how far the kernel is. One ping asks
 * for all views, at most one is under way, and it is repeated until it is answered. What the kernel streams by itself
 * proves nothing: it can talk while it cannot listen.
 */
export class Line {
  /** How many pings were sent. */
  n = 0;
  readonly #members = new Set<Member>();
  readonly #kernel: Kernel;
  #answered = 0;
  /** How often it was asked without an answer, since when, and when last. */
  #tries = 0;
  #since = 0;
  #last = -Infinity;
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    this.#kernel = kernelOf(model) ?? {};
    // For good, as the kernel's own life: there is one line to each.
    this.#kernel.statusChanged?.connect((_, status) => {
      if (status === "idle") this.#occasion();
    });
    this.#kernel.connectionStatusChanged?.connect((_, status) => {
      this.#last = -Infinity;
      if (status === "connected") this.#occasion();
      this.#tell();
    });
    document.addEventListener("visibilitychange", () => {
      // While the page slept, no answer could come.
      this.#since = performance.now();
      this.#occasion();
    });
  }

  join(member: Member): void {
    this.#members.add(member);
  }

  leave(member: Member): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tries = 0;
  }

  /** What is to be said of it; nothing while the kernel answers, as far as is known. */
  text(whom: string): string {
    const { connectionStatus = "connected" } = this.#kernel;
    if (connectionStatus !== "connected") return `no connection to the ${whom}`;
    if (this.#tries < 2) return "";
    // "Over", to be true until it is said anew. Not that the kernel is busy: who lost messages can't know.
    const time = Math.max(1, Math.floor((performance.now() - this.#since) / 1000));
    return `no answer from the ${whom} for over ${time} s, asking again`;
  }

  /** Something was sent that will be answered. */
  expect(): void {
    this.#plan(FIRST_ASK_MS);
  }

  /** Something came. */
  stir(): void {
    this.#plan(CHECK_MS);
  }

  pong(n: number, views: Record<string, Standing | null> = {}): void {
    if (!(n > this.#answered)) return;
    const silent = this.#tries > 1;
    this.#answered = n;
    this.#tries = 0;
    this.#last = performance.now();
    for (const member of [...this.#members]) {
      const standing = views[member.view];
      if (standing !== undefined) member.told(standing, n);
      if (silent) member.linked();
    }
    this.#wait(this.#those("waiting").length > 0 ? NEXT_ASK_MS : CHECK_MS);
  }

  /** There is reason to think that the kernel hears again, or that something was missed. */
  #occasion(): void {
    if (document.hidden) return;
    const wait = this.#last + OCCASION_MS - performance.now();
    if (wait <= 0) this.#ask([...this.#members], 1);
    else if (this.#tries > 0) this.#wait(wait);
  }

  #those(what: "waiting" | "open"): Member[] {
    return [...this.#members].filter((member) => member[what]);
  }

  /** Look after so many milliseconds, unless that is to be done sooner; an ask under way has its own time. */
  #plan(delay: number): void {
    if (this.#timer && (this.#tries > 0 || this.#due <= performance.now() + delay)) return;
    this.#wait(delay);
  }

  #wait(delay: number): void {
    clearTimeout(this.#timer);
    this.#due = performance.now() + delay;
    this.#timer = setTimeout(() => this.#look(), delay);
  }

  #look(): void {
    const now = performance.now();
    this.#timer = undefined;
    const waiting = this.#those("waiting");
    const rest = this.#last + CHECK_MS - now;
    if (this.#tries > 0 || waiting.length > 0 || rest <= 0)
      this.#ask(
        [...new Set([...waiting, ...this.#those("open")])],
        // No answer could come to a page that slept.
        now - this.#due > ASLEEP_MS ? 0 : this.#tries,
      );
    else if (this.#those("open").length > 0) this.#wait(rest);
  }

  /** @param most Tries that count so far: an occasion begins the pauses anew. */
  #ask(asked: Member[], most: number): void {
    // Another one each time: one comm may be deaf.
    const speaker = asked[this.n % asked.length];
    const now = performance.now();
    const before = this.#tries;
    const tries = Math.min(before, most);
    if (tries === 0) this.#since = now;
    this.#tries = speaker ? tries + 1 : 0;
    if (before > 1 || tries > 0) this.#tell();
    if (!speaker) return;
    this.#last = now;
    this.n += 1;
    const views = Object.fromEntries(asked.map(({ view, heard }) => [view, heard]));
    speaker.post({ kind: "ping", n: this.n, views });
    this.#wait(Math.min(FIRST_ASK_MS * 2 ** (this.#tries - 1), LONGEST_PAUSE_MS));
  }

  #tell(): void {
    for (const member of [...this.#members]) member.linked();
  }
}

const lines = new WeakMap<object, Line>();

/** The one for the model's kernel; for the model alone where the front end does not tell whose kernel it is. */
export function lineOf(model: Model): Line {
  const key = kernelOf(model) ?? model;
  const line = lines.get(key) ?? new Line(model);
  lines.set(key, line);
  return line;
}
