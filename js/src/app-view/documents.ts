/**
 * The documents of apps that this page has seen, by hash: what is opened again need not be sent again. Kept at the
 * page, because every widget has a module of its own.
 */

const KEY = Symbol.for("pmcp_lab.app-documents.1");
const MAX_CHARACTERS = 32 * 1024 * 1024;

type Page = typeof globalThis & { [KEY]?: Map<string, string> };

function documents(): Map<string, string> {
  const page = globalThis as Page;
  page[KEY] ??= new Map();
  return page[KEY];
}

export function documentOf(hash: string): string | null {
  return documents().get(hash) ?? null;
}

export function keepDocument(hash: string, html: string): void {
  const kept = documents();
  kept.delete(hash);
  kept.set(hash, html);
  let size = 0;
  for (const each of kept.values()) size += each.length;
  // The oldest go first.
  for (const [oldest, text] of kept) {
    if (size <= MAX_CHARACTERS || oldest === hash) break;
    size -= text.length;
    kept.delete(oldest);
  }
}
