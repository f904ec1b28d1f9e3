/** One opening of an app: its frame, the conversation with it, and the record of both. */

import type { Stored } from "../prelude/names";
import type { Theme } from "../shared/theme";
import { Bridge, type Port } from "./bridge";
import { Frame, type Resource } from "./frame";
import { type OldWidgets, prelude } from "./prelude";
import { takeSpare } from "./spare";
import type { Trace } from "./trace";
import type { Host } from "./traits";

const RELOAD_GRACE_MS = 1000;
/** Milliseconds between two looks at an app that somebody sees. */
const LOOK_MS = 2000;

interface Opening {
  resource: Resource;
  /** What goes before it. */
  code: string;
  html: string;
  stored: () => Stored | null;
  old: OldWidgets | null;
  stage: HTMLElement;
  height: number;
  theme: Theme;
  trace: Trace;
  /** It went from its page to none that speaks. */
  left: () => void;
  /** For how many seconds its process had no time for an answer; infinite when it ended. */
  late: (seconds: number) => void;
}

export class RunningApp {
  readonly bridge: Bridge;
  readonly frame: Frame;
  #lastHeard = 0;
  #removed = false;
  #looking: ReturnType<typeof setInterval> | undefined;
  #lost = 0;

  constructor(
    private readonly opening: Opening,
    port: Omit<Port, "post">,
    private readonly host: Host,
  ) {
    const { resource, stage, height, theme, trace } = opening;
    const post: Port["post"] = (message) => {
      trace.add("host", message);
      this.frame.post(message);
    };
    this.bridge = new Bridge({ ...port, post }, host);
    const spare = takeSpare(resource, stage, this.#document());
    this.frame = spare ?? new Frame(resource, theme);
    this.frame.setTheme(theme);
    this.grow(height);
    if (!spare) stage.replaceChildren(this.frame.node);
  }

  start(): void {
    const { resource, trace } = this.opening;
    const receive = (data: unknown) => {
      trace.add("app", data);
      this.bridge.receive(data);
    };
    const events = {
      starts: () => {
        trace.begin("document");
        this.bridge.start();
      },
      loaded: (times: number) => this.#loaded(times),
      message: (data: unknown) => {
        this.#lastHeard = performance.now();
        receive(data);
      },
      // That is no sign of life: it may be the last that there is to hear.
      notLoaded: receive,
    };
    this.frame.show({ name: resource.name, document: () => this.#document(), events });
    this.bridge.start();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** How it is, where somebody sees it. By the number of looks: a page that slept does not blame the app. */
  #look(): void {
    const { frame, opening } = this;
    const { width, top, bottom } = opening.stage.getBoundingClientRect();
    if (document.hidden || width === 0 || bottom < 0 || top > innerHeight) return;
    // Twice: a frame that the page moves begins anew, empty.
    this.#lost = frame.lost ? this.#lost + 1 : 0;
    if (this.#lost > 1) {
      if (this.#lost === 2) this.bridge.dispose();
      opening.late(Infinity);
    } else opening.late((frame.ask() * LOOK_MS) / 1000);
  }

  #document(): string {
    const { code, html, stored, old } = this.opening;
    return prelude(code, stored(), old, Boolean(this.host.only)) + html;
  }

  /** In pixels. */
  grow(height: number): void {
    this.frame.node.style.height = `${height}px`;
  }

  remove(): void {
    this.#removed = true;
    clearInterval(this.#looking);
    this.bridge.dispose();
    this.frame.remove();
  }

  /** A document that comes after the first and says nothing is the browser's error page, not the app. */
  #loaded(times: number): void {
    if (times < 2) return;
    const at = performance.now();
    setTimeout(() => {
      if (!this.#removed && this.#lastHeard <= at - RELOAD_GRACE_MS) this.opening.left();
    }, RELOAD_GRACE_MS);
  }
}
