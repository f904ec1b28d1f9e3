/** What goes between this page and the preview's server: events down, requests up, nothing lost while it lasts. */
import { randomId } from "../shared/channel";

export interface Message {
  kind: string;
  [field: string]: unknown;
}

/** Open: both ways work. Away: the server does not answer now. Refused: it is another one by now. */
export type WireState = "open" | "away" | "refused" | "ended";

const RETRY_DELAY_MS = 1000;

export class Wire {
  state: WireState = "away";
  /** The server knows what was sent to a page by the page's id. */
  readonly #page = `${randomId()}${randomId()}`.padEnd(8, "0").slice(0, 40);
  readonly #waiting: Message[] = [];
  #events: EventSource | null = null;
  #sending = false;

  constructor(
    private readonly receive: (message: Message) => void,
    private readonly changed: (state: WireState) => void,
  ) {
    this.#listen();
  }

  /** In order, and again until they arrive. */
  send(message: Message): void {
    if (this.state === "ended" || this.state === "refused") return;
    this.#waiting.push(message);
    if (!this.#sending) void this.#deliver();
  }

  #listen(): void {
    const events = new EventSource(`/events?page=${this.#page}`);
    this.#events = events;
    events.onopen = () => this.#become("open");
    events.onmessage = ({ data }) => this.#arrived(JSON.parse(data) as Message);
    events.onerror = () => {
      if (this.state === "ended") return;
      // A browser tries again by itself, unless it was answered with a refusal.
      this.#become(events.readyState === EventSource.CLOSED ? "refused" : "away");
    };
  }

  #arrived(message: Message): void {
    if (message.kind === "stale") location.reload();
    else if (message.kind === "ended") {
      this.#events?.close();
      this.#become("ended");
    } else this.receive(message);
  }

  async #deliver(): Promise<void> {
    this.#sending = true;
    while (this.#waiting.length > 0 && this.state !== "ended") {
      const messages = [...this.#waiting];
      try {
        const body = JSON.stringify({ page: this.#page, messages });
        const answer = await fetch("/send", { method: "POST", body });
        if (answer.ok) this.#waiting.splice(0, messages.length);
        else if (answer.status === 413) this.#waiting.splice(0, messages.length);
        else if (answer.status === 403) {
          this.#become("refused");
          break;
        } else await pause(RETRY_DELAY_MS);
      } catch {
        // The server is away; the stream of events tells so.
        await pause(RETRY_DELAY_MS);
      }
    }
    this.#sending = false;
  }

  #become(state: WireState): void {
    if (state === this.state) return;
    this.state = state;
    this.changed(state);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
