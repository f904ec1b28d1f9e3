import type { QuestionView } from "../form/question";

type Make = typeof QuestionView;

/** The forms of questions. The cards have their code, which is fetched from the kernel when something is asked. */
export class Forms {
  /** Says that it does not work here. */
  failed = false;
  #make: Make | null = null;
  #wanted = false;

  constructor(
    private readonly fetch: () => void,
    private readonly changed: () => void,
  ) {}

  /** Null as long as the code is not there. */
  get make(): Make | null {
    if (!this.#wanted) this.fetch();
    this.#wanted = true;
    return this.#make;
  }

  /** The kernel's, so as much ours as this module is; some pages forbid scripts from blob addresses. */
  async arrived(code: string): Promise<void> {
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    try {
      this.#make = (await import(address)).default.QuestionView;
    } catch (error) {
      console.warn("Forms can't be shown here", error);
      this.failed = true;
    }
    URL.revokeObjectURL(address);
    this.changed();
  }
}
