/** Code that most apps never need, fetched from the kernel when one does: a widget's own travels with every instance. */

import type { Wire } from "./wire";
import { said } from "./words";

/** The kernel's `code` message. */
interface Code {
  name: string;
  module: string;
  style: string;
}

export class CodeLoader {
  readonly #modules = new Map<string, Promise<unknown>>();
  readonly #waiting = new Map<string, (code: Code) => void>();

  constructor(
    private readonly wire: Wire,
    private readonly place: HTMLElement,
  ) {
    wire.on("code", (code) => this.#arrived(code as unknown as Code));
  }

  /** The module of this name. Rejects without a kernel, and where the page forbids scripts from blob addresses. */
  load<M>(name: string): Promise<M> {
    if (this.wire.link === "static") return Promise.reject(said.nobody);
    let module = this.#modules.get(name);
    if (!module) {
      module = new Promise<Code>((resolve) => {
        this.#waiting.set(name, resolve);
        this.wire.send({ kind: "code", name });
      }).then((code) => this.#take(code));
      // What failed once is asked for anew the next time.
      module.catch(() => this.#modules.delete(name));
      this.#modules.set(name, module);
    }
    return module as Promise<M>;
  }

  #arrived(code: Code): void {
    if (typeof code.module !== "string") return;
    this.#waiting.get(code.name)?.(code);
    this.#waiting.delete(code.name);
  }

  #take({ module, style }: Code): Promise<unknown> {
    if (style) {
      const sheet = document.createElement("style");
      sheet.textContent = style;
      this.place.append(sheet);
    }
    return imported(module);
  }
}

/** A module from its text. It comes from the kernel, so it is as much ours as this one is. */
export function imported<M>(text = ""): Promise<M> {
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return import(address).finally(() => URL.revokeObjectURL(address));
}
