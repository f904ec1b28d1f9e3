/**
 * Turns an app's size reports into frame heights.
 *
 * An app that fills its viewport and adds a margin reports more with every height it is given, for ever; one
 * that rounds reports one pixel less. Both are conversations with ourselves: a report that comes right after our
 * own change, again and again in the same direction, is taken as an echo and no longer followed.
 */
export interface SizeLimits {
  min: number;
  max: number;
}

const ECHO_WINDOW_MS = 300;
const HOLD_MS = 1500;
const SHRINK_SLACK = 4;
const MAX_EQUAL_ECHOES = 3;
const MAX_ECHOES = 8;
/** An app that goes up and down more often than this in so many ms keeps its greater height. */
const MAX_TURNS = 8;
const TURNS_WINDOW_MS = 10_000;

export class SizeDamper {
  height: number;
  #before: number;
  #base: number;
  #step = 0;
  #same = 0;
  #echoes = 0;
  #swings = 0;
  #at = -Infinity;
  #held = false;
  #turned: number[] = [];

  constructor(
    initial: number,
    private readonly limits: SizeLimits,
  ) {
    this.height = initial;
    this.#before = initial;
    this.#base = initial;
  }

  /** The new height for a report at `now` (ms), or null to leave the frame alone. */
  report(height: unknown, now: number): number | null {
    if (typeof height !== "number" || !Number.isFinite(height) || height < 0) return null;
    const wanted = Math.round(Math.min(this.limits.max, Math.max(this.limits.min, height)));
    const change = wanted - this.height;
    if (this.#holds(change, now)) return null;
    if (change === 0 || (change < 0 && -change <= SHRINK_SLACK)) return null;
    const echo = now - this.#at <= ECHO_WINDOW_MS;
    const kept = echo ? this.#echo(wanted, change) : this.#begin();
    if (kept !== null) return this.#hold(kept, now);
    if (this.#turns(change, now)) return this.#hold(Math.max(wanted, this.height), now);
    return this.#move(wanted, now);
  }

  /** Whether reports are ignored now: something else than our own change must have moved it, or moved it far. */
  #holds(change: number, now: number): boolean {
    this.#held &&= now - this.#at < HOLD_MS && Math.abs(change) <= 2 * Math.abs(this.#step);
    if (this.#held) this.#at = Math.max(this.#at, now - HOLD_MS / 2);
    return this.#held;
  }

  /** A report of the app's own accord: nothing it led to is an echo yet. */
  #begin(): null {
    this.#base = this.height;
    this.#same = 0;
    this.#echoes = 0;
    this.#swings = 0;
    return null;
  }

  /** One more echo: the height to keep when that was one too many. */
  #echo(wanted: number, change: number): number | null {
    this.#echoes += 1;
    this.#same = Math.abs(change - this.#step) <= 1 ? this.#same + 1 : 0;
    this.#swings = Math.abs(wanted - this.#before) <= SHRINK_SLACK ? this.#swings + 1 : 0;
    if (this.#swings >= 2) return Math.max(wanted, this.height);
    if (this.#echoes >= MAX_ECHOES) return change > 0 ? this.#base : this.height;
    return change > 0 && this.#same >= MAX_EQUAL_ECHOES ? this.#base : null;
  }

  /** Whether it goes up and down too often. */
  #turns(change: number, now: number): boolean {
    if (change * this.#step < 0) this.#turned.push(now);
    this.#turned = this.#turned.filter((at) => now - at < TURNS_WINDOW_MS);
    this.#step = change;
    return this.#turned.length > MAX_TURNS;
  }

  #hold(height: number, now: number): number | null {
    this.#held = true;
    return height === this.height ? null : this.#move(height, now);
  }

  #move(height: number, now: number): number {
    this.#before = this.height;
    this.height = height;
    this.#at = now;
    return height;
  }
}
