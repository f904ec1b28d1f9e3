import { button, element } from "./dom";

export interface Question {
  key: string;
  message: string;
}

/**
 * Puts a task's question into `container`: its text, and the way to where it can be answered.
 *
 * `send` takes what the person wants: `{action: "card"}` opens the task's card, which has the form.
 */
export function renderQuestion(
  container: HTMLElement,
  question: Question,
  send: (wish: { action: "card" }) => void,
): void {
  container.replaceChildren(
    element("p", "pmcp-question", question.message),
    button("Answer…", "pmcp-button pmcp-button-main", () => send({ action: "card" })),
  );
}
