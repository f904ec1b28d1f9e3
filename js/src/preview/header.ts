/** The page's head: which server, how it is with it, and what can be done about that. */
import { addressOf } from "../shared/address";
import { button, element, setText } from "../shared/dom";
import type { Status } from "./state";
import type { WireState } from "./wire";

const PROFILES = [
  ["standard", "MCP Apps"],
  ["chatgpt", "ChatGPT (strict)"],
] as const;
const BRIDGES = [
  ["kernel", "via the preview"],
  ["direct", "direct from the page"],
] as const;
const THEMES = [
  ["", "System theme"],
  ["light", "Light"],
  ["dark", "Dark"],
] as const;

const WIRE: Record<Exclude<WireState, "open">, string> = {
  away: "The preview itself does not answer",
  refused: "This preview was ended. Open the address that the new one printed.",
  ended: "The preview was ended",
};

/** What the page's head asks for. */
export interface Wishes {
  reconnect(): void;
  signIn(): void;
  profile(name: string): void;
  bridge(mode: string): void;
  theme(name: string): void;
}

function select(
  label: string,
  options: readonly (readonly [string, string])[],
  changed: (value: string) => void,
): HTMLSelectElement {
  const node = element("select", "pv-select");
  node.setAttribute("aria-label", label);
  for (const [value, text] of options) {
    const option = element("option", "", text);
    option.value = value;
    node.append(option);
  }
  node.addEventListener("change", () => changed(node.value));
  return node;
}

export class Header {
  readonly node = element("header", "pv-header");
  readonly bars = element("div", "pv-bars");
  readonly #title = element("h1", "pv-title", "Preview");
  readonly #target = element("span", "pv-target");
  readonly #state = element("span", "pv-state");
  readonly #text = element("span", "pv-state-text", "Connecting…");
  readonly #reconnect: HTMLButtonElement;
  readonly #profile: HTMLSelectElement;
  readonly #bridge: HTMLSelectElement;
  readonly #signIn = element("div", "pmcp-bar");
  readonly #detail = element("div", "pmcp-bar");
  #status: Status | null = null;
  #wire: WireState = "away";
  #pressed = false;

  constructor(
    private readonly wishes: Wishes,
    theme: string,
  ) {
    this.#reconnect = button("Reconnect", "pmcp-button", () => {
      this.#pressed = true;
      this.wishes.reconnect();
      this.#show();
    });
    this.#profile = select("Host", PROFILES, (name) => wishes.profile(name));
    this.#bridge = select("Requests of the app", BRIDGES, (mode) => wishes.bridge(mode));
    const themes = select("Theme of the page", THEMES, (name) => wishes.theme(name));
    themes.value = theme;
    const dot = element("span", "pv-dot");
    dot.setAttribute("aria-hidden", "true");
    this.#state.append(dot, this.#text);
    this.#state.setAttribute("role", "status");
    const who = element("div", "pv-who", this.#title, this.#target);
    const how = element("div", "pv-how", this.#state, this.#reconnect);
    this.node.append(who, how, element("div", "pv-settings", this.#profile, this.#bridge, themes));
    this.bars.append(this.#signIn, this.#detail);
    this.#show();
  }

  showStatus(status: Status): void {
    if (status.text !== this.#status?.text) this.#pressed = false;
    this.#status = status;
    this.#show();
  }

  /** Who asks the server for the app. */
  bridged(mode: string): void {
    this.#bridge.value = mode;
  }

  wired(state: WireState): void {
    this.#wire = state;
    this.#show();
  }

  #show(): void {
    const status = this.#status;
    const info = status?.server?.info ?? {};
    const name = info.title || info.name || status?.server?.name;
    if (name) {
      setText(this.#title, name);
      document.title = `${name} · preview`;
    }
    const about = [status?.server?.target, status?.server?.transport, status?.server?.version];
    setText(this.#target, about.filter(Boolean).join(" · "));
    const wired = this.#wire === "open";
    this.node.dataset.state = wired ? (status?.status ?? "connecting") : "closed";
    const text = wired ? (status?.text ?? "Connecting…") : WIRE[this.#wire as "away"];
    setText(this.#text, text);
    this.#reconnect.disabled = !wired || this.#pressed || status?.status === "connecting";
    if (status) this.#profile.value = status.profile;
    this.#profile.disabled = !wired;
    this.#bridge.disabled = !wired;
    this.#showSignIn(status);
    this.#showDetail(wired ? status : null);
  }

  #showSignIn(status: Status | null): void {
    const address = addressOf(status?.signIn ?? "");
    this.#signIn.hidden = !(status?.signIn || status?.refused);
    this.#signIn.dataset.tone = "warning";
    this.#signIn.setAttribute("role", "status");
    if (address && status?.signIn) {
      const link = element(
        "a",
        "pmcp-button pmcp-button-main pv-link",
        `Sign in at ${address.host}`,
      );
      link.href = status.signIn;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      const words = "The server wants you to sign in. This page goes on when you have.";
      this.#signIn.replaceChildren(element("span", "pmcp-bar-text", words), link);
    } else {
      const words = "The server wants to know who you are.";
      const begin = button("Sign in…", "pmcp-button pmcp-button-main", () => this.wishes.signIn());
      this.#signIn.replaceChildren(element("span", "pmcp-bar-text", words), begin);
    }
  }

  #showDetail(status: Status | null): void {
    const bad = status !== null && status.status !== "open" && status.status !== "connecting";
    this.#detail.hidden = !bad || !status.detail || status.refused;
    this.#detail.dataset.tone = "error";
    const words = element("code", "pmcp-bar-detail", status?.detail ?? "");
    this.#detail.replaceChildren(element("div", "pmcp-bar-text", words));
  }
}
