/** What a study with `lora` trains and scores: an adapter for each of its predictions, and the model states that follow. */
import { InwardError } from "../errors.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import type { Study, StudyPrediction } from "../records/study.js";

type PlannedTraining = Pick<Plan, "predictions"> & Required<Pick<Plan, "states" | "adapters">>;

/**
 * @returns undefined when the study trains nothing
 * @throws STUDY_INVALID when there is no train string to learn from, two states would have one name, two adapters would be the same,
 * or a prediction names a seed and nothing is trained
 */
export function planTraining(study: Study, tasks: readonly PlannedTask[]): PlannedTraining | undefined {
  const { lora } = study;
  if (!lora) {
    refuseSeeds(study.predictions);
    return undefined;
  }
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
  const predictions = study.predictions.flatMap((prediction) => {
    const { predictor, target, seed = lora.settings.seed } = prediction;
    const trained = stateName(prediction);
    if (Object.hasOwn(states, trained)) {
      throw new InwardError(
        "STUDY_INVALID",
        `Two model states would be named "${trained}": a prediction stands twice, or a model has an adapter's name.`,
      );
    }
    const others = Object.entries(adapters).filter(([, one]) => one.base === predictor && one.target === target);
    const twin = others.find(([, { settings }]) => settings.seed === seed);
    if (twin) {
      throw new InwardError(
        "STUDY_INVALID",
        `"${twin[0]}" and "${trained}" would be one adapter: both have seed ${seed}.`,
      );
    }
    states[trained] = { model: predictor, adapter: trained };
    adapters[trained] = { base: predictor, target, ...lora, settings: { ...lora.settings, seed } };
    return [
      // What the untrained model says does not depend on a seed.
      ...(others.length > 0 ? [] : [{ predictor, target }]),
      { predictor: trained, target },
      ...(predictor === target ? [{ predictor: trained, target: trained }] : []),
    ];
  });
  return { states, adapters, predictions };
}

/** The adapter's, and that of the state that carries it. */
function stateName({ predictor, target, seed }: StudyPrediction): string {
  return `${predictor}-predicts-${target}${seed === undefined ? "" : `-seed-${seed}`}`;
}

function refuseSeeds(predictions: readonly StudyPrediction[]): void {
  const seeded = predictions.find(({ seed }) => seed !== undefined);
  if (!seeded) return;
  const { predictor, target, seed } = seeded;
  throw new InwardError(
    "STUDY_INVALID",
    `The prediction of ${target} by ${predictor} has seed ${seed}, which is one of training, and the study has no lora.`,
  );
}
