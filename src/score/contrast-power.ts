/** How many strings a contrast takes that must come out against several at once, and how many to show that there is no difference that counts. */

import { randomStream } from "../base/random.js";
import { InwardError } from "../errors.js";
import type { Weighting } from "./comparison/comparison.js";
import type { DifferenceRow } from "./comparison/difference.js";
import { pointsText } from "./comparison/judge.js";
import { type StringScatter, stringScatter } from "./comparison/scatter.js";
import { aboutZero, SURE_OF_SCATTER, scatterLimit } from "./power-analysis.js";
import { normalCumulative, normalQuantile, studentQuantile } from "./probability.js";
import { checkConfidence } from "./resampling.js";

/** One of the comparisons that a yes needs, on the trials of a pilot. */
export interface PilotComparison {
  /** A third party, `cross`, or a state. */
  readonly against: string;
  readonly rows: readonly DifferenceRow[];
}

export interface ContrastPowerSettings {
  /** In (0, 1). */
  readonly confidence: number;
  readonly kind: Weighting;
  /** A share: a yes needs every interval above it, a no one interval below it. */
  readonly smallestDifference: number;
  /** True differences to be seen, each above the smallest one; every comparison has just this one. */
  readonly differences: readonly number[];
  /** Chances of the answer, each in (0.5, 1). */
  readonly powers: readonly number[];
  /** Strings that the pilot asked, those without a paired trial too; absent: those that have one. */
  readonly pilotStrings?: number;
  /** Strings of the study that is planned; absent: only what is needed is told. */
  readonly strings?: number;
}

interface NeededStrings {
  readonly power: number;
  readonly strings: number;
}

interface AnswerPower {
  /** The chance of this answer with the strings that are planned; absent where none are. */
  readonly planned?: number;
  readonly needed: readonly NeededStrings[];
}

interface YesPower extends AnswerPower {
  /** The true difference from every one of the others. */
  readonly difference: number;
}

interface ComparisonPower {
  readonly against: string;
  /** What the pilot saw; absent where there is none. */
  readonly pilot?: {
    readonly difference: number;
    readonly standardError: number;
    readonly trials: number;
    readonly strings: number;
  };
  /** A no from this comparison alone, when its true difference is 0. */
  readonly no: AnswerPower;
}

export type ContrastPower =
  | {
      readonly ok: true;
      /** `pilot`: scatter as a run had it; `assumption`: as it was stated. */
      readonly basis: "pilot" | "assumption";
      readonly confidence: number;
      readonly kind: Weighting;
      readonly smallestDifference: number;
      readonly strings?: number;
      readonly comparisons: readonly ComparisonPower[];
      /** All comparisons together. */
      readonly yes: readonly YesPower[];
      /** When the true difference from one of the others is 0, whichever it is. */
      readonly no: AnswerPower;
      /** How it was calculated and what it rests on, one sentence each. */
      readonly assumptions: readonly string[];
    }
  | { readonly ok: false; readonly reason: string };

/** Draws of the comparisons' errors; the first one's are evenly spaced, so that a single comparison is exact. */
const DRAWS = 20_000;

/** What a comparison's answer depends on, per string of the study. */
interface Scatter {
  readonly against: string;
  /** Standard error of the mean difference, times √strings. */
  readonly spread: number;
  /** What the sign-flip test measures by when the mean difference is x, times √strings. */
  readonly aboutZero: (x: number) => number;
  readonly pilot?: ComparisonPower["pilot"];
}

/** Of all comparisons together. */
interface JointScatter {
  readonly scatters: readonly Scatter[];
  readonly tasks: number;
  /** @returns the errors of all comparisons in one draw, in units of their spread; undefined where how they go together is not known */
  readonly errors?: readonly (readonly number[])[];
}

