/** Stage 08, comparisons: does self predict a target better than other weights do, and than what needs no model? Needs no model. */
import type { ComparedPredictors, Comparisons, CrossBehaviorSource } from "../records/comparisons.js";
import type { Plan } from "../records/plan.js";
import type { Trial } from "../records/trial.js";
import { behaviorOf } from "../score/comparison/behavior-of.js";
import type { ComparisonSettings } from "../score/comparison/comparison-settings.js";
import { type ContrastGroup, findContrasts } from "../score/comparison/find-contrasts.js";
import { measurePrivilegedAccess } from "../score/comparison/privileged-access.js";
import type { MatchedTrials } from "../score/match-trials.js";
import { writeJson } from "../store/write-whole.js";
import { guessOf, type InputOnlyGuess, labelSource, readInputOnly } from "./predict-from-strings.js";
import { matchRun, scoreInputs, settingsOf } from "./score-predictions.js";
import type { StageContext } from "./stage-context.js";

/** Writes no file when no target has both a self and a cross predictor. @throws STORE_* */
export async function comparePredictors({ run }: Pick<StageContext, "run">): Promise<void> {
  const groups = findContrasts(run.plan);
  if (groups.length === 0) return;
  const inputs = scoreInputs(run);
  if (await run.isDone("comparisons", inputs)) return;
  const settings = await settingsOf(run);
  const matched = await matchRun(run);
  const byState = await readInputOnly(run);
  const guess = guessOf(run.plan, byState);
  const comparisons: Comparisons = {
    comparisonsVersion: 1,
    ...settings,
    comparisons: groups.map((group) => {
      const learnt = (byState[labelSource(run.plan, group.target)]?.predictions.length ?? 0) > 0;
      return compare(run.plan, group, matched, learnt ? guess : undefined, settings);
    }),
  };
  await writeJson(run.file("comparisons"), comparisons);
  await run.markDone("comparisons", inputs);
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
      ...(guess ? { inputOnly: ({ target, task, item, property }) => guess(target, task, item, property) } : {}),
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
