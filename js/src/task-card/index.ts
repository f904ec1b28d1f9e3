import type { Widget } from "../shared/anywidget";
import { Feed } from "../shared/feed";
import { TaskRecord } from "./record";
import { CardView } from "./view";

/** A function, so that each model has its own record, which outlives any one view. */
export default (): Widget => {
  const record = new TaskRecord();
  let feed: Feed;
  return {
    initialize({ model, signal }) {
      feed = new Feed(model, signal, record);
    },
    render({ model, el, signal, host }) {
      new CardView({ model, el, signal, host, feed, record });
    },
  };
};
