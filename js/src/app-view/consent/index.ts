/** What an app may have or do only if the person at the page says so. A bundle of its own: most apps want nothing. */
export { download } from "./download";
export { showAsked, showEval, showWanted } from "./wishes";
