/** The documents of apps that this page has seen, by hash: what is opened again need not be sent again. */

const MAX_CHARACTERS = 32 * 1024 * 1024;

const documents = new Map<string, string>();

export function documentOf(hash: string): string | null {
  return documents.get(hash) ?? null;
}

export function keepDocument(hash: string, html: string): void {
  documents.delete(hash);
  documents.set(hash, html);
  let size = 0;
  for (const each of documents.values()) size += each.length;
  // The oldest go first.
  for (const [oldest, text] of documents) {
    if (size <= MAX_CHARACTERS || oldest === hash) break;
    size -= text.length;
    documents.delete(oldest);
  }
}