/**
 * A yes takes, in every comparison, the interval above the smallest difference and the sign-flip test: with n strings the mean differences are normal
 * around the true ones, with the pilot's scatter of strings' sums and its correlations between comparisons, since all rest on the same strings. Each
 * draw of these errors tells how many strings it would take; the quantile of that over draws is the number for a power. Intervals are as wide as
 * expanded percentiles make them. The pilot's scatter is taken at the limit that the true one stays below in four pilots of five.
 * validation/scenarios.mjs checks what it promises.
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function contrastPower(comparisons: readonly PilotComparison[], settings: ContrastPowerSettings): ContrastPower {
  checkSettings(settings);
  if (comparisons.length === 0) return { ok: false, reason: "the pilot compares self with nobody" };
  const found: { against: string; scatter: StringScatter }[] = [];
  for (const { against, rows } of comparisons) {
    const scatter = stringScatter(rows, settings.kind);
    if (!scatter.ok) return { ok: false, reason: `self minus ${against}: ${scatter.reason}` };
    found.push({ against, scatter });
  }
  const all = found.map(({ scatter }) => scatter);
  const paired = new Set(all.flatMap((one) => [...influencesOf(one).keys()])).size;
  const strings = Math.max(paired, settings.pilotStrings ?? 0);
  const joint: JointScatter = {
    scatters: found.map(({ against, scatter }) => scatterOf(against, scatter, strings)),
    tasks: new Set(all.flatMap(({ tasks }) => tasks.map(({ task }) => task))).size,
    errors: drawErrors(correlationOf(all)),
  };
  const least = Math.min(...all.map(({ degreesOfFreedom }) => degreesOfFreedom));
  return resultOf(joint, settings, "pilot", [
    `${found.length === 1 ? "the comparison's mean difference is" : `the mean differences of all ${found.length} comparisons are`} drawn ${DRAWS.toLocaleString("en-US")} times from a normal distribution with the pilot's variances of strings' sums${found.length === 1 ? "" : " and the correlations between comparisons that they show"}`,
    "new strings are like the pilot's, as many of them have trials to compare, and as many each, and tasks keep their shares; a third party that was chosen for being best, such as the best rule, stays the one it was",
    `the pilot's scatter is itself an estimate, with ${least.toFixed(1)} degrees of freedom: taken is the limit that the true one stays below in ${Math.round(100 * SURE_OF_SCATTER)} % of pilots${least < 20 ? "; this pilot is small, and the numbers are rough" : ""}`,
  ]);
}

export interface AssumedScatter {
  readonly against: readonly string[];
  /** Share of a string's trials in which just one of the two compared is right, in (0, 1]. */
  readonly discordance: number;
  readonly tasks: number;
}

