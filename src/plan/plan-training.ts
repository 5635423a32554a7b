/** What a study with `lora` trains and scores: an adapter for each of its predictions, and the model states that follow. */
import { InwardError } from "../errors.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import type { Study } from "../records/study.js";

type PlannedTraining = Pick<Plan, "predictions"> & Required<Pick<Plan, "states" | "adapters">>;

/**
 * @returns undefined when the study trains nothing
 * @throws STUDY_INVALID when there is no train string to learn from, or two states would have one name
 */
export function planTraining(study: Study, tasks: readonly PlannedTask[]): PlannedTraining | undefined {
  const { lora } = study;
  if (!lora) return undefined;
  if (!tasks.some((task) => task.trained && task.train.length > 0)) {
    throw new InwardError(
      "STUDY_INVALID",
      "lora has nothing to learn from: every task is held out (train: false) or has no train strings.",
    );
  }
  const states: Record<string, PlannedTraining["states"][string]> = Object.fromEntries(
    Object.keys(study.models).map((model) => [model, { model }]),
  );
  const adapters: Record<string, PlannedTraining["adapters"][string]> = {};
  const predictions = study.predictions.flatMap(({ predictor, target }) => {
    const trained = `${predictor}-predicts-${target}`;
    if (Object.hasOwn(states, trained)) {
      throw new InwardError(
        "STUDY_INVALID",
        `Two model states would be named "${trained}": a prediction stands twice, or a model has an adapter's name.`,
      );
    }
    states[trained] = { model: predictor, adapter: trained };
    adapters[trained] = { base: predictor, target, ...lora };
    return [
      { predictor, target },
      { predictor: trained, target },
      ...(predictor === target ? [{ predictor: trained, target: trained }] : []),
    ];
  });
  return { states, adapters, predictions };
}
