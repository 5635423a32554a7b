/** Stage 08, comparisons: does self predict a target better than other weights do, and than what needs no model? Needs no model. */
import type { ComparedPredictors, ComparedSelf, Comparisons, CrossBehaviorSource } from "../records/comparisons.js";
import type { Plan } from "../records/plan.js";
import type { Trial } from "../records/trial.js";
import { behaviorOf } from "../score/comparison/behavior-of.js";
import { comparePredictors as comparePair } from "../score/comparison/compare-predictors.js";
import { compareThirdParties, type ThirdPartyInput } from "../score/comparison/compare-third-parties.js";
import { compareSeries } from "../score/comparison/compare-series.js";
import type { ComparisonSettings } from "../score/comparison/comparison-settings.js";
import {
  type ContrastGroup,
  findContrasts,
  findSelfPredictions,
  type SelfPrediction,
} from "../score/comparison/find-contrasts.js";
import { findSeries } from "../score/comparison/find-series.js";
import { judgeSelfPrediction, measurePrivilegedAccess } from "../score/comparison/privileged-access.js";
import { ablationsOf, stateParties } from "../score/comparison/state-parties.js";
import type { MatchedTrials } from "../score/match-trials.js";
import { writeJson } from "../store/write-whole.js";
import { guessOf, type InputOnlyGuess, labelSource, readInputOnly } from "./predict-from-strings.js";
import { matchRun, scoreInputs, settingsOf } from "./score-predictions.js";
import type { StageContext } from "./stage-context.js";

/** Whether a plan has anything to compare; without it there is no 08-comparisons.json. */
export function hasComparisons(plan: Plan): boolean {
  return [findSelfPredictions(plan), findContrasts(plan), findSeries(plan)].some(({ length }) => length > 0);
}

/** @throws STORE_* */
export async function comparePredictors({ run }: Pick<StageContext, "run">): Promise<void> {
  if (!hasComparisons(run.plan)) return;
  const inputs = scoreInputs(run);
  if (await run.isDone("comparisons", inputs)) return;
  const settings = await settingsOf(run);
  const matched = await matchRun(run);
  const byState = await readInputOnly(run);
  const guess = guessOf(run.plan, byState);
  const guessAbout = (target: string) =>
    (byState[labelSource(run.plan, target)]?.predictions.length ?? 0) > 0 ? guess : undefined;
  const comparisons = compareAll(run.plan, matched, guessAbout, settings);
  await writeJson(run.file("comparisons"), comparisons);
  await run.markDone("comparisons", inputs);
}

/** @param guessAbout what a classifier of strings says about a target; nothing where there is none. Pure. */
export function compareAll(
  plan: Plan,
  matched: MatchedTrials,
  guessAbout: (target: string) => InputOnlyGuess | undefined,
  settings: ComparisonSettings,
): Comparisons {
  return {
    comparisonsVersion: 1,
    ...settings,
    comparisons: findContrasts(plan).map((group) => compare(plan, group, matched, guessAbout(group.target), settings)),
    selfPredictions: findSelfPredictions(plan).map((selves) =>
      compareSelf(plan, selves, matched, guessAbout(selves[0].target), settings),
    ),
    series: findSeries(plan).map((series) => compareSeries(series, matched.trials, settings)),
  };
}

function compareSelf(
  plan: Plan,
  selves: readonly [SelfPrediction, ...SelfPrediction[]],
  { trials, trainLabels }: MatchedTrials,
  guess: InputOnlyGuess | undefined,
  settings: ComparisonSettings,
): ComparedSelf {
  const [{ target, self }] = selves;
  const found = compareThirdParties(
    {
      trials,
      trainLabels,
      contrasts: selves.map((one) => ({ ...one, cross: one.self })),
      ...inputOnlyOf(guess),
      states: stateParties(plan, trials, selves),
    },
    settings,
  );
  const ablations = Object.entries(ablationsOf(plan, selves[0])).map(([wording, cross]) => [
    wording,
    comparePair(trials, [{ target, self, cross }], settings),
  ]);
  return {
    target,
    self,
    seeds: selves.length,
    trained: plan.states?.[self]?.adapter !== undefined,
    thirdParties: found.comparisons,
    verdict: judgeSelfPrediction(found, settings),
    ablations: Object.fromEntries(ablations),
  };
}

function inputOnlyOf(guess: InputOnlyGuess | undefined): Pick<ThirdPartyInput, "inputOnly"> {
  return guess ? { inputOnly: ({ target, task, item, property }) => guess(target, task, item, property) } : {};
}

function compare(
  plan: Plan,
  { contrasts, ...who }: ContrastGroup,
  { trials, trainLabels }: MatchedTrials,
  guess: InputOnlyGuess | undefined,
  settings: ComparisonSettings,
): ComparedPredictors {
  const sources = new Map(contrasts.map(({ cross }) => [cross, sourceOf(plan, trials, cross)]));
  const behaviors = new Map(
    [...sources].map(([cross, source]) => [cross, source.ok ? behaviorOf(trials, source.state) : () => undefined]),
  );
  const known = [...sources.values()].find(({ ok }) => ok);
  const source = known ?? ([...sources.values()][0] as CrossBehaviorSource);
  const { cross, thirdParties, verdict } = measurePrivilegedAccess(
    {
      trials,
      trainLabels,
      contrasts,
      ...(known ? { crossBehavior: (trial, contrast) => behaviors.get(contrast.cross)?.(trial) } : {}),
      ...inputOnlyOf(guess),
      states: stateParties(plan, trials, contrasts),
    },
    settings,
  );
  const sensitivity = cross.sensitivity.map((row) =>
    row.name === "behaviors_differ" && !row.ok && !source.ok ? { ...row, reason: source.reason } : row,
  );
  return { ...who, crossBehavior: source, comparison: { ...cross, sensitivity }, thirdParties, verdict };
}

/** Training moves behavior, so the cross predictor's own is best; only targets are asked, so it may be known without the adapter only. */
function sourceOf(plan: Plan, trials: readonly Trial[], cross: string): CrossBehaviorSource {
  const asked = new Set(trials.map(({ target }) => target));
  const base = plan.states?.[cross]?.model ?? cross;
  if (asked.has(cross)) return { ok: true, state: cross };
  if (asked.has(base)) return { ok: true, state: base };
  const without = base === cross ? "it is no" : "neither it nor its weights without the adapter are a";
  return { ok: false, reason: `what ${cross} does on these strings was not asked: ${without} target of this study` };
}
