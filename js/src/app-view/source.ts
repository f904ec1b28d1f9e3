/** What an app is opened with: its document, and for an old widget the code that it was written for. */
import type { CodeLoader } from "./code";
import { documentOf, keepDocument } from "./documents";
import type { Resource } from "./frame";
import type { OldWidgets } from "./prelude";
import type { Wire } from "./wire";

interface Sources {
  html: string;
  old: OldWidgets | null;
}

interface Port {
  /** What was not there came. */
  arrived(): void;
  /** The document is not there, and nobody to send it. */
  missing(): void;
}

export class Source {
  #old: OldWidgets | null = null;

  constructor(
    private readonly wire: Wire,
    private readonly code: CodeLoader,
    private readonly port: Port,
  ) {
    wire.on("document", ({ hash, html }) => {
      if (typeof html !== "string") return;
      keepDocument(String(hash), html);
      port.arrived();
    });
  }

  /** All that is needed for it, or null while some of that is still to come. */
  of({ html: sent, hash, legacy }: Resource): Sources | null {
    const html = sent ?? documentOf(hash ?? "");
    if (html === null) {
      this.#ask();
      return null;
    }
    if (hash) keepDocument(hash, html);
    if (legacy && !this.#old && this.wire.link !== "static") {
      void this.#loadOld();
      return null;
    }
    return { html, old: legacy ? this.#old : null };
  }

  #ask(): void {
    if (this.wire.link === "static") this.port.missing();
    else this.wire.send({ kind: "document" });
  }

  async #loadOld(): Promise<void> {
    this.#old = await this.code.load("old-widgets");
    this.port.arrived();
  }
}
