/** The comparisons that a primary contrast takes, with the trials that a run has of each. */

import { findContrasts, findSelfPredictions } from "../score/comparison/contrasts.js";
import { type DifferenceRow, modesOf } from "../score/comparison/difference.js";
import { hasShifted, pairShifts } from "../score/comparison/shift.js";
import { stageThirdParty, stateParties, STRING_PARTIES, thirdPartyGuesses } from "../score/comparison/third-parties.js";
import type { PilotComparison } from "../score/contrast-power.js";
import { pairedRows } from "../score/power-analysis.js";
import { planScopes, type Scope, trialsIn } from "../score/scope.js";
import { isRight } from "../score/tally.js";
import { questionKey, type TrainLabel, type Trial } from "../score/trial.js";
import { varyingTrials } from "../score/varying.js";
import type { Plan, PlannedPrimary } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { RunFolder } from "./folder.js";
import { sayingsOfRun } from "./input-only-stage.js";
import { matchRun } from "./score-stages.js";

interface Matched {
  readonly trials: readonly Trial[];
  readonly trainLabels: readonly TrainLabel[];
}

/** @returns none where the run does not make the contrast */
export async function pilotComparisons(
  run: RunFolder,
  primary: PlannedPrimary,
  tasks: ReadonlySet<string>,
): Promise<PilotComparison[]> {
  const { plan } = run;
  const matched = await matchRun(run);
  const ofTasks = matched.trials.filter(({ task }) => tasks.has(task));
  // As the comparisons of the study itself: behaviors that hardly vary are compared for nobody.
  const varying = varyingTrials(ofTasks, matched.trainLabels);
  if (primary.experiment === "behavioral_change") return changeComparisons(plan, primary, ofTasks);
  const trials = trialsIn(varying, planScopes(plan), primary.scope as Scope);
  if (primary.experiment === "cross_prediction") return crossComparisons(plan, primary, trials);
  return selfComparisons(run, primary, { ...matched, trials });
}

async function selfComparisons(
  run: RunFolder,
  { self, target }: PlannedPrimary,
  { trials, trainLabels }: Matched,
): Promise<PilotComparison[]> {
  const selves = findSelfPredictions(run.plan).find((seeds) =>
    seeds.some((one) => one.self === self && one.target === target),
  );
  if (!selves) return [];
  const contrasts = selves.map((one) => ({ ...one, cross: one.self }));
  const guesses = thirdPartyGuesses({
    trials,
    trainLabels,
    contrasts,
    ...(await sayingsOfRun(run)).about(selves[0].target),
    states: stateParties(run.plan, trials, selves),
  });
  return Object.entries(guesses).flatMap(([against, guess]): PilotComparison[] => {
    if (typeof guess === "string") return [];
    const staged = stageThirdParty(trials, contrasts, against, guess);
    return [{ against, rows: pairedRows(staged.trials, staged.contrasts) }];
  });
}

function crossComparisons(
  plan: Plan,
  { self, cross, target }: PlannedPrimary,
  trials: readonly Trial[],
): PilotComparison[] {
  const group = findContrasts(plan).find(({ contrasts }) =>
    contrasts.some((one) => one.self === self && one.cross === cross && one.target === target),
  );
  return group ? [{ against: "cross", rows: pairedRows(trials, group.contrasts) }] : [];
}

/** What a change takes besides those that have trials of their own: new minus old in equal numbers has none. */
function changeComparisons(
  plan: Plan,
  { change: name, scope }: PlannedPrimary,
  trials: readonly Trial[],
): PilotComparison[] {
  const change = statesOf(plan).changes.find((one) => one.change.name === name);
  if (!change) return [];
  const { after, predictors } = change;
  const before = change.change.from;
  const some = trials.filter(({ task }) => change.change.tasks.includes(task) === (scope === "taught"));
  const shifted = pairShifts(some, { predictor: after, before, after }).pairs.filter(hasShifted);
  const modes = modesOf(shifted.map((pair) => pair.after));
  const rows = (points: (pair: (typeof shifted)[number]) => number): DifferenceRow[] =>
    shifted.map((pair) => {
      const { task, item, cluster, property, prediction } = pair.after;
      return {
        task,
        item,
        cluster,
        property,
        difference: Number(isRight(pair.after, prediction)) - points(pair),
      };
    });
  const asked = new Set(shifted.map((pair) => questionKey(pair.after)));
  const about = some.filter((trial) => trial.target === after && asked.has(questionKey(trial)));
  return [
    { against: "about_old", rows: rows(({ before: old }) => Number(isRight(old, old.prediction))) },
    {
      against: "mode_new",
      rows: rows(({ after: now }) =>
        Number(modes.get(JSON.stringify([now.target, now.task, now.property])) === now.behavior.value),
      ),
    },
    ...predictors
      .filter(({ predictor }) => predictor !== after)
      .map(({ predictor }) => ({
        against: predictor,
        rows: pairedRows(about, [{ target: after, self: after, cross: predictor }]),
      })),
  ];
}

/** Whom a plan will compare, as far as it tells: without a run nobody knows which rules apply to its strings. */
export function plannedParties(plan: Plan, { experiment, self, target, change: name }: PlannedPrimary): string[] {
  if (experiment === "cross_prediction") return ["cross"];
  if (experiment === "behavioral_change") {
    const change = statesOf(plan).changes.find((one) => one.change.name === name);
    const others = change?.predictors.filter(({ predictor }) => predictor !== change.after) ?? [];
    return ["about_old", "mode_new", ...others.map(({ predictor }) => predictor)];
  }
  const states = stateParties(plan, [], [{ self: self ?? "", target: target ?? "" }]);
  const learns = plan.tasks.some(({ train }) => train.length > 0);
  return [
    ...STRING_PARTIES.filter((party) => learns || party === "best_heuristic"),
    ...Object.keys(states).filter((party) => typeof states[party] !== "string"),
  ];
}
