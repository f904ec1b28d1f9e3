import type { Widget } from "../shared/anywidget";
import { Feed } from "../shared/feed";
import { WorkflowRecord } from "./record";
import { WorkflowView } from "./view";

/** A function, so that each model has its own record, which outlives any one view. */
export default (): Widget => {
  const record = new WorkflowRecord();
  let feed: Feed;
  return {
    initialize({ model, signal }) {
      feed = new Feed(model, signal, record);
    },
    render({ model, el, signal }) {
      new WorkflowView({ model, el, signal, feed, record });
    },
  };
};
