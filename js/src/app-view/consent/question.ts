/** A question to the person at the page, who sees all of it and has to mean the answer. */
import { element, setText } from "../../shared/dom";
import type { Tone } from "../bars";
import type { Chrome } from "../chrome";
import { deliberate } from "./deliberate";

const TOO_EARLY =
  "That was too quick to be meant. Come to the button, wait a moment, then press it.";

export interface Question {
  tone: Tone;
  text: string;
  detail: string;
  /** What the buttons say that give it and that do not. */
  yes: string;
  no: string;
}

export function pose(
  chrome: Chrome,
  name: string,
  { tone, text, detail, yes, no }: Question,
  decide: (wanted: boolean) => void,
): void {
  const { bar, words, buttons } = chrome.showBar(name, tone, text, {
    detail,
    actions: [
      { label: yes, run: () => decide(true), main: true },
      { label: no, run: () => decide(false) },
    ],
  });
  bar.toggleAttribute("data-guarded", true);
  const hint = element("span");
  words.append(hint);
  deliberate(buttons[0] as HTMLButtonElement, () => setText(hint, TOO_EARLY));
}
