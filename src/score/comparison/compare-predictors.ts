/** Does one predictor predict a target better than another, on the same trials? Pure; the same trials in any order give the same bytes. */
import type {
  Contrast,
  HierarchicalEstimate,
  McNemar,
  PredictorComparison,
  PredictorDifference,
  TaskDifference,
  TestedDifference,
  TestResult,
  Weighting,
} from "../../records/comparison.js";
import type { Trial } from "../../records/trial.js";
import { DIFFERENCE } from "../measure.js";
import { type ComparisonSettings, checkComparison, SIGN_FLIP_DRAWS } from "./comparison-settings.js";
import { designEffect } from "./design-effect.js";
import {
  countStrings,
  type DifferenceInput,
  differenceOf,
  differencesOver,
  rightOf,
  tableOf,
  WEIGHTINGS,
} from "./difference-over.js";
import { holmAdjusted } from "./holm.js";
import { intervalOf } from "./interval-of.js";
import { mcNemarTest } from "./mcnemar.js";
import { type PairedTrial, pairTrials } from "./pair-trials.js";
import { everything, hierarchicalDraws, resamplingOf, valuesIn } from "./resampling.js";
import { type CrossBehavior, sensitivityOf } from "./sensitivity.js";
import { signFlipTest } from "./sign-flip.js";
import { hierarchicalIntervals, holmMultiplicity, ONE_OF_A_PAIR } from "./statements.js";
import { stringContributions } from "./string-contributions.js";

/**
 * @param trials all trials of the run in scope, so that strings are drawn as for its other scores; those of the contrasts are compared
 * @param contrasts one, or the seeds of one condition
 * @param crossBehavior what the cross predictor itself does, for the analysis of trials where the two behave differently
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function comparePredictors(
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
  settings: ComparisonSettings,
  crossBehavior?: CrossBehavior,
): PredictorComparison {
  checkComparison(settings);
  const { paired, ...unpaired } = pairTrials(trials, contrasts);
  const input = { paired, contrasts, resampling: resamplingOf(trials, settings), settings };
  const overall = differencesOver({ ...input, over: "paired trials", multiplicity: ONE_OF_A_PAIR });
  const hierarchical = hierarchicalOver(input);
  const effect = designEffect(differencesByString(paired));
  return {
    contrasts,
    trials: { paired: paired.length, ...unpaired },
    strings: countStrings(paired),
    tasks: tasksOf(paired).length,
    overall: overall.map(
      (difference, at): TestedDifference => ({
        ...difference,
        hierarchical: hierarchical[at] as HierarchicalEstimate,
        signFlip: signFlip(paired, difference.kind, settings),
      }),
    ) as [TestedDifference, TestedDifference],
    byTask: byTask(input),
    mcnemar: mcNemarOf(paired, contrasts.length, effect.ok ? effect.value : undefined),
    designEffect: effect,
    sensitivity: sensitivityOf(input, crossBehavior),
  };
}

type Input = Omit<DifferenceInput, "over" | "multiplicity">;

/** @returns micro, then macro */
function hierarchicalOver(input: Input): [HierarchicalEstimate, HierarchicalEstimate] {
  const { paired, contrasts, resampling, settings } = input;
  const tasks = tasksOf(paired);
  const seeds = contrasts.length;
  if (tasks.length < 2 && seeds < 2) {
    const reason = `${tasks.length} task and ${seeds} seed: there is no level above strings to draw`;
    return [
      { ok: false, reason },
      { ok: false, reason },
    ];
  }
  const table = tableOf(input);
  const statistics = WEIGHTINGS.map((kind) => differenceOf(table, kind));
  const values = valuesIn(table, [everything(resampling, seeds)], statistics);
  const among = tasks.map((task) => resampling.tasks.indexOf(task));
  const replicates = valuesIn(table, hierarchicalDraws(resampling, among, seeds), statistics);
  const counted = { n: paired.length, clusters: countStrings(paired) };
  return WEIGHTINGS.map((_, at): HierarchicalEstimate => {
    const estimate = intervalOf(values[at]?.[0], replicates[at] ?? [], counted, DIFFERENCE, settings.confidence);
    return estimate.ok
      ? { ...estimate, tasks: tasks.length, seeds, intervalMethod: hierarchicalIntervals(settings) }
      : estimate;
  }) as [HierarchicalEstimate, HierarchicalEstimate];
}

function byTask(input: Input): TaskDifference[] {
  const { paired, settings } = input;
  const tasks = tasksOf(paired).map((task) => {
    const some = paired.filter(({ self }) => self.task === task);
    return { task, some, test: signFlip(some, "micro", settings) };
  });
  const known = tasks.flatMap(({ task, test }) => (test.ok ? [{ task, p: test.p }] : []));
  const adjusted = holmAdjusted(known.map(({ p }) => p));
  return tasks.map(({ task, some, test }): TaskDifference => {
    const [micro] = differencesOver({
      ...input,
      paired: some,
      over: `paired trials of ${task}`,
      multiplicity: holmMultiplicity(known.length),
    });
    const at = known.findIndex((one) => one.task === task);
    return {
      ...(micro as PredictorDifference),
      task,
      signFlip: test,
      holmP: test.ok ? { ok: true, p: adjusted[at] as number, of: known.length } : test,
    };
  });
}

function signFlip(
  paired: readonly PairedTrial[],
  kind: Weighting,
  { signFlipDraws = SIGN_FLIP_DRAWS, bootstrapSeed }: ComparisonSettings,
): TestResult {
  const rows = paired.map((pair) => {
    const { task, item, property } = pair.self;
    return { task, item, property, difference: differenceIn(pair) };
  });
  return signFlipTest(stringContributions(rows, kind), { draws: signFlipDraws, seed: bootstrapSeed });
}

function mcNemarOf(paired: readonly PairedTrial[], seeds: number, effect: number | undefined): McNemar {
  const count = (first: number, second: number) =>
    paired.filter((pair) => {
      const [self, cross] = rightOf(pair);
      return self === first && cross === second;
    }).length;
  const [selfOnly, crossOnly] = [count(1, 0), count(0, 1)];
  const strings = countStrings(paired);
  const shared = `${paired.length} trials of ${strings} strings${seeds > 1 ? ` and ${seeds} seeds` : ""}`;
  const clustering =
    paired.length === strings
      ? `${shared}: every string has one trial, as the test assumes`
      : `${shared}: trials of one string are not independent, as the test assumes they are${
          effect === undefined ? "" : ` (design effect ${effect.toFixed(2)})`
        }; the sign-flip test by string honours that`;
  return {
    selfOnly,
    crossOnly,
    bothRight: count(1, 1),
    bothWrong: count(0, 0),
    ...mcNemarTest(selfOnly, crossOnly),
    clustering,
  };
}

function differencesByString(paired: readonly PairedTrial[]): number[][] {
  const strings = new Map<string, number[]>();
  for (const pair of paired) {
    const key = JSON.stringify([pair.self.task, pair.self.item]);
    const known = strings.get(key);
    if (known) known.push(differenceIn(pair));
    else strings.set(key, [differenceIn(pair)]);
  }
  return [...strings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, differences]) => differences);
}

function differenceIn(pair: PairedTrial): number {
  const [self, cross] = rightOf(pair);
  return self - cross;
}

function tasksOf(paired: readonly PairedTrial[]): string[] {
  return [...new Set(paired.map(({ self }) => self.task))].sort();
}