/**
 * Without a pilot: the variance of a string's mean difference is at most the share of discordant trials, which it is where all
 * trials of a string agree. How comparisons go together is not known: their misses are added up, which holds whatever they share.
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function assumedContrastPower(
  { against, discordance, tasks }: AssumedScatter,
  settings: ContrastPowerSettings,
): ContrastPower {
  checkSettings(settings);
  if (!(discordance > 0 && discordance <= 1)) {
    throw new InwardError("STUDY_INVALID", `The discordance is ${discordance}; it must be above 0 and at most 1.`);
  }
  const spread = Math.sqrt(discordance);
  const scatters = against.map((one): Scatter => ({ against: one, spread, aboutZero: () => spread }));
  if (scatters.length === 0) return { ok: false, reason: "the plan compares self with nobody" };
  return resultOf({ scatters, tasks }, settings, "assumption", [
    `no pilot: in ${Number((100 * discordance).toFixed(3))} % of a string's trials just one of the two that are compared is right, and all trials of a string agree (the most that they can scatter then)`,
    ...(against.length === 1
      ? []
      : [
          `how the ${against.length} comparisons go together is not known: their chances of failing are added up, so that the power is at least this`,
        ]),
    "every string has a trial that both sides have",
  ]);
}

function scatterOf(against: string, scatter: StringScatter, strings: number): Scatter {
  const { weight, variance, degreesOfFreedom, difference, trials } = scatter;
  const more = scatterLimit(degreesOfFreedom, SURE_OF_SCATTER);
  const root = Math.sqrt(strings) / weight;
  return {
    against,
    spread: Math.sqrt(more * variance) * root,
    aboutZero: (x) => Math.sqrt(aboutZero(scatter, x, more)) * root,
    pilot: { difference, standardError: Math.sqrt(variance) / weight, trials, strings: scatter.strings },
  };
}

function resultOf(
  joint: JointScatter,
  settings: ContrastPowerSettings,
  basis: "pilot" | "assumption",
  assumptions: readonly string[],
): ContrastPower {
  const { confidence, kind, smallestDifference, differences, powers, strings } = settings;
  const comparisons = joint.scatters.map(
    (scatter): ComparisonPower => ({
      against: scatter.against,
      pilot: scatter.pilot,
      no: answerPower(settings, (n) =>
        normalCumulative((smallestDifference * Math.sqrt(n)) / scatter.spread - tailOf(n, joint, settings)),
      ),
    }),
  );
  const nos = comparisons.map(({ no }) => no);
  const planned = nos.flatMap((one) => one.planned ?? []);
  const average = kind === "micro" ? "every trial counts the same" : "every task and property counts the same";
  const counts = pointsText(smallestDifference);
  return {
    ok: true,
    basis,
    confidence,
    kind,
    smallestDifference,
    strings,
    comparisons,
    yes: differences.map((difference) => ({
      difference,
      ...answerPower(settings, powerOfYes(joint, settings, difference)),
    })),
    no: {
      planned: planned.length > 0 ? Math.min(...planned) : undefined,
      needed: powers.map((power, at) => ({
        power,
        strings: Math.max(...nos.map(({ needed }) => needed[at]?.strings as number)),
      })),
    },
    assumptions: [
      `yes = ${joint.scatters.length === 1 ? "the interval" : "in every comparison the interval"} lies above ${counts} and the sign-flip test by string rejects at ${Number((100 * (1 - confidence)).toFixed(6))} %; the true difference ${joint.scatters.length === 1 ? "" : "from each of them "}is the one that is asked for; ${average}`,
      `no = ${joint.scatters.length === 1 ? "the interval ends" : "one interval ends"} below ${counts}; the true difference ${joint.scatters.length === 1 ? "is 0" : "from that one is 0, whichever it is"}`,
      ...assumptions,
      "strings are independent of each other; trials of one string need not be",
      "for these tasks, this training seed and these wordings: other ones add their own scatter, which more strings do not lessen",
    ],
  };
}

/** @param powerWith the chance of the answer with so many strings, rising with them */
function answerPower(
  { powers, strings, confidence }: ContrastPowerSettings,
  powerWith: (strings: number) => number,
): AnswerPower {
  // Of fewer strings no sign pattern is rare enough for the test to reject.
  const least = Math.floor(1 - Math.log2(1 - confidence)) + 1;
  return {
    planned: strings === undefined ? undefined : powerWith(strings),
    needed: powers.map((power) => ({ power, strings: leastWith((n) => powerWith(n) >= power, least) })),
  };
}

/** More strings than anybody has: beyond, the numbers mean that it cannot be done. */
const MOST_STRINGS = 1e9;

/** @param isEnough false up to some number, and true from it on */
function leastWith(isEnough: (strings: number) => boolean, least: number): number {
  let [below, above] = [least - 1, least];
  while (!isEnough(above)) {
    if (above > MOST_STRINGS) return Number.POSITIVE_INFINITY;
    [below, above] = [above, 2 * above];
  }
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (isEnough(middle)) above = middle;
    else below = middle;
  }
  return above;
}

/** Half the width of an interval in standard errors, as expanded percentiles are for so many strings. */
function tailOf(strings: number, { tasks }: JointScatter, { confidence }: ContrastPowerSettings): number {
  const degreesOfFreedom = Math.max(1, strings - tasks);
  return studentQuantile((1 + confidence) / 2, degreesOfFreedom) * Math.sqrt(strings / degreesOfFreedom);
}

