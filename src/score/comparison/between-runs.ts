/** Two runs on the trials that both have: accuracy in the second minus accuracy in the first, question by question. */

import type { Estimate } from "../interval.js";
import { checkResampling, resamplingOf, type ResamplingSettings } from "../resampling.js";
import type { Scope } from "../scope.js";
import type { Share } from "../scores.js";
import { hasBehavior, isScored, wasRepliedTo } from "../tally.js";
import type { Trial } from "../trial.js";
import { type PairedTrial, type TestResult, testPaired, type Weighting } from "./comparison.js";
import { countStrings, differencesOver, rightOf } from "./difference.js";
import { type AdjustedP, holmOver } from "./tests.js";

/** A trial, and what it has in common with the same trial of another run: the string itself, not its id. */
export interface KeyedTrial {
  /** Of the string, property, wording and sample. */
  readonly key: string;
  readonly trial: Trial;
}

/** One predictor about one target, in both runs. */
export interface SharedPair {
  readonly predictor: string;
  readonly target: string;
  /** Trials of two scopes are never compared pooled. */
  readonly scope: Scope;
  readonly first: readonly KeyedTrial[];
  readonly second: readonly KeyedTrial[];
}

/** Accuracies of both runs on the paired trials, and the second minus the first. */
interface RunAccuracy {
  readonly kind: Weighting;
  readonly first: Estimate;
  readonly second: Estimate;
  readonly difference: Estimate;
  /** Of the difference, by string. */
  readonly signFlip: TestResult;
}

/** The paired trials of one task, property and wording. */
export interface RunDifferenceOfCell {
  readonly task: string;
  readonly property: string;
  readonly variant: string;
  readonly paired: number;
  readonly first: Estimate;
  readonly second: Estimate;
  /** Not adjusted for how many cells there are. */
  readonly difference: Estimate;
}

export interface RunDifferenceOfPair extends Pick<SharedPair, "predictor" | "target" | "scope"> {
  readonly estimand: string;
  readonly intervalMethod: string;
  readonly trials: {
    /** Counted as right or wrong in both runs: what all numbers here are about. */
    readonly paired: number;
    /** Asked in both, but counted in one of them alone, or in neither. */
    readonly firstOnly: number;
    readonly secondOnly: number;
    readonly neither: number;
    /** Asked in one of them alone. */
    readonly notInSecond: number;
    readonly notInFirst: number;
  };
  readonly strings: number;
  readonly outcomes: {
    readonly bothRight: number;
    readonly firstRight: number;
    readonly secondRight: number;
    readonly bothWrong: number;
  };
  /** Of trials asked in both: another behavior, of those with one in both; another prediction, of those replied to in both. */
  readonly behaviorsDiffer: Share;
  readonly predictionsDiffer: Share;
  /** Micro, then macro. */
  readonly overall: readonly [RunAccuracy, RunAccuracy];
  /** In the order of the first run's trials, of all that were asked in both. */
  readonly cells: readonly RunDifferenceOfCell[];
  /** The micro p-value adjusted by Holm's method over all pairs and scopes that have one. */
  readonly holmP: AdjustedP;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function compareRunTrials(pairs: readonly SharedPair[], settings: ResamplingSettings): RunDifferenceOfPair[] {
  checkResampling(settings);
  const compared = pairs.map((pair) => compareOne(pair, settings));
  const adjusted = holmOver(compared.map(({ overall: [{ signFlip }] }) => signFlip));
  return compared.map((one, at): RunDifferenceOfPair => ({ ...one, holmP: adjusted[at] as AdjustedP }));
}

function compareOne(
  { predictor, target, scope, first, second }: SharedPair,
  settings: ResamplingSettings,
): Omit<RunDifferenceOfPair, "holmP"> {
  const others = new Map(second.map(({ key, trial }) => [key, trial]));
  const asked = first.flatMap(({ key, trial }): [Trial, Trial][] => {
    const other = others.get(key);
    // Ids are the first run's: the same strings may be called otherwise in the second.
    return other ? [[trial, { ...other, item: trial.item, cluster: trial.cluster }]] : [];
  });
  const paired = asked.flatMap(([was, is]): PairedTrial[] =>
    isScored(was) && isScored(is) ? [{ seed: 0, self: is, cross: was }] : [],
  );
  const count = (test: (was: Trial, is: Trial) => boolean) => asked.filter(([was, is]) => test(was, is)).length;
  const outcomes = paired.map(rightOf);
  const outcome = (is: number, was: number) => outcomes.filter(([one, other]) => one === is && other === was).length;
  const behaved = asked.filter(([was, is]) => hasBehavior(was) && hasBehavior(is));
  const replied = asked.filter(([was, is]) => wasRepliedTo(was) && wasRepliedTo(is));
  const differs = (some: typeof asked, side: "behavior" | "prediction"): Share => ({
    count: some.filter(([was, is]) => said(was[side]) !== said(is[side])).length,
    of: some.length,
  });
  // Strings are drawn once: a cell moves with its pair.
  const shared = {
    contrasts: [{ target, self: predictor, cross: predictor }],
    resampling: resamplingOf(
      asked.map(([was]) => was),
      settings,
    ),
    settings: { ...settings, noiseFloorNats: 0 },
    over: "",
    multiplicity: "",
  };
  const differences = differencesOver({ ...shared, paired });
  const cells = new Map<string, [Trial, PairedTrial[]]>(asked.map(([was]) => [wordedCell(was), [was, []]]));
  for (const one of paired) cells.get(wordedCell(one.cross))?.[1].push(one);
  return {
    predictor,
    target,
    scope,
    estimand: `accuracy of ${predictor} about ${target} in the second run minus its accuracy in the first, on the questions that both counted, each against what the target did in that run`,
    intervalMethod: differences[0].intervalMethod,
    trials: {
      paired: paired.length,
      firstOnly: count((was, is) => isScored(was) && !isScored(is)),
      secondOnly: count((was, is) => !isScored(was) && isScored(is)),
      neither: count((was, is) => !isScored(was) && !isScored(is)),
      notInSecond: first.length - asked.length,
      notInFirst: second.length - asked.length,
    },
    strings: countStrings(paired),
    outcomes: {
      bothRight: outcome(1, 1),
      firstRight: outcome(0, 1),
      secondRight: outcome(1, 0),
      bothWrong: outcome(0, 0),
    },
    behaviorsDiffer: differs(behaved, "behavior"),
    predictionsDiffer: differs(replied, "prediction"),
    overall: differences.map(
      ({ kind, self, cross, difference }): RunAccuracy => ({
        kind,
        first: cross,
        second: self,
        difference,
        signFlip: testPaired(paired, kind, { ...settings, noiseFloorNats: 0 }),
      }),
    ) as [RunAccuracy, RunAccuracy],
    cells: [...cells.values()].map(([{ task, property, variant }, own]): RunDifferenceOfCell => {
      const [{ self, cross, difference }] = differencesOver({ ...shared, paired: own });
      return { task, property, variant, paired: own.length, first: cross, second: self, difference };
    }),
  };
}

function wordedCell({ task, property, variant }: Trial): string {
  return JSON.stringify([task, property, variant]);
}

function said(extraction: Trial["behavior"]): string {
  return JSON.stringify(extraction.ok ? [extraction.value] : extraction.reason);
}
