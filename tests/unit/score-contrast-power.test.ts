/** The power of a contrast that must come out against several at once: worked numbers and laws. */
import { describe, expect, test } from "vitest";
import type { DifferenceRow } from "../../src/score/comparison/difference.js";
import {
  assumedContrastPower,
  contrastPower,
  type ContrastPower,
  type ContrastPowerSettings,
  type PilotComparison,
} from "../../src/score/contrast-power.js";

const SETTINGS: ContrastPowerSettings = {
  confidence: 0.95,
  kind: "micro",
  smallestDifference: 0.02,
  differences: [0.07],
  powers: [0.9],
};

/** One string for each difference. */
const rowsOf = (differences: readonly number[]): DifferenceRow[] =>
  differences.map((difference, at) => ({ task: "animals", item: `s${at}`, property: "p", difference }));
const against = (name: string, differences: readonly number[]): PilotComparison => ({
  against: name,
  rows: rowsOf(differences),
});

const STRINGS = 8000;
/** Variance ½, mean 0. */
const FIRST = Array.from({ length: STRINGS }, (_, at) => [1, 0, 0, -1][at % 4] as number);
/** The same, independent of the first. */
const SECOND = Array.from({ length: STRINGS }, (_, at) => [1, 0, 0, -1][Math.floor(at / 4) % 4] as number);

function solved(power: ContrastPower): Extract<ContrastPower, { ok: true }> {
  if (!power.ok) throw new Error(power.reason);
  return power;
}
const yes = (comparisons: readonly PilotComparison[], settings: Partial<ContrastPowerSettings> = {}) =>
  solved(contrastPower(comparisons, { ...SETTINGS, ...settings })).yes[0];

/** What 8,000 strings leave open of the pilot's scatter: 1.3 % in the variance. */
const UNCERTAIN = 1.015;
const near = (found: number | undefined, strings: number) => {
  expect(found).toBeGreaterThan(0.99 * strings);
  expect(found).toBeLessThan(1.02 * UNCERTAIN * strings);
};

describe("a yes", () => {
  test("of one comparison takes (z + z)² s² ÷ (x − smallest)²", () => {
    near(yes([against("cross", FIRST)])?.needed[0]?.strings, ((1.959964 + 1.281552) ** 2 * 0.5) / 0.05 ** 2);
  });

  test("of two independent comparisons takes each with power √0.9", () => {
    const both = [against("mode_train", FIRST), against("input_only", SECOND)];
    near(yes(both)?.needed[0]?.strings, ((1.959964 + 1.632219) ** 2 * 0.5) / 0.05 ** 2);
  });

  test("of two that are the same takes what one takes", () => {
    const one = yes([against("a", FIRST)])?.needed[0]?.strings;
    expect(yes([against("a", FIRST), against("b", FIRST)])?.needed[0]?.strings).toBe(one);
  });

  test("of two of which one fails where the other comes out takes the misses of both", () => {
    const both = [
      against("a", FIRST),
      against(
        "b",
        FIRST.map((one) => -one),
      ),
    ];
    // Two misses that never come together: each may have half of them.
    near(yes(both)?.needed[0]?.strings, ((1.959964 + 1.644854) ** 2 * 0.5) / 0.05 ** 2);
  });

  test("is less likely than each of its comparisons alone, and with the strings needed as likely as was asked for", () => {
    const both = [against("a", FIRST), against("b", SECOND)];
    const strings = yes(both)?.needed[0]?.strings as number;
    expect(yes(both, { strings })?.planned).toBeGreaterThanOrEqual(0.9);
    expect(yes(both, { strings: strings - 1 })?.planned).toBeLessThan(0.9);
    expect(yes([against("a", FIRST)], { strings })?.planned).toBeGreaterThan(0.94);
  });

  test("against one that scatters not at all has no number", () => {
    const power = contrastPower(
      [
        against("a", FIRST),
        against(
          "b",
          FIRST.map(() => 1),
        ),
      ],
      SETTINGS,
    );
    expect(power).toEqual({ ok: false, reason: expect.stringMatching(/self minus b: all strings.*same difference/) });
  });
});

describe("a no", () => {
  test("takes (z + z)² s² ÷ smallest² when the true difference is 0", () => {
    const { no } = solved(contrastPower([against("cross", FIRST)], SETTINGS));
    near(no.needed[0]?.strings, ((1.959964 + 1.281552) ** 2 * 0.5) / 0.02 ** 2);
  });

  test("of several is told for whichever scatters most", () => {
    const wide = FIRST.map((one, at) => (at % 2 === 0 ? 1 : -1) * (one === 0 ? 1 : Math.abs(one)));
    const { no, comparisons } = solved(contrastPower([against("a", FIRST), against("b", wide)], SETTINGS));
    const [a, b] = comparisons.map((one) => one.no.needed[0]?.strings as number);
    expect(b).toBeGreaterThan(1.9 * (a as number));
    expect(no.needed[0]?.strings).toBe(b);
  });
});

describe("without a pilot", () => {
  const assumed = (settings: Partial<ContrastPowerSettings>, parties = ["a", "b", "c"]) =>
    solved(assumedContrastPower({ against: parties, discordance: 0.5, tasks: 1 }, { ...SETTINGS, ...settings }));

  test("misses are added up: three comparisons have a third of them each", () => {
    const {
      yes: [first],
      no,
      basis,
    } = assumed({});
    near(first?.needed[0]?.strings, ((1.959964 + 1.833915) ** 2 * 0.5) / 0.05 ** 2);
    near(no.needed[0]?.strings, ((1.959964 + 1.281552) ** 2 * 0.5) / 0.02 ** 2);
    expect(basis).toBe("assumption");
  });

  test("it says what it assumes", () => {
    expect(assumed({}).assumptions.join("\n")).toMatch(/no pilot: in 50 % of a string's trials/);
  });

  test.each([[0], [1.5], [Number.NaN]])("a discordance of %s is refused", (discordance) => {
    expect(() => assumedContrastPower({ against: ["a"], discordance, tasks: 1 }, SETTINGS)).toThrow(/discordance is/);
  });
});

test.each([
  [{ differences: [0.02] }, /must be above 2 points, the smallest that counts/],
  [{ differences: [2] }, /200 points/],
  [{ powers: [0.4] }, /power is 0.4/],
  [{ smallestDifference: 0 }, /smallest difference that counts is 0 points/],
  [{ strings: 0.5 }, /number of strings is 0.5/],
])("%j is refused", (settings, words) => {
  expect(() => contrastPower([against("a", FIRST)], { ...SETTINGS, ...settings })).toThrow(words);
});
