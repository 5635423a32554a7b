/** Accuracy of one predictor about one target with everything that it has to beat. */
import type { ExperimentNumber } from "../records/experiments.js";
import { INPUT_ONLY } from "../score/input-only/input-only-predictions.js";
import type { AverageScore, Estimate, Scores } from "../records/scores.js";

export function microOf(scores: Scores, predictor: string, target: string): AverageScore | undefined {
  return scores.averages.find((one) => one.predictor === predictor && one.target === target && one.kind === "micro");
}

/** @returns nothing where the pair was not scored */
export function accuracyNumber(
  scores: Scores,
  label: string,
  predictor: string,
  target: string,
  others: Readonly<Record<string, Estimate | undefined>> = {},
): ExperimentNumber[] {
  const average = microOf(scores, predictor, target);
  if (!average) return [];
  const given = Object.entries(others).flatMap(([name, estimate]): [string, Estimate][] =>
    estimate ? [[name, estimate]] : [],
  );
  return [
    {
      label,
      estimate: average.accuracy,
      unit: "share",
      baselines: {
        mode_train: average.modeBaselineTrain,
        mode_oracle: average.modeBaselineOracle,
        ...bestRule(average),
        ...Object.fromEntries(given),
      },
      intervalMethod: scores.intervalMethod,
    },
  ];
}

function bestRule({ heuristics }: AverageScore): Record<string, Estimate> {
  const known = Object.entries(heuristics).filter(([name, one]) => one.ok && name !== INPUT_ONLY);
  const best = known.sort(([, a], [, b]) => (b.ok ? b.value : 0) - (a.ok ? a.value : 0))[0];
  const classifier = heuristics[INPUT_ONLY];
  return { ...(best ? { [best[0]]: best[1] } : {}), ...(classifier ? { input_only: classifier } : {}) };
}
