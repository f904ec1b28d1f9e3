import catalogue from "../catalogue";
import { QuestionView } from "../form/question";
import type { Widget } from "../shared/anywidget";
import task from "../task-card";
import tool from "../tool-form";
import workflow from "../workflow";

const cards: Record<string, () => Widget> = { task, tool, catalogue, workflow };

/** The small widgets are one bundle, since they are made of the same parts; the model says which it is. */
function widget(): Widget {
  let card: Widget;
  return {
    initialize(context) {
      const name = context.model.get("_card") as string;
      const make = cards[name];
      if (!make)
        throw new Error(
          `There is no card called ${name}; the page may hold an older front end: reload it.`,
        );
      card = make();
      card.initialize(context);
    },
    render(context) {
      card.render(context);
    },
  };
}

/** With the form of a question, which the table of tasks has from here. */
export default Object.assign(widget, { QuestionView });
