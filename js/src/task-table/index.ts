import type { Widget } from "../shared/anywidget";
import { Feed } from "../shared/feed";
import { Lines } from "./lines";
import { Rows } from "./rows";
import { Settings } from "./settings";
import { TableView } from "./view";

/** A function, so that each model has its own store: what is in it outlives any one view. */
export default (): Widget => {
  const rows = new Rows();
  const lines = new Lines(rows);
  let feed: Feed;
  let settings: Settings;
  return {
    initialize({ model, signal }) {
      feed = new Feed(model, signal, rows);
      settings = new Settings(model, signal, (wish) => lines.want(wish));
    },
    render(context) {
      new TableView({ ...context, feed, rows, lines, settings });
    },
  };
};
