import type { Widget } from "../shared/anywidget";
import { Feed } from "../shared/feed";
import { Rows } from "./rows";
import { TableView } from "./view";

/** A function, so that each model has its own store: what is in it outlives any one view. */
export default (): Widget => {
  const rows = new Rows();
  let feed: Feed;
  return {
    initialize({ model, signal }) {
      feed = new Feed(model, signal, rows);
    },
    render({ model, el, signal }) {
      new TableView({ model, el, signal, feed, rows });
    },
  };
};
