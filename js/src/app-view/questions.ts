import type { Chrome } from "./chrome";
import type { DownloadModule } from "./download";

interface Question {
  text: string;
  detail: string;
  yes: string;
  no: string;
}

/** What an app may do only when the person at the page says so. */
export class Questions {
  /** Open ones, by name: how to say no. */
  readonly #open = new Map<string, () => void>();
  /** Until when an app that was told no need not ask again, and how often it was. */
  #patience = { until: 0, refused: 0 };

  constructor(
    private readonly chrome: Chrome,
    /** A resource of the server, read for the person and not for the app. */
    private readonly read: (uri: string) => Promise<Record<string, unknown> | undefined>,
    private readonly code: () => Promise<DownloadModule>,
  ) {}

  /** No to all that is open. */
  refuse(): void {
    for (const no of this.#open.values()) no();
  }

  async link(url: string): Promise<boolean> {
    // Said by itself, because an address can begin with what looks like another one.
    const text = `The app wants to open a page of ${new URL(url).host} in a new tab.`;
    const wanted = await this.#ask("link", { text, detail: url, yes: "Open", no: "Don’t open" });
    if (wanted) window.open(url, "_blank", "noopener,noreferrer");
    return wanted;
  }

  async download(contents: unknown[]): Promise<boolean> {
    const { files, embedded, save } = await this.code();
    const offered = files(contents);
    if (offered.length === 0) return false;
    const text = `The app wants to save ${offered.length === 1 ? "a file" : `${offered.length} files`}.`;
    const detail = offered
      .map(({ name, body }) => (body instanceof URL ? `${name} (from ${body.href})` : name))
      .join(", ");
    if (!(await this.#ask("download", { text, detail, yes: "Save", no: "Don’t save" })))
      return false;
    for (const { name, body } of offered) {
      if (body instanceof Blob) save({ name, body });
      else if (body instanceof URL) window.open(body.href, "_blank", "noopener,noreferrer");
      else {
        const resource = await this.read(body.uri);
        const found = resource && embedded(resource);
        if (!(found?.body instanceof Blob)) return false;
        save({ name, body: found.body });
      }
    }
    return true;
  }

  /** One question of a kind at a time: a second must not slip something else under the pointer. */
  #ask(name: string, { text, detail, yes, no }: Question): Promise<boolean> {
    if (this.#open.has(name) || performance.now() < this.#patience.until) {
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      const decide = (wanted: boolean) => {
        const refused = wanted ? 0 : this.#patience.refused + 1;
        const pause = refused > 1 ? 1000 * 4 ** (refused - 1) : 0;
        this.#patience = { until: performance.now() + pause, refused };
        this.#open.delete(name);
        this.chrome.hideBar(name);
        resolve(wanted);
      };
      this.#open.set(name, () => decide(false));
      this.chrome.showBar(name, {
        tone: "info",
        text,
        detail,
        guarded: true,
        actions: [
          { label: yes, run: () => decide(true), main: true },
          { label: no, run: () => decide(false) },
        ],
      });
    });
  }
}
