import type { Words } from "../app-view/words";

export const PREVIEW: Words = {
  behind: "preview",
  static: "preview not running",
  gone: "The preview does not run any more: this is the app’s last state.",
  empty: "The preview does not run any more, and has the app.",
  closed: "This app was closed. Choose it again to open it.",
  back: "Back into the page",
  inline: "in the page",
  width: "the page’s",
  nobody: "The preview does not run any more.",
  indirect: "This page can’t speak to the server itself; the preview goes on doing it.",
};
