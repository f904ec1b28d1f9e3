import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Model } from "../src/shared/anywidget";
import { Channel, type Message } from "../src/shared/channel";
import { Feed } from "../src/shared/feed";
import type { Link } from "../src/shared/liveness";

class FakeModel implements Model {
  readonly sent: Message[] = [];
  readonly listeners = new Map<string, Set<(value: unknown) => void>>();
  constructor(readonly state: Record<string, unknown> = {}) {}
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

function open(state: Record<string, unknown> = {}, helloDelay?: number) {
  const model = new FakeModel(state);
  const life = new AbortController();
  const links: Link[] = [];
  const received: Message[] = [];
  let seq = 0;
  const channel = new Channel({
    model,
    signal: life.signal,
    seq: () => seq,
    receive: (message) => received.push(message),
    linked: (link) => links.push(link),
    ...(helloDelay === undefined ? {} : { helloDelay }),
  });
  const at = (value: number) => {
    seq = value;
  };
  return { model, life, links, received, channel, at };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a view's channel", () => {
  it("says hello with the last delta it knows, and bye", () => {
    const { model, life, channel } = open();
    expect(model.sent).toEqual([{ kind: "hello", view: channel.view, seq: 0 }]);
    life.abort();
    expect(model.sent.at(-1)).toEqual({ kind: "bye", view: channel.view });
    expect([...model.listeners.values()].every((set) => set.size === 0)).toBe(true);
  });

  it("says hello later where something else comes first, and not after its end", () => {
    const { model } = open({}, 1000);
    const { model: short, life } = open({}, 1000);
    vi.advanceTimersByTime(999);
    expect(model.sent).toEqual([]);
    life.abort();
    vi.advanceTimersByTime(1000);
    expect(model.kinds()).toEqual(["hello"]);
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
    const { model, channel, at } = open();
    channel.hello();
    channel.hello();
    expect(model.kinds()).toEqual(["hello"]);
    model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
    at(4);
    channel.hello();
    expect(model.sent.at(-1)).toEqual({ kind: "hello", view: channel.view, seq: 4 });
  });

  it("pings after a second without an answer and calls the kernel busy after another", () => {
    const { model, links, channel } = open();
    vi.advanceTimersByTime(999);
    expect(model.kinds()).toEqual(["hello"]);
    vi.advanceTimersByTime(1);
    expect(model.sent.at(-1)).toEqual({ kind: "ping", view: channel.view, n: 1 });
    vi.advanceTimersByTime(999);
    expect(links).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(links).toEqual(["busy"]);
    vi.advanceTimersByTime(60_000);
    expect(model.kinds()).toEqual(["hello", "ping"]);
    model.say({ kind: "pong", to: channel.view, n: 1 });
    expect(links).toEqual(["busy", "live"]);
  });

  it("does not take a stream for an answer", () => {
    const { model, links } = open();
    for (let n = 0; n < 30; n += 1) {
      model.say({ kind: "delta", seq: n });
      vi.advanceTimersByTime(100);
    }
    expect(links).toEqual(["busy"]);
  });

  it("keeps asking during a slow call, and is silent when nothing is awaited", () => {
    const { model, links, channel } = open();
    model.say({ kind: "welcome", to: channel.view, seq: 0, now: 1 });
    vi.advanceTimersByTime(10_000);
    expect(model.kinds()).toEqual(["hello"]);
    channel.expect();
    vi.advanceTimersByTime(1000);
    model.say({ kind: "pong", to: channel.view, n: 1 });
    vi.advanceTimersByTime(2000);
    expect(model.kinds()).toEqual(["hello", "ping", "ping"]);
    model.say({ kind: "pong", to: channel.view, n: 2 });
    channel.settle();
    vi.advanceTimersByTime(60_000);
    expect(model.kinds()).toEqual(["hello", "ping", "ping"]);
    expect(links).toEqual([]);
  });

  it("sends nothing where there is no comm, and comes back with it", () => {
    const layout = { comm_live: false };
    const { model, links, channel } = open({ layout });
    expect(channel.link).toBe("static");
    vi.advanceTimersByTime(10_000);
    expect(model.sent).toEqual([]);
    layout.comm_live = true;
    model.emit("comm_live_update");
    vi.advanceTimersByTime(1);
    expect(links).toEqual(["live"]);
    expect(model.kinds()).toEqual(["hello"]);
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
      { kind: "hello", view: channel.view, seq: 0 },
      { kind: "hello", view: channel.view, seq: 1 },
    ]);
    model.say({ kind: "state", to: channel.view, seq: 4, now: 1, state: "all" });
    model.say({ kind: "delta", seq: 5, now: 1 });
    expect(replaced).toEqual(["all"]);
    expect(applied).toEqual([1, 5]);
    expect(made.seq).toBe(5);
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
