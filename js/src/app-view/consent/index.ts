/** What few apps ever need: what the person at the page is asked and told. A bundle of its own. */
export { Asking } from "./asking";
export { Cards } from "./cards";
export { showEval, showMissing, showStale } from "./news";
export { reopen } from "./reopening";
export { showWanted } from "./wishes";
