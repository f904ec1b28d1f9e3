import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Model } from "../src/shared/anywidget";
import { Channel, type Link, type Message } from "../src/shared/channel";
import { Feed } from "../src/shared/feed";
import { linkText } from "../src/shared/link-text";

class FakeModel implements Model {
  readonly sent: Message[] = [];
  readonly listeners = new Map<string, Set<(value: unknown) => void>>();
  constructor(
    readonly state: Record<string, unknown> = {},
    readonly widget_manager?: unknown,
  ) {}
  get(name: string): unknown {
    return this.state[name];
  }
  set(name: string, value: unknown): void {
    this.state[name] = value;
  }
  save_changes(): void {}
  send(content: object): void {
    this.sent.push(content as Message);
  }
  on(event: string, callback: (value: unknown) => void): void {
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set.add(callback));
  }
  off(event: string, callback: (value: unknown) => void): void {
    this.listeners.get(event)?.delete(callback);
  }
  emit(event: string, value?: unknown): void {
    for (const each of [...(this.listeners.get(event) ?? [])]) each(value);
  }
  say(message: unknown): void {
    this.emit("msg:custom", message);
  }
  kinds(): string[] {
    return this.sent.map((each) => each.kind);
  }
}

/** A kernel as Jupyter's front ends hand it out. */
class FakeKernel {
  status = "idle";
  connectionStatus = "connected";
  readonly slots = new Set<(sender: unknown, value: string) => void>();
  readonly connections = new Set<(sender: unknown, value: string) => void>();
  readonly statusChanged = {
    connect: (slot: () => void) => this.slots.add(slot),
    disconnect: (slot: () => void) => this.slots.delete(slot),
  };
  readonly connectionStatusChanged = {
    connect: (slot: () => void) => this.connections.add(slot),
    disconnect: (slot: () => void) => this.connections.delete(slot),
  };
  become(status: string): void {
    this.status = status;
    for (const slot of this.slots) slot(this, status);
  }
  connect(status: string): void {
    this.connectionStatus = status;
    for (const slot of this.connections) slot(this, status);
  }
}

function open(
  state: Record<string, unknown> = {},
  {
    helloDelay,
    kernel,
    ...more
  }: { helloDelay?: number; kernel?: FakeKernel; open?: boolean } = {},
) {
  const model = new FakeModel(state, kernel && { kernel });
  const life = new AbortController();
  const links: Link[] = [];
  const received: Message[] = [];
  const told: { seq: number; open: boolean } = { seq: 0, open: more.open ?? false };
  const channel = new Channel({
    model,
    signal: life.signal,
    seq: () => told.seq,
    open: () => told.open,
    receive: (message) => received.push(message),
    linked: (link) => links.push(link),
    ...(helloDelay === undefined ? {} : { helloDelay }),
  });
  /** The kernel answers the last ping, which asked for the view as for all others of the page. */
  const pong = (standing: object | null = {}) => {
    const ping = model.sent.filter((each) => each.kind === "ping").at(-1);
    const command = Math.max(0, ...model.sent.map((each) => Number(each.command ?? 0)));
    const all = { seq: told.seq, taken: command, said: channel.heard, first: 1, ...standing };
    const views = { [channel.view]: standing && [all.seq, all.taken, all.said, all.first] };
    model.say({ kind: "pong", to: channel.view, n: ping?.n, views });
  };
  return { model, life, links, received, channel, told, pong };
}

