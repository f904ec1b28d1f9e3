/** One widget of the page: its app in the real host, and the recorded calls that it can be shown with. */
import type { Call } from "../app-view/traits";
import { AppView } from "../app-view/view";
import { button, element, setText } from "../shared/dom";
import { PageModel } from "../shared/page-model";
import { type Known, type Recorded, RecordedServer } from "./server";

type Json = Record<string, unknown>;

export interface WidgetData {
  title: string;
  description: string;
  tool: string | null;
  /** Places among all recorded calls. */
  calls: number[];
  resource: Json;
}

interface Sent {
  kind: string;
  view: string;
  seq?: number;
  n?: number;
  call?: number;
  command?: number;
  name?: string;
  event?: string;
  payload?: Json;
}

const LABEL = 70;

function label({ tool, arguments: given, error }: Recorded): string {
  const text = Object.entries(given)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join(", ");
  const whole = `${tool}(${text})${error ? " – error" : ""}`;
  return whole.length > LABEL ? `${whole.slice(0, LABEL - 1)}…` : whole;
}

export class Widget {
  readonly node = element("section", "ld-widget");
  readonly #missed = element("p", "pmcp-bar ld-missed");
  readonly #stage = element("div");
  readonly #server: RecordedServer;
  readonly #waiting = new Map<number, ReturnType<typeof setTimeout>>();
  #taken = 0;
  #number = 1;
  #model: PageModel;
  #life = new AbortController();

  constructor(
    private readonly data: WidgetData,
    private readonly known: Known,
    private readonly host: Json,
  ) {
    this.#server = new RecordedServer(known, (tool) => this.#note(tool));
    this.#missed.hidden = true;
    this.#missed.dataset.tone = "warning";
    this.#missed.setAttribute("role", "status");
    const title = element("h2", "", data.title);
    const head = element("div", "ld-head", title, this.#choices());
    this.node.append(head);
    if (data.description) this.node.append(element("p", "ld-about", data.description));
    this.node.append(this.#missed, this.#stage);
    this.node.setAttribute("aria-label", data.title);
    this.#model = this.#open();
  }

  #open(): PageModel {
    const [first] = this.data.calls;
    const model = new PageModel(
      {
        _resource: this.data.resource,
        _host: this.host,
        _call: this.#call(first),
        _storage: {},
        _prelude: this.known.code.prelude,
      },
      (content) => this.#receive(content as Sent),
    );
    new AppView(model, this.#stage, this.#life.signal);
    return model;
  }

  /** The `_call` trait of a recorded call; without one the app is shown before any. */
  #call(place: number | undefined): Call {
    const recorded = place === undefined ? undefined : this.known.calls[place];
    const name = recorded?.tool ?? this.data.tool;
    const tool = this.known.tools.find((each) => each.name === name) ?? null;
    return {
      tool,
      number: this.#number,
      arguments: recorded?.arguments ?? null,
      partial: null,
      result: recorded?.result ?? null,
      cancelled: recorded?.error ? recorded.error.message : null,
      error: recorded?.error ? recorded.error.message : null,
    };
  }

  #choices(): HTMLElement | null {
    if (this.data.calls.length < 2) return null;
    const select = element("select", "ld-select");
    select.setAttribute("aria-label", `Shown call of ${this.data.title}`);
    for (const place of this.data.calls) {
      const option = element("option", "", label(this.known.calls[place] as Recorded));
      option.value = String(place);
      select.append(option);
    }
    select.addEventListener("change", () => {
      this.#number += 1;
      this.#model.assign({ _call: this.#call(Number(select.value)) });
    });
    return select;
  }

  #receive({ kind, view, seq, n, call, name, event, payload, command }: Sent): void {
    this.#taken = command ?? this.#taken;
    switch (kind) {
      case "hello":
        this.#say({ kind: "welcome", to: view, seq, now: Date.now() });
        break;
      case "ping":
        // Nothing is lost between the two.
        this.#say({ kind: "pong", to: view, n, views: { [view]: [0, this.#taken, 0, 1] } });
        break;
      case "rpc":
        this.#answer(view, Number(call), payload ?? {});
        break;
      case "code":
        // What is not there is for people who develop an app.
        if (typeof name === "string" && Object.hasOwn(this.known.code, name)) {
          const code = { name, module: this.known.code[name], style: "" };
          this.#say({ kind: "code", to: view, payload: code });
        }
        break;
      case "rpc-cancel":
        clearTimeout(this.#waiting.get(Number(call)));
        break;
      case "event":
        // Kept as long as the page is.
        if (event === "stored") {
          const before = this.#model.get("_storage") as Json;
          this.#model.assign({ _storage: { ...before, ...payload } });
        }
        break;
    }
  }

  #answer(view: string, call: number, { method, params }: Json): void {
    const { ms, answer } = this.#server.answer(String(method), (params ?? {}) as Json);
    const timer = setTimeout(() => {
      this.#waiting.delete(call);
      this.#model.arrived({ kind: "rpc-result", to: view, call, payload: answer });
    }, ms);
    this.#waiting.set(call, timer);
  }

  /** Later, as everything that comes over a wire. */
  #say(content: object): void {
    setTimeout(() => this.#model.arrived(content));
  }

  #note(tool: string): void {
    const text = `This is a recording: what the app just asked of “${tool}” was not recorded.`;
    const words = element("span", "pmcp-bar-text");
    setText(words, text);
    this.#missed.replaceChildren(
      words,
      button("Close", "pmcp-button", () => {
        this.#missed.hidden = true;
      }),
    );
    this.#missed.hidden = false;
  }
}
