import type { Widget } from "../shared/anywidget";
import type { Catalogue } from "./item";
import { CatalogueView } from "./view";

export default (): Widget => ({
  initialize() {},
  render({ model, el, signal }) {
    new CatalogueView(model.get("_catalogue") as Catalogue, el, signal);
  },
});
