/** What an app hands over with `ui/download-file`, as files. */

import { visit } from "../../shared/dom";
import type { Question } from "./question";

/** Whether the person said yes. */
export type Ask = (question: Omit<Question, "tone">) => Promise<boolean>;

type Read = (uri: string) => Promise<Record<string, unknown> | undefined>;

const MAX_NAME = 120;

export interface File {
  name: string;
  /** What is in it, or where it is. */
  body: Blob | URL | { uri: string };
}

/**
 * Save what the person says yes to; whether all of it was.
 * @param read A resource of the server, read for the person and not for the app.
 */
export async function download(contents: unknown[], ask: Ask, read: Read): Promise<boolean> {
  const offered = files(contents);
  if (offered.length === 0) return false;
  const text = `The app wants to save ${offered.length === 1 ? "a file" : `${offered.length} files`}.`;
  const detail = offered
    .map(({ name, body }) => (body instanceof URL ? `${name} (from ${body.href})` : name))
    .join(", ");
  if (!(await ask({ text, detail, yes: "Save", no: "Don’t save" }))) return false;
  for (const file of offered) if (!(await keep(file, read))) return false;
  return true;
}

/** Whether there was something to keep. */
async function keep({ name, body }: File, read: Read): Promise<boolean> {
  if (body instanceof URL) {
    visit(body.href);
    return true;
  }
  const found = body instanceof Blob ? body : blobOf(await read(body.uri));
  if (found) save({ name, body: found });
  return found !== null;
}

function blobOf(resource: Record<string, unknown> | undefined): Blob | null {
  const body = resource && embedded(resource)?.body;
  return body instanceof Blob ? body : null;
}

/** The files among the contents; what is none is left out. Names and types are the app's, and not to be trusted. */
export function files(contents: unknown[]): File[] {
  return contents.map(file).filter((each) => each !== null);
}

function file(content: unknown): File | null {
  const { type, resource, uri, name } = (content ?? {}) as Record<string, unknown>;
  if (type === "resource_link" && typeof uri === "string") {
    return { name: fileName(name, uri), body: located(uri) };
  }
  if (type !== "resource" || typeof resource !== "object" || resource === null) return null;
  return embedded(resource as Record<string, unknown>);
}

/** A resource's contents as a file; null when there is nothing in them. */
export function embedded(resource: Record<string, unknown>): File | null {
  const { uri, mimeType, text, blob } = resource;
  const options = { type: plainType(mimeType) };
  if (typeof text === "string")
    return { name: fileName(undefined, uri), body: new Blob([text], options) };
  if (typeof blob !== "string") return null;
  try {
    const bytes = Uint8Array.from(atob(blob), (character) => character.charCodeAt(0));
    return { name: fileName(undefined, uri), body: new Blob([bytes], options) };
  } catch {
    return null;
  }
}

function located(uri: string): File["body"] {
  const url = URL.canParse(uri) ? new URL(uri) : null;
  return url?.protocol === "https:" || url?.protocol === "http:" ? url : { uri };
}

/** A browser might run a document of an active type where it opens one instead of keeping it. */
function plainType(mimeType: unknown): string {
  const type = typeof mimeType === "string" ? mimeType.toLowerCase() : "";
  const active = /html|xml|svg|script/.test(type) || !/^[\w.+-]+\/[\w.+-]+(;|$)/.test(type);
  return active ? "application/octet-stream" : type;
}

/** A plain name of the name or the URI's last part: no folder, no control character, no leading dot. */
export function fileName(name: unknown, uri: unknown): string {
  const whole = typeof name === "string" && name ? name : String(uri ?? "");
  const last =
    whole
      .split(/[?#]/)[0]
      ?.split(/[\\/:]/)
      .pop() ?? "";
  let decoded = last;
  try {
    decoded = decodeURIComponent(last);
  } catch {
    // Not percent-encoded: it is taken as it is.
  }
  const safe = decoded
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to go
    .replace(/[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069\\/:*?"<>|]/g, "_")
    .replace(/^[.\s]+/, "")
    .slice(-MAX_NAME)
    .trim();
  return safe || "download";
}

/** Gives the file to the browser to keep. */
export function save({ name, body }: { name: string; body: Blob }): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(body);
  link.download = name;
  link.click();
  // The browser has taken the address by the next turn, not before.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
