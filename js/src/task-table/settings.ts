import { listen, type Model } from "../shared/anywidget";
import type { GroupBy, Wish } from "./lines";
import { Selection } from "./selection";

const WISH_TRAITS = ["filter", "sort", "group_by", "_folded"] as const;
/** Milliseconds a selection rests before the kernel hears of it. */
const SELECTION_DELAY_MS = 120;

/**
 * What a person does to the view. It lives in the model's traits, so every view of the model shows it, a
 * reloaded page has it again, and code can set it.
 */
export class Settings {
  readonly selection = new Selection();
  expanded = new Set<number>();
  /** Where the view that moved last stands, for one that is drawn anew. */
  scrollTop = 0;
  readonly #watchers = new Set<() => void>();
  #selecting: ReturnType<typeof setTimeout> | undefined;
  #silent = false;

  constructor(
    private readonly model: Model,
    signal: AbortSignal,
    wanted: (wish: Wish) => void,
  ) {
    const heed = (name: string, take: () => void) =>
      listen(model, `change:${name}`, signal, () => {
        take();
        this.#tell();
      });
    for (const name of WISH_TRAITS) heed(name, () => wanted(this.wish));
    heed("columns", () => {});
    heed("_expanded", () => this.#readExpanded());
    heed("_selected", () => {
      if (!this.#silent) this.selection.ranges = this.#get<number[]>("_selected", []);
    });
    this.#readExpanded();
    this.selection.ranges = this.#get<number[]>("_selected", []);
    wanted(this.wish);
  }

  get wish(): Wish {
    return { filter: this.filter, sort: this.sort, group: this.group, folded: this.folded };
  }

  get filter(): string {
    return this.#get("filter", "");
  }

  get sort(): string {
    return this.#get("sort", "");
  }

  get group(): GroupBy | null {
    return this.#get<GroupBy | null>("group_by", null);
  }

  get folded(): string[] {
    return this.#get<string[]>("_folded", []);
  }

  get columns(): string[] {
    return this.#get<string[]>("columns", []);
  }

  set(name: "filter" | "sort" | "group_by" | "columns" | "_folded", value: unknown): void {
    this.model.set(name, value);
    this.model.save_changes();
  }

  fold(group: string, folded: boolean): void {
    const others = this.folded.filter((each) => each !== group);
    this.set("_folded", folded ? [...others, group] : others);
  }

  expand(n: number, expanded: boolean): void {
    const rows = new Set(this.expanded);
    if (expanded) rows.add(n);
    else rows.delete(n);
    this.model.set("_expanded", [...rows]);
    this.model.save_changes();
  }

  /** The selection was changed here; the kernel hears of it when it rests. */
  selected(): void {
    clearTimeout(this.#selecting);
    this.#selecting = setTimeout(() => {
      this.#silent = true;
      this.model.set("_selected", this.selection.ranges);
      this.#silent = false;
      this.model.save_changes();
    }, SELECTION_DELAY_MS);
    this.#tell();
  }

  watch(changed: () => void, signal: AbortSignal): void {
    this.#watchers.add(changed);
    signal.addEventListener("abort", () => this.#watchers.delete(changed));
  }

  #readExpanded(): void {
    this.expanded = new Set(this.#get<number[]>("_expanded", []));
  }

  #get<T>(name: string, otherwise: T): T {
    return (this.model.get(name) as T | undefined) ?? otherwise;
  }

  #tell(): void {
    for (const each of this.#watchers) each();
  }
}
