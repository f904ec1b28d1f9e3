import type { Content } from "../form/form";
import type { Asked, QuestionView } from "../form/question";
import { button, element } from "../shared/dom";
import type { Forms } from "./forms";
import type { Rows } from "./rows";

/** A question of a row: its number and the question's key. */
type Place = [row: number, key: string];

/** Rows that ask alike. */
export interface Alike {
  asked: Place[];
  form: Asked;
}

/** One answer for every row that asks alike: below the table, a form for each kind of question. */
export class Answers {
  readonly node = element("section", "pmcp-answers");
  #forms = new Map<string, { asked: Place[]; view: QuestionView }>();
  #made = 0;
  #later: Alike[] = [];

  constructor(
    private readonly rows: Rows,
    private readonly code: Forms,
    private readonly send: (form: string, asked: Place[], action: string, content: Content) => void,
    private readonly left: () => void,
  ) {
    this.node.setAttribute("aria-label", "Answer several tasks in the same way");
    this.node.hidden = true;
  }

  show(groups: Alike[]): void {
    const { make } = this.code;
    // Drawn when the code of forms is there.
    this.#later = make ? [] : groups;
    this.#forms.clear();
    this.node.replaceChildren(
      button("Close", "pmcp-button pmcp-answers-close", () => this.show([])),
    );
    for (const { asked, form } of make ? groups : []) {
      this.#made += 1;
      const name = `many ${this.#made}`;
      const view = new (make as typeof QuestionView)(form, (action, content) =>
        this.send(name, this.#open(asked), action, content),
      );
      this.#forms.set(name, { asked, view });
      this.node.append(view.node);
    }
    this.sync();
    this.#forms.values().next().value?.view.focus();
  }

  /** Puts code into the clipboard, or shows it where that is closed to us; what is to be said of it. */
  async copy(code: string | null): Promise<string> {
    if (code === null) return "too much for a clipboard: lab.selected has the tasks";
    try {
      await navigator.clipboard.writeText(code);
      return "copied";
    } catch {
      this.#offer(code);
      return "";
    }
  }

  /** Text to be taken by hand. */
  #offer(text: string): void {
    this.show([]);
    const place = element("textarea", "pmcp-control");
    place.readOnly = true;
    place.value = text;
    place.rows = Math.min(12, text.split("\n").length);
    place.setAttribute("aria-label", "Code that starts these tasks again");
    this.node.append(place);
    this.node.hidden = false;
    place.select();
  }

  answered(form: string, problems: Record<string, string>): void {
    this.#forms.get(form)?.view.answered(problems);
  }

  /** Forms whose questions are all answered go. */
  sync(): void {
    if (this.#later.length > 0 && this.code.make) this.show(this.#later);
    const focused = this.node.contains(document.activeElement);
    for (const [name, { asked, view }] of this.#forms) {
      const open = this.#open(asked).length;
      view.relabel(open === 1 ? "Send" : `Send to ${open}`);
      if (open > 0) continue;
      view.node.remove();
      this.#forms.delete(name);
    }
    this.node.hidden = this.node.childElementCount < 2;
    if (focused && this.node.hidden) this.left();
  }

  #open(asked: Place[]): Place[] {
    return asked.filter(([n, key]) => this.rows.get(n)?.questions.some((each) => each.key === key));
  }
}
