import { notify, onTeardown } from "./host";
import { LEFT, type Left } from "./names";

/**
 * An app that was edited takes its predecessor's place: what a person typed into a field stays there, if the field with
 * its id or name is still there and nobody wrote into it yet.
 */
export function succession(left: Left | null): void {
  const fields = () => {
    const found = new Map<string, HTMLInputElement>();
    for (const each of document.querySelectorAll("input, textarea, select")) {
      const field = each as HTMLInputElement;
      const { tagName, id, name, type } = field;
      if (!(id || name) || ["password", "file", "hidden"].includes(type)) continue;
      found.set([tagName, id, name, type === "radio" ? field.value : ""].join(" "), field);
    }
    return found;
  };
  const switches = ({ type }: HTMLInputElement) => type === "checkbox" || type === "radio";
  const untouched = (field: HTMLInputElement) =>
    field.tagName === "SELECT" ||
    (switches(field) ? field.checked === field.defaultChecked : field.value === field.defaultValue);
  onTeardown(() => {
    const typed: Left["fields"] = {};
    for (const [key, field] of fields()) {
      if (field.tagName !== "SELECT" && untouched(field)) continue;
      typed[key] = switches(field) ? field.checked : field.value;
    }
    notify(LEFT, { fields: typed, scroll: [scrollX, scrollY] });
  });
  if (!left) return;
  const restore = () => {
    const present = fields();
    for (const [key, value] of Object.entries(left.fields)) {
      const field = present.get(key);
      if (!field || !untouched(field)) continue;
      if (typeof value === "boolean") field.checked = value;
      else field.value = value;
    }
  };
  addEventListener("DOMContentLoaded", restore);
  addEventListener("load", () => scrollTo(...left.scroll));
}