class Page extends EventTarget {
  hidden = false;
  show(shown: boolean): void {
    this.hidden = !shown;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}
let page: Page;

beforeEach(() => {
  vi.useFakeTimers();
  page = new Page();
  vi.stubGlobal("document", page);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a view's channel", () => {
  it("says hello with the last delta it knows, and bye", () => {
    const { model, life, channel } = open();
    const { view } = channel;
    expect(model.sent).toEqual([{ kind: "hello", view, seq: 0, heard: 0 }]);
    life.abort();
    expect(model.sent.at(-1)).toEqual({ kind: "bye", view, command: 1 });
    expect([...model.listeners.values()].every((set) => set.size === 0)).toBe(true);
    vi.advanceTimersByTime(60_000);
    expect(model.kinds()).toEqual(["hello", "bye"]);
  });

  it("says hello later where something else comes first, and not after its end", () => {
    const { model } = open({}, { helloDelay: 1000 });
    const { model: short, life } = open({}, { helloDelay: 1000 });
    vi.advanceTimersByTime(999);
    expect(model.sent).toEqual([]);
    life.abort();
    vi.advanceTimersByTime(1);
    expect(model.kinds()).toEqual(["hello"]);
    vi.advanceTimersByTime(5000);
    expect(short.kinds()).toEqual(["bye"]);
  });

  it("hears what is for it or for all", () => {
    const { model, received, channel } = open();
    model.say({ kind: "x", to: "another" });
    model.say({ kind: "y", to: channel.view });
    model.say({ kind: "z" });
    model.say("nonsense");
    model.say({ to: channel.view });
    expect(received.map((each) => each.kind)).toEqual(["y", "z"]);
  });

  it("asks once however many gaps it sees, and again after the answer", () => {
    const { model, channel, told } = open();
    channel.hello();
    channel.hello();
    expect(model.kinds()).toEqual(["hello"]);
    model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
    told.seq = 4;
    channel.hello();
    expect(model.sent.at(-1)).toEqual({ kind: "hello", view: channel.view, seq: 4, heard: 0 });
  });

  it("makes sure once that it has all, and is silent then", () => {
    const { model, links, channel, pong } = open();
    model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
    vi.advanceTimersByTime(1000);
    const views = { [channel.view]: 0 };
    expect(model.sent.at(-1)).toEqual({ kind: "ping", view: channel.view, n: 1, views });
    pong();
    vi.advanceTimersByTime(600_000);
    expect(model.kinds()).toEqual(["hello", "ping"]);
    expect(links).toEqual([]);
  });

  it("looks from time to time while something may change, and not while nobody sees it", () => {
    const { model, pong } = open({}, { open: true });
    vi.advanceTimersByTime(1000);
    for (let n = 0; n < 3; n += 1) {
      pong();
      vi.advanceTimersByTime(4999);
      expect(model.kinds()).toHaveLength(2 + n);
      vi.advanceTimersByTime(1);
    }
    pong();
    page.show(false);
    vi.advanceTimersByTime(600_000);
    expect(model.kinds()).toHaveLength(5);
    page.show(true);
    expect(model.kinds()).toHaveLength(6);
  });

  it("asks again after longer and longer pauses until it is answered, and says for how long", () => {
    const { model, links, channel, pong } = open();
    const times: number[] = [];
    for (let second = 1; second <= 60; second += 1) {
      vi.advanceTimersByTime(1000);
      while (times.length < model.kinds().length - 1) times.push(second);
    }
    expect(times).toEqual([1, 2, 4, 8, 16, 31, 46]);
    expect(links[0]).toBe("busy");
    expect(linkText(channel)).toBe("no answer from the kernel for over 59 s, asking again");
    pong();
    expect(channel.link).toBe("live");
    expect(links.at(-1)).toBe("live");
    expect(linkText(channel)).toBe("");
  });

  it("does not take a stream for an answer", () => {
    const { model, channel } = open();
    for (let n = 0; n < 30; n += 1) {
      model.say({ kind: "delta", seq: n });
      vi.advanceTimersByTime(100);
    }
    expect(channel.link).toBe("busy");
  });

  it("does not count the time that a page slept", () => {
    const { channel } = open();
    vi.advanceTimersByTime(1000);
    // The timers of a page that sleeps are late.
    const now = performance.now();
    vi.setSystemTime(Date.now() + 600_000);
    vi.spyOn(performance, "now").mockReturnValue(now + 600_000);
    vi.advanceTimersByTime(1000);
    expect(channel.link).toBe("live");
    vi.restoreAllMocks();
  });

  it("says so when a page that slept hears the kernel again", () => {
    const { channel, links, pong } = open();
    vi.advanceTimersByTime(4000);
    expect(links.at(-1)).toBe("busy");
    const now = performance.now();
    const clock = vi.spyOn(performance, "now").mockReturnValue(now + 600_000);
    vi.advanceTimersByTime(4000);
    expect([channel.link, links.at(-1)]).toEqual(["live", "live"]);
    clock.mockRestore();
    pong();
    expect([channel.link, links.at(-1)]).toEqual(["live", "live"]);
  });

  it("says no more of it when nothing is wanted any more", () => {
    const { channel, links, told, pong } = open({}, { open: true });
    vi.advanceTimersByTime(1000);
    pong();
    vi.advanceTimersByTime(10_000);
    expect(links.at(-1)).toBe("busy");
    told.open = false;
    vi.advanceTimersByTime(10_000);
    expect([channel.link, links.at(-1)]).toEqual(["live", "live"]);
  });

  it("keeps asking during a slow call", () => {
    const { model, links, channel, pong } = open();
    vi.advanceTimersByTime(1000);
    pong();
    channel.expect();
    vi.advanceTimersByTime(1000);
    pong();
    vi.advanceTimersByTime(2000);
    pong();
    expect(model.kinds()).toEqual(["hello", "ping", "ping", "ping"]);
    channel.settle();
    vi.advanceTimersByTime(60_000);
    expect(model.kinds()).toEqual(["hello", "ping", "ping", "ping"]);
    expect(links).toEqual([]);
  });

  it("says a command again until it is taken, in its order, and no other", () => {
    const { model, channel, pong } = open();
    channel.send({ kind: "a" });
    channel.send({ kind: "b" });
    channel.send({ kind: "c" });
    vi.advanceTimersByTime(1000);
    channel.send({ kind: "d" });
    pong({ taken: 1 });
    // What was sent after the ping is still on its way.
    expect(model.kinds()).toEqual(["hello", "a", "b", "c", "ping", "d", "b", "c"]);
    expect(model.sent.at(-1)).toEqual({ kind: "c", view: channel.view, command: 3 });
    vi.advanceTimersByTime(2000);
    pong({ taken: 4 });
    vi.advanceTimersByTime(60_000);
    expect(model.kinds().slice(8)).toEqual(["ping"]);
  });

  it("says again before its bye what may be lost", () => {
    const { model, life, channel } = open();
    channel.send({ kind: "cancel" });
    life.abort();
    expect(model.kinds()).toEqual(["hello", "cancel", "cancel", "bye"]);
  });

  it("hears each reply once and in its order, and asks for what it missed", () => {
    const { model, received, channel, pong } = open();
    const reply = (number: number) =>
      model.say({ kind: "r", to: channel.view, reply: number, text: number });
    vi.advanceTimersByTime(1000);
    pong();
    reply(1);
    reply(1);
    reply(3);
    expect(model.sent.at(-1)).toEqual({ kind: "hello", view: channel.view, seq: 0, heard: 1 });
    reply(2);
    reply(3);
    reply(2);
    model.say({ kind: "r", replies: { [channel.view]: 4, other: 9 }, text: 4 });
    model.say({ kind: "r", replies: { [channel.view]: 4, other: 9 }, text: 4 });
    expect(received.map((each) => each.text)).toEqual([1, 2, 3, 4]);
  });

  it("notices what was lost last: a delta, a reply, its hello", () => {
    for (const standing of [{ seq: 1 }, { said: 1 }, null]) {
      const { model, channel, pong } = open({}, { open: true });
      model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
      vi.advanceTimersByTime(1000);
      pong(standing);
      expect(model.kinds()).toEqual(["hello", "ping", "hello"]);
    }
  });

  it("does without what the kernel no longer has", () => {
    const { model, channel, received, pong } = open();
    vi.advanceTimersByTime(1000);
    pong({ said: 9, first: 8 });
    expect(channel.heard).toBe(7);
    model.say({ kind: "r", to: channel.view, reply: 8 });
    expect(received).toHaveLength(1);
  });

  it("believes no answer that is older than another", () => {
    const { model, channel, told } = open();
    vi.advanceTimersByTime(3000);
    const say = (n: number, seq: number) => {
      const views = { [channel.view]: [seq, 0, 0, 1] };
      model.say({ kind: "pong", to: channel.view, n, views });
    };
    told.seq = 5;
    say(2, 5);
    const before = model.sent.length;
    say(1, 9);
    say(2, 9);
    expect(model.sent).toHaveLength(before);
  });

  it("sends nothing where there is no comm, and comes back with it", () => {
    const layout = { comm_live: false };
    const { model, links, channel } = open({ layout });
    expect(channel.link).toBe("static");
    expect(linkText(channel)).toBe("no live kernel: static snapshot");
    channel.send({ kind: "cancel" });
    vi.advanceTimersByTime(10_000);
    expect(model.sent).toEqual([]);
    layout.comm_live = true;
    model.emit("comm_live_update");
    vi.advanceTimersByTime(1);
    expect(links).toEqual(["live"]);
    expect(model.kinds()).toEqual(["hello"]);
  });
});

describe("the line to a kernel", () => {
  it("asks at once when the kernel becomes idle, and not because it answered", () => {
    const kernel = new FakeKernel();
    const { model, pong } = open({}, { kernel });
    vi.advanceTimersByTime(10_000);
    const before = model.kinds().length;
    kernel.become("busy");
    expect(model.kinds()).toHaveLength(before);
    kernel.become("idle");
    expect(model.kinds()).toHaveLength(before + 1);
    pong();
    for (let n = 0; n < 5; n += 1) kernel.become("idle");
    expect(model.kinds()).toHaveLength(before + 1);
    vi.advanceTimersByTime(1000);
    kernel.become("idle");
    expect(model.kinds()).toHaveLength(before + 2);
    expect(kernel.slots.size).toBe(1);
  });

  it("says that the kernel is not connected, where it can know", () => {
    const kernel = new FakeKernel();
    const { model, channel, links, life, pong } = open({}, { kernel, open: true });
    kernel.become("busy");
    vi.advanceTimersByTime(4000);
    expect(linkText(channel)).toBe("no answer from the kernel for over 3 s, asking again");
    pong();
    kernel.connect("connecting");
    expect([channel.link, links.at(-1)]).toEqual(["busy", "busy"]);
    expect(linkText(channel)).toBe("no connection to the kernel");
    const before = model.kinds().length;
    kernel.connect("connected");
    expect(model.kinds()).toHaveLength(before + 1);
    expect(links.at(-1)).toBe("live");
    life.abort();
    const after = model.kinds().length;
    kernel.become("idle");
    vi.advanceTimersByTime(60_000);
    expect(model.kinds()).toHaveLength(after);
  });

  it("says nothing to those who want nothing", () => {
    const kernel = new FakeKernel();
    const { channel, pong, told } = open({}, { kernel });
    vi.advanceTimersByTime(1000);
    pong();
    kernel.connect("disconnected");
    expect([channel.link, linkText(channel)]).toEqual(["live", ""]);
    told.open = true;
    expect([channel.link, linkText(channel)]).toEqual(["busy", "no connection to the kernel"]);
  });

  it("asks for all views of a kernel at once", () => {
    const kernel = new FakeKernel();
    const views = Array.from({ length: 100 }, () => open({}, { kernel, open: true }));
    vi.advanceTimersByTime(1000);
    const pings = () =>
      views.flatMap(({ model }) => model.sent).filter(({ kind }) => kind === "ping");
    expect(pings()).toHaveLength(1);
    expect(Object.keys(pings()[0]?.views as object)).toHaveLength(100);
    vi.advanceTimersByTime(15_000);
    // The one that asked may be the one that is not heard.
    expect(new Set(pings().map(({ view }) => view)).size).toBe(pings().length);
  });

  it("makes no more of it the longer a kernel is silent", () => {
    const kernel = new FakeKernel();
    const views = Array.from({ length: 100 }, () => open({}, { kernel, open: true }));
    vi.advanceTimersByTime(600_000);
    const pings = views.flatMap(({ model }) => model.sent).filter(({ kind }) => kind === "ping");
    expect(pings.length).toBeLessThan(50);
  });
});

describe("a model's feed", () => {
  function feed(state: Record<string, unknown> = {}) {
    const model = new FakeModel(state);
    const life = new AbortController();
    const applied: number[] = [];
    const replaced: unknown[] = [];
    const made = new Feed(model, life.signal, {
      replace: (value) => replaced.push(value),
      apply: (delta) => applied.push(delta.seq as number),
    });
    const view = () => {
      const channel = new Channel({
        model,
        signal: life.signal,
        seq: () => made.seq,
        open: () => false,
        receive: () => {},
        linked: () => {},
      });
      made.attach(channel, () => {}, life.signal);
      return channel;
    };
    return { model, made, applied, replaced, view };
  }

  it("starts from the trait", () => {
    const { made, replaced } = feed({ _state: { seq: 7, now: 1000, state: { rows: [] } } });
    expect(made.seq).toBe(7);
    expect(replaced).toEqual([{ rows: [] }]);
  });

  it("applies each delta once however many views there are", () => {
    const { model, applied, view } = feed();
    view();
    view();
    model.say({ kind: "delta", seq: 1, now: 1 });
    model.say({ kind: "delta", seq: 2, now: 2 });
    expect(applied).toEqual([1, 2]);
  });

  it("says hello at a gap, drops what follows, and takes the state that answers", () => {
    const { model, made, applied, replaced, view } = feed();
    const channel = view();
    model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
    model.say({ kind: "delta", seq: 1, now: 1 });
    model.say({ kind: "delta", seq: 3, now: 1 });
    model.say({ kind: "delta", seq: 4, now: 1 });
    expect(applied).toEqual([1]);
    expect(model.sent.filter((each) => each.kind === "hello")).toEqual([
      { kind: "hello", view: channel.view, seq: 0, heard: 0 },
      { kind: "hello", view: channel.view, seq: 1, heard: 0 },
    ]);
    model.say({ kind: "state", to: channel.view, seq: 4, now: 1, state: "all" });
    model.say({ kind: "delta", seq: 5, now: 1 });
    expect(replaced).toEqual(["all"]);
    expect(applied).toEqual([1, 5]);
    expect(made.seq).toBe(5);
  });

  it("applies nothing twice, and nothing that is old", () => {
    const { model, made, applied, replaced, view } = feed({
      _state: { seq: 1, now: 1, state: "first" },
    });
    const channel = view();
    for (const seq of [2, 2, 1, 3]) model.say({ kind: "delta", seq, now: 1 });
    model.say({ kind: "state", to: channel.view, seq: 2, now: 1, state: "late" });
    model.say({ kind: "state", to: channel.view, seq: 3, now: 1, state: "twice" });
    expect(applied).toEqual([2, 3]);
    expect(replaced).toEqual(["first"]);
    expect(made.seq).toBe(3);
    expect(model.kinds()).toEqual(["hello"]);
    model.say({ kind: "rows", seq: 5, now: 1 });
    expect(model.kinds()).toEqual(["hello", "hello"]);
  });

  it("waits for a view to ask when nobody looks", () => {
    const { model, made, view } = feed();
    model.say({ kind: "delta", seq: 9, now: 1 });
    expect(model.sent).toEqual([]);
    expect(made.seq).toBe(0);
    view();
    expect(model.sent[0]?.seq).toBe(0);
  });

  it("keeps the kernel's clock, and stops it in a snapshot", () => {
    vi.setSystemTime(50_000);
    const live = feed({ _state: { seq: 1, now: 1000, state: {} } });
    vi.advanceTimersByTime(3000);
    expect(live.made.clock.now()).toBe(4000);
    const still = feed({
      layout: { comm_live: false },
      _state: { seq: 1, now: 1000, state: {} },
    });
    vi.advanceTimersByTime(3000);
    expect(still.made.clock.now()).toBe(1000);
  });
});
