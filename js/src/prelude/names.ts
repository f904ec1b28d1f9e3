/** What the prelude and its host say to each other. */

/** Names of ours, not the spec's; an app that sends them itself reaches no more than its own store. */
export const STORED = "run.pmcp/notifications/stored";
export const ESCAPED = "run.pmcp/notifications/escaped";
export const VIOLATION = "run.pmcp/notifications/csp-violation";
/** Something went wrong in the app that it did not deal with. */
export const FAILED = "run.pmcp/notifications/app-error";
/** An app uses what the host that is played does not have. */
export const MISSING = "run.pmcp/notifications/not-offered";
/** What the requests of the imitation begin with. */
export const SHIM_ID = "legacy-";
export const LEFT = "run.pmcp/notifications/left";

/** The `_storage` trait. */
export interface Stored {
  /** What the app put into `localStorage`. */
  local?: Record<string, string>;
  /** What an old widget gave to `setWidgetState` or `setState`. */
  state?: unknown;
  /** What the document it takes the place of was left with; never stored. */
  left?: Left | null;
}

/** What a person typed, by field, and how far they scrolled. */
export interface Left {
  fields: Record<string, string | boolean>;
  scroll: [number, number];
}
