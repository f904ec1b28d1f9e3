import type { Widget } from "../shared/anywidget";
import { AppView } from "./view";

export default (): Widget => ({
  initialize() {},
  render({ model, el, signal }) {
    new AppView(model, el, signal);
  },
});
