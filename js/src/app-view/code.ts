/** Code that most apps never need, fetched from the kernel when one does: a widget's own travels with every instance. */

/** The kernel's `code` message. */
export interface Code {
  name: string;
  module: string;
  style: string;
}

export class CodeLoader {
  readonly #modules = new Map<string, Promise<unknown>>();
  readonly #waiting = new Map<string, (code: Code) => void>();

  constructor(
    private readonly fetch: (name: string) => void,
    private readonly place: HTMLElement,
  ) {}

  /** The module of this name. Rejects where the page forbids scripts from blob addresses. */
  load<M>(name: string): Promise<M> {
    let module = this.#modules.get(name);
    if (!module) {
      module = new Promise<Code>((resolve) => {
        this.#waiting.set(name, resolve);
        this.fetch(name);
      }).then((code) => this.#take(code));
      // What failed once is asked for anew the next time.
      module.catch(() => this.#modules.delete(name));
      this.#modules.set(name, module);
    }
    return module as Promise<M>;
  }

  arrived(code: Code): void {
    this.#waiting.get(code.name)?.(code);
    this.#waiting.delete(code.name);
  }

  #take({ module, style }: Code): Promise<unknown> {
    if (style) {
      const sheet = document.createElement("style");
      sheet.textContent = style;
      this.place.append(sheet);
    }
    // From the kernel, so as much ours as this module is.
    const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    return import(address).finally(() => URL.revokeObjectURL(address));
  }
}
