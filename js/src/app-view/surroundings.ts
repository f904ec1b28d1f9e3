/** What an app is told of its surroundings: the truth, or what the inspector makes of it. */
import type { McpUiHostContext } from "@modelcontextprotocol/ext-apps";
import { currentTheme, type Theme, watchTheme } from "../shared/theme";
import type { Display } from "./display";
import { hostContext, type Space, spaceContext, themeContext } from "./host-context";
import type { Traits } from "./traits";

const MAX_HEIGHT = 2000;
const RESIZE_DELAY_MS = 150;

interface Port {
  /** Some of it is different now. */
  changed(part: Partial<McpUiHostContext>): void;
  themed(theme: Theme): void;
}

export class Surroundings {
  width = 0;
  #tallest = MAX_HEIGHT;
  readonly themeContext = themeContext;
  /** What the app is told instead of the truth. */
  pretended: Partial<McpUiHostContext> = {};

  constructor(
    private readonly stage: HTMLElement,
    private readonly traits: Traits,
    private readonly display: Display,
    signal: AbortSignal,
    readonly port: Port,
  ) {
    watchTheme(signal, (theme) => {
      if (this.pretended.theme) return;
      port.themed(theme);
      port.changed(themeContext());
    });
    this.#watchWidth(signal);
  }

  get theme(): Theme {
    return this.pretended.theme ?? currentTheme();
  }

  context(): McpUiHostContext {
    return { ...hostContext(this.traits.call, this.#space()), ...this.pretended };
  }

  /** Keep the app to a size in pixels; what is not named is the page's. */
  limit({ width, height = MAX_HEIGHT }: Partial<Record<"width" | "height", number>>): void {
    const { style } = this.stage;
    style.maxWidth = width === undefined ? "" : `${width}px`;
    if (height === this.#tallest) return;
    this.#tallest = height;
    style.setProperty("--tallest", height < MAX_HEIGHT ? `${height}px` : "");
    this.port.changed(spaceContext(this.#space()));
  }

  /** The app is shown in another way. */
  displayed(): void {
    this.width = this.stage.clientWidth;
    this.port.changed(spaceContext(this.#space()));
  }

  #space(): Space {
    const { stage } = this;
    this.width ||= stage.clientWidth;
    const { mode } = this.display;
    return {
      mode,
      width: this.width,
      height: mode === "inline" ? this.#tallest : stage.clientHeight,
    };
  }

  #watchWidth(signal: AbortSignal): void {
    const { stage } = this;
    let pause: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const width = stage.clientWidth;
        // A hidden cell has no width; the app need not hear of that.
        if (width === 0 || Math.abs(width - this.width) < 1) return;
        this.width = width;
        this.port.changed(spaceContext(this.#space()));
      }, RESIZE_DELAY_MS);
    });
    observer.observe(stage);
    signal.addEventListener("abort", () => {
      clearTimeout(pause);
      observer.disconnect();
    });
  }
}
