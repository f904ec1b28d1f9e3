/** What a view calls the place that it is shown in, and whoever stands behind it. */
export interface Words {
  /** Who stands behind the view. */
  behind: string;
  static: string;
  /** Nobody answers any more, and what there is to do. */
  gone: string;
  /** The same, before there was anything to show. */
  empty: string;
  closed: string;
  back: string;
  inline: string;
  width: string;
  /** Why a request is not answered. */
  nobody: string;
  /** The page can't speak to the server itself. */
  indirect: string;
}

const NOTEBOOK: Words = {
  behind: "kernel",
  static: "no live kernel: static snapshot",
  gone: "No kernel any more: this shows its last state. Run its cell again to go on.",
  empty: "The app is not saved in this notebook. Run its cell to open it.",
  closed: "This app was closed. Run its cell again to open it.",
  back: "Back into the cell",
  inline: "in the cell",
  width: "the cell’s",
  nobody: "There is no live kernel behind this view.",
  indirect: "This page can’t speak to the server itself; the kernel goes on doing it.",
};

/** By the name of what is said. */
export let said = NOTEBOOK;

/** A page that is no notebook says so once, before it shows anything. */
export function speak(others: Words): void {
  said = others;
}

/** What went wrong, without the name of a class. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
