import { speak } from "../app-view/words";
import { element } from "../shared/dom";
import { followTheme } from "../shared/theme";
import type { Known } from "./server";
import { Widget, type WidgetData } from "./widget";

/** What `pmcp_lab/apps/landing.py` writes. */
interface Data extends Known {
  title: string;
  description: string;
  server: { name: string; version: string };
  widgets: WidgetData[];
}

speak({
  behind: "page",
  static: "not running",
  gone: "",
  empty: "",
  closed: "This app was closed. Load the page again to open it.",
  back: "Back into the page",
  inline: "in the page",
  width: "the page’s",
  nobody: "Nobody is there to answer.",
  indirect: "",
});

const data = JSON.parse(document.querySelector("#data")?.textContent ?? "{}") as Data;
const host = {
  info: { name: "pmcp_lab", version: "0" },
  capabilities: { serverTools: {}, serverResources: {}, openLinks: {}, downloadFile: {} },
  initTimeout: 8000,
  server: data.server.name,
};
const root = element("div", "pmcp ld");
const header = element("header", "ld-header", element("h1", "", data.title));
if (data.description) header.append(element("p", "ld-about", data.description));
const main = element("main", "", ...data.widgets.map((each) => new Widget(each, data, host).node));
const version = data.server.version ? ` ${data.server.version}` : "";
const footer = element(
  "footer",
  "ld-footer",
  `A recording of ${data.server.name}${version}, made with pmcp_lab. This page needs no network.`,
);
root.append(header, main, footer);
followTheme(root, new AbortController().signal);
document.body.append(root);