/** @returns the chance that all comparisons come out with so many strings */
function powerOfYes(
  joint: JointScatter,
  settings: ContrastPowerSettings,
  difference: number,
): (strings: number) => number {
  const rejecting = normalQuantile((1 + settings.confidence) / 2);
  const beyond = difference - settings.smallestDifference;
  const measured = joint.scatters.map(({ spread, aboutZero: measure }) => ({
    spread,
    tested: rejecting * measure(difference),
  }));
  return (strings) => {
    const root = Math.sqrt(strings);
    const tail = tailOf(strings, joint, settings);
    // Each comparison comes out where its error, in units of its spread, is above this.
    const least = measured.map(({ spread, tested }) =>
      Math.max(tail - (root * beyond) / spread, (tested - root * difference) / spread),
    );
    if (!joint.errors) {
      return Math.max(0, 1 - least.reduce((misses, one) => misses + normalCumulative(one), 0));
    }
    const passing = joint.errors.filter((errors) => errors.every((error, at) => error > (least[at] as number))).length;
    return passing / joint.errors.length;
  };
}

// How comparisons go together: they rest on the same strings, and a string that is hard for self lowers all of them.

/** By task and string; centred within its task and scaled, so that the sum of squares is the variance. */
function influencesOf({ tasks }: StringScatter): Map<string, number> {
  return new Map(
    tasks.flatMap(({ task, strings }) => {
      const mean = strings.reduce((sum, { influence }) => sum + influence, 0) / strings.length;
      const scale = Math.sqrt(strings.length / (strings.length - 1));
      return strings.map(
        ({ cluster, influence }) => [JSON.stringify([task, cluster]), scale * (influence - mean)] as const,
      );
    }),
  );
}

function correlationOf(scatters: readonly StringScatter[]): number[][] {
  const influences = scatters.map(influencesOf);
  const product = (one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>) =>
    [...one].reduce((sum, [key, value]) => sum + value * (other.get(key) ?? 0), 0);
  const sizes = influences.map((one) => Math.sqrt(product(one, one)));
  return influences.map((one, row) =>
    influences.map((other, column) =>
      row === column ? 1 : product(one, other) / ((sizes[row] as number) * (sizes[column] as number)),
    ),
  );
}

function drawErrors(correlation: readonly (readonly number[])[]): number[][] {
  const factor = triangleOf(correlation);
  const random = randomStream("contrast power", 0);
  const uniform = () => ((random.next() >>> 0) + 0.5) / 2 ** 32;
  return Array.from({ length: DRAWS }, (_, draw) => {
    const plain = factor.map((_, at) => normalQuantile(at === 0 ? (draw + 0.5) / DRAWS : uniform()));
    return factor.map((row) => row.reduce((sum, share, at) => sum + share * (plain[at] as number), 0));
  });
}

/** Cholesky's lower triangle; a comparison that the ones before it determine has no part of its own. */
function triangleOf(matrix: readonly (readonly number[])[]): number[][] {
  const triangle: number[][] = [];
  for (const [row, values] of matrix.entries()) {
    const own: number[] = new Array(matrix.length).fill(0);
    for (let column = 0; column <= row; column++) {
      const other = column === row ? own : (triangle[column] as number[]);
      let left = values[column] as number;
      for (let at = 0; at < column; at++) left -= (own[at] as number) * (other[at] as number);
      if (column === row) own[column] = Math.sqrt(Math.max(0, left));
      else own[column] = (other[column] as number) > 1e-9 ? left / (other[column] as number) : 0;
    }
    triangle.push(own);
  }
  return triangle;
}

function checkSettings({ confidence, smallestDifference, differences, powers, strings }: ContrastPowerSettings): void {
  const refuse = (what: string) => {
    throw new InwardError("STUDY_INVALID", what);
  };
  checkConfidence(confidence);
  if (!(smallestDifference > 0 && smallestDifference < 1)) {
    refuse(
      `The smallest difference that counts is ${pointsText(smallestDifference)}; it must be above 0 and below 100.`,
    );
  }
  for (const difference of differences) {
    if (difference > smallestDifference && difference <= 1) continue;
    refuse(
      `The difference to be seen is ${pointsText(difference)}; it must be above ${pointsText(smallestDifference)}, the smallest that counts, and at most 100.`,
    );
  }
  for (const power of powers) {
    if (!(power > 0.5 && power < 1)) refuse(`The power is ${power}; it must be above 0.5 and below 1.`);
  }
  if (strings !== undefined && !(Number.isSafeInteger(strings) && strings > 0)) {
    refuse(`The number of strings is ${strings}; it must be a whole number above 0.`);
  }
}
