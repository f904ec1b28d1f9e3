import type { Widget } from "../shared/anywidget";
import type { Host } from "./bridge";
import { prepareSpare } from "./spare";
import { AppView } from "./view";

export default (): Widget => ({
  initialize({ model }) {
    const { policy } = (model.get("_host") ?? {}) as Partial<Host>;
    if (policy) prepareSpare(policy);
  },
  render({ model, el, signal, host }) {
    new AppView(model, el, signal, host);
  },
});
