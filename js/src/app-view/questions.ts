import type { Host } from "../shared/anywidget";
import type { Chrome } from "./chrome";
import type { CodeLoader } from "./code";
import type { Resource } from "./frame";
import type { Requests } from "./requests";
import type { Traits } from "./traits";

type ConsentModule = typeof import("./consent");
type Asking = InstanceType<ConsentModule["Asking"]>;
type Wanted = NonNullable<Resource["wanted"]>;

/** What the person at the page is asked, and the bars that few apps ever need. There is no asking without a kernel. */
export class Questions {
  #asking: Asking | undefined;
  /** Counts the times that all was refused. */
  #turn = 0;

  constructor(
    private readonly chrome: Chrome,
    private readonly requests: Requests,
    private readonly code: CodeLoader,
  ) {}

  /** No to all that is open. */
  refuse(): void {
    this.#turn += 1;
    this.#asking?.refuse();
  }

  link(url: string): Promise<boolean> {
    return this.#ask((asking) => asking.link(url));
  }

  download(contents: unknown[]): Promise<boolean> {
    return this.#ask((asking) => asking.download(contents));
  }

  /** What it would have beyond what every app gets. */
  wanted(wanted: Wanted, allow: () => void): void {
    if (Object.keys(wanted).length === 0) return;
    this.show(({ showWanted }, chrome) => showWanted(chrome, wanted, allow));
  }

  /** The cards of what the app’s calls ask. */
  followCards(traits: Traits, signal: AbortSignal, front: Host | undefined): void {
    let cards: InstanceType<ConsentModule["Cards"]> | undefined;
    traits.follow<string[]>("_cards", (models) => {
      if (!cards && !models?.length) return;
      this.show(({ Cards }, chrome) => {
        cards ??= new Cards(chrome, front, signal);
        cards.show(traits.cards);
      });
    });
  }

  #load(): Promise<ConsentModule> {
    return this.code.load("consent");
  }

  /** Shows one of the bars that few apps ever need. */
  show(show: (consent: ConsentModule, chrome: Chrome) => void): void {
    this.#load().then(
      (consent) => show(consent, this.chrome),
      () => {},
    );
  }

  async #ask(put: (asking: Asking) => Promise<boolean>): Promise<boolean> {
    const turn = this.#turn;
    const { Asking } = await this.#load();
    this.#asking ??= new Asking(this.chrome, this.requests);
    return turn === this.#turn && put(this.#asking);
  }
}
