import type { Stored } from "../prelude/names";
import type { Model, Widget } from "../shared/anywidget";

import { Changes } from "./changes";
import { documentOf } from "./documents";
import { prelude } from "./prelude";
import { loadSpare, prepareSpare } from "./spare";
import { type Host, resourceOf } from "./traits";
import { AppView } from "./view";

/** The app begins as soon as its document is there: the notebook takes a while to make the view. */
function hasten(model: Model): boolean {
  const resource = resourceOf(model);
  if (!resource?.uri) return false;
  const html = resource.html ?? documentOf(resource.hash ?? "");
  if (html !== null && !resource.legacy && model.get("_closed") !== true) {
    const stored = model.get("_storage") as Stored | null;
    loadSpare(resource, prelude(model.get("_prelude") as string, stored, null, false) + html);
  }
  return true;
}

export default (): Widget => {
  let changes: Changes | undefined;
  return {
    initialize({ model, signal }) {
      changes = new Changes(model, signal);
      const { policy } = (model.get("_host") ?? {}) as Partial<Host>;
      if (policy) prepareSpare(policy);
      if (hasten(model)) return;
      const later = () => {
        if (hasten(model)) model.off("change:_resource", later);
      };
      model.on("change:_resource", later);
    },
    render({ model, el, signal, host }) {
      new AppView(model, el, signal, host, changes);
    },
  };
};
