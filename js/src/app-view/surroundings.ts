/** What an app is told of its surroundings: the truth, or what the inspector makes of it. */
import type { McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import { currentTheme, type Theme, watchTheme } from "../shared/theme";
import type { Call, DisplayMode } from "./bridge";
import {
  hostContext,
  type Pretence,
  pretended,
  type Space,
  spaceContext,
  themeContext,
} from "./host-context";

const MAX_HEIGHT = 2000;
const RESIZE_DELAY_MS = 150;

interface Options {
  stage: HTMLElement;
  call: () => Call | null;
  mode: () => DisplayMode;
  /** Some of it is different now. */
  changed: (part: Partial<McpUiHostContext>) => void;
  themed: (theme: Theme) => void;
  signal: AbortSignal;
}

export class Surroundings {
  width = 0;
  #tallest = MAX_HEIGHT;
  #pretence: Pretence = {};

  constructor(private readonly options: Options) {
    const { signal, changed, themed } = options;
    watchTheme(signal, (theme) => {
      if (this.#pretence.theme) return;
      themed(theme);
      changed(themeContext());
    });
    this.#watchWidth();
  }

  get theme(): Theme {
    return this.#pretence.theme ?? currentTheme();
  }

  context(): McpUiHostContext {
    return { ...hostContext(this.options.call(), this.#space()), ...pretended(this.#pretence) };
  }

  pretend(pretence: Pretence): void {
    const before = this.context() as Record<string, unknown>;
    this.#pretence = pretence;
    const parts = Object.entries(this.context()).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
    );
    this.options.themed(this.theme);
    if (parts.length > 0) this.options.changed(Object.fromEntries(parts));
  }

  /** As a style of the frame. */
  get maxHeight(): string {
    return this.#tallest < MAX_HEIGHT ? `${this.#tallest}px` : "";
  }

  /** Keep the app to a size in pixels; what is not named is the page's. */
  limit({ width, height = MAX_HEIGHT }: Partial<Record<"width" | "height", number>>): void {
    this.options.stage.style.maxWidth = width === undefined ? "" : `${width}px`;
    if (height === this.#tallest) return;
    this.#tallest = height;
    this.options.changed(spaceContext(this.#space()));
  }

  /** The app is shown in another way. */
  displayed(): void {
    this.width = this.options.stage.clientWidth;
    this.options.changed(spaceContext(this.#space()));
  }

  #space(): Space {
    const { stage } = this.options;
    this.width ||= stage.clientWidth;
    const mode = this.options.mode();
    return {
      mode,
      width: this.width,
      height: mode === "inline" ? this.#tallest : stage.clientHeight,
    };
  }

  #watchWidth(): void {
    const { stage, signal, changed } = this.options;
    let pause: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const width = stage.clientWidth;
        // A hidden cell has no width; the app need not hear of that.
        if (width === 0 || Math.abs(width - this.width) < 1) return;
        this.width = width;
        changed(spaceContext(this.#space()));
      }, RESIZE_DELAY_MS);
    });
    observer.observe(stage);
    signal.addEventListener("abort", () => {
      clearTimeout(pause);
      observer.disconnect();
    });
  }
}
