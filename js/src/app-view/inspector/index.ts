import { element } from "../../shared/dom";
import type { Inspected, InspectorModule } from "../inspection";
import { Messages } from "./messages";
import { Report } from "./report";
import { Surroundings } from "./surroundings";

/** The inspector of one view, as long as it is open. */
export const mount: InspectorModule["mount"] = (panel, inspected: Inspected, signal) => {
  const report = new Report(inspected, signal);
  const host: HTMLElement[] = [];
  if (!inspected.controlled) {
    const surroundings = new Surroundings(inspected.words.width);
    surroundings.attach(inspected, signal);
    host.push(surroundings.node);
  }
  const messages = new Messages(inspected, signal);
  panel.setAttribute("role", "region");
  panel.setAttribute("aria-label", "Inspector");
  panel.append(
    element("div", "pmcp-ins-top", report.handshake, ...host, report.document),
    messages.node,
  );
};
