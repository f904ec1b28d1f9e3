import { describe, expect, it } from "vitest";
import { SizeDamper } from "../src/app-view/size";

const LIMITS = { min: 32, max: 2000 };

/** Feeds the damper with an app that answers every height with `reply(height)`, and lists the heights it got. */
function converse(reply: (height: number) => number, rounds = 100, pause = 20): number[] {
  const damper = new SizeDamper(320, LIMITS);
  const heights: number[] = [];
  let now = 0;
  for (let round = 0; round < rounds; round += 1) {
    now += pause;
    const next = damper.report(reply(damper.height), now);
    if (next !== null) heights.push(next);
  }
  return heights;
}

describe("the frame's height", () => {
  it("follows the app within limits", () => {
    const damper = new SizeDamper(320, LIMITS);
    expect(damper.report(500, 0)).toBe(500);
    expect(damper.report(90_000, 10_000)).toBe(2000);
    expect(damper.report(1, 20_000)).toBe(32);
  });

  it.each([Number.NaN, -1, "500", null, undefined, Number.POSITIVE_INFINITY])(
    "ignores %s",
    (height) => {
      expect(new SizeDamper(320, LIMITS).report(height, 0)).toBeNull();
    },
  );

  it("ignores a shrink of up to 4 px, and only that", () => {
    const damper = new SizeDamper(320, LIMITS);
    expect(damper.report(316, 0)).toBeNull();
    expect(damper.report(315, 0)).toBe(315);
  });

  it("does not grow for ever with an app that fills its viewport", () => {
    const heights = converse((height) => height + 16);
    expect(heights.length).toBeLessThan(8);
    expect(heights.at(-1)).toBe(320);
  });

  it("nor with one that grows by a share", () => {
    expect(converse((height) => height * 1.1).length).toBeLessThan(12);
  });

  it("does not collapse with an app that loses pixels", () => {
    expect(converse((height) => height - 6).length).toBeLessThan(12);
  });

  it("does not swing between two heights", () => {
    const heights = converse((height) => (height === 400 ? 500 : 400));
    expect(heights.length).toBeLessThan(6);
    expect(heights.at(-1)).toBe(500);
  });

  it("follows what is far from an echo while it is held", () => {
    const damper = new SizeDamper(1843, LIMITS);
    // Lines of a log, each within moments of the last: they look like an app that grows by its own growth.
    for (let line = 1; line <= 6; line += 1) damper.report(damper.height + 22, line * 110);
    expect(damper.report(damper.height + 22, 770)).toBeNull();
    expect(damper.report(300, 880)).toBe(300);
  });

  it("does not jump up and down for ever, however slowly", () => {
    const damper = new SizeDamper(320, LIMITS);
    const heights = Array.from({ length: 60 }, (_, at) =>
      damper.report(at % 2 ? 100 : 900, at * 400),
    );
    expect(heights.filter((height) => height !== null).length).toBeLessThan(24);
    expect(damper.height).toBe(900);
  });

  it("still follows an app that grows by itself", () => {
    const damper = new SizeDamper(320, LIMITS);
    let now = 0;
    for (const height of [340, 360, 380, 400, 420, 440]) {
      now += 2000;
      expect(damper.report(height, now)).toBe(height);
    }
  });

  it("follows again after a held app has been quiet", () => {
    const damper = new SizeDamper(320, LIMITS);
    let now = 0;
    for (let round = 0; round < 20; round += 1) {
      now += 20;
      damper.report(damper.height + 16, now);
    }
    expect(damper.report(700, now + 5000)).toBe(700);
  });
});
