import type { RenderContext } from "../shared/anywidget";
import type { Feed } from "../shared/feed";
import type { Lines } from "./lines";
import type { Rows } from "./rows";
import type { Settings } from "./settings";

/** What all parts of one mounted table stand on. */
export interface TableContext extends RenderContext {
  feed: Feed;
  rows: Rows;
  lines: Lines;
  settings: Settings;
}
