/** What an app may do only when the person at the page says so, each time. */
import { visit } from "../../shared/dom";
import type { Chrome } from "../chrome";
import type { Requests } from "../requests";
import { type Ask, download } from "./download";
import { pose } from "./question";

export class Asking {
  /** Open ones, by name: how to say no. */
  readonly #open = new Map<string, () => void>();
  /** Until when an app that was told no need not ask again, and how often it was. */
  #cooldown = { until: 0, refused: 0 };

  constructor(
    private readonly chrome: Chrome,
    private readonly requests: Requests,
  ) {}

  /** No to all that is open. */
  refuse(): void {
    for (const no of this.#open.values()) no();
  }

  async link(url: string): Promise<boolean> {
    // Said by itself, because an address can begin with what looks like another one.
    const text = `The app wants to open a page of ${new URL(url).host} in a new tab.`;
    const wanted = await this.#ask("link", { text, detail: url, yes: "Open", no: "Don’t open" });
    if (wanted) visit(url);
    return wanted;
  }

  download(contents: unknown[]): Promise<boolean> {
    return download(
      contents,
      (question) => this.#ask("download", question),
      (uri) => this.#read(uri),
    );
  }

  /** A resource of the server, read for the person and not for the app. */
  async #read(uri: string): Promise<Record<string, unknown> | undefined> {
    const { result } = await this.requests.repeat("resources/read", { uri });
    const { contents } = (result ?? {}) as { contents?: Record<string, unknown>[] };
    return contents?.[0];
  }

  /** One question of a kind at a time: a second must not slip something else under the pointer. */
  #ask(name: string, question: Parameters<Ask>[0]): Promise<boolean> {
    if (this.#open.has(name) || performance.now() < this.#cooldown.until) {
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      const decide = (wanted: boolean) => {
        const refused = wanted ? 0 : this.#cooldown.refused + 1;
        const pause = refused > 1 ? 1000 * 4 ** (refused - 1) : 0;
        this.#cooldown = { until: performance.now() + pause, refused };
        this.#open.delete(name);
        this.chrome.hideBar(name);
        resolve(wanted);
      };
      this.#open.set(name, () => decide(false));
      pose(this.chrome, name, { tone: "info", ...question }, decide);
    });
  }
}
