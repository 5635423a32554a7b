/** What a study trains and scores: an adapter for each of its predictions, controls and changes, and the model states that follow. */
import { InwardError } from "../errors.js";
import type { Plan, PlannedAdapter, PlannedLabels, PlannedState, PlannedTask } from "../records/plan.js";
import type { Study, StudyLora, StudyPrediction } from "../records/study.js";
import { planChanges } from "./plan-changes.js";
import { StatesDraft } from "./states-draft.js";

type PlannedTraining = Pick<Plan, "predictions" | "states" | "adapters">;

/**
 * @returns nothing but the study's own predictions when every predictor is a model as it came
 * @throws STUDY_INVALID when there is no train string to learn from, two states would have one name, two adapters would be the same,
 * a name is neither a model's nor an earlier state's, or something is trained in a study without lora
 */
export function planTraining(study: Study, tasks: readonly PlannedTask[]): PlannedTraining {
  const { lora, predictions, controls, changes } = study;
  if (!lora) refuseTraining(study);
  const hasShown = predictions.some(({ shown }) => shown !== undefined);
  const hasWordings = controls.wordings.length > 0;
  if (!lora && !hasShown && !hasWordings) return { predictions: predictions.map(pairOf) };
  if (lora && !tasks.some((task) => task.trained && task.train.length > 0)) {
    throw invalid("lora has nothing to learn from: every task is held out (train: false) or has no train strings.");
  }
  const draft = new StatesDraft(Object.keys(study.models));
  for (const prediction of predictions) planPrediction(draft, prediction, lora);
  for (const [model, self] of draft.selves) planControls(draft, model, self, study);
  if (lora) planChanges(draft, changes, lora, tasks);
  return draft.finish();
}

function pairOf({ predictor, target }: StudyPrediction) {
  return { predictor, target };
}

function planPrediction(draft: StatesDraft, prediction: StudyPrediction, lora: StudyLora | undefined): void {
  const { predictor, target, shown } = prediction;
  draft.requireState(target, "predictions");
  if (shown !== undefined) {
    const name = `${predictor}-shown-${shown}-of-${target}`;
    draft.addState(name, { model: predictor, shown: { pairs: shown, target } });
    draft.addPair(name, target);
    return;
  }
  // What the untrained model says does not depend on how another one is trained.
  draft.addPair(predictor, target);
  if (!lora) {
    if (predictor === target) draft.addSelf(predictor, predictor);
    return;
  }
  const { seed = lora.settings.seed, examplesPerProperty = lora.examplesPerProperty } = prediction;
  const name = trainedName(prediction);
  draft.addAdapter(
    name,
    { base: predictor, target, examplesPerProperty, settings: { ...lora.settings, seed } },
    (other) =>
      other.base === predictor &&
      other.target === target &&
      other.settings.seed === seed &&
      other.examplesPerProperty === examplesPerProperty,
  );
  draft.addPair(name, target);
  if (predictor !== target) return;
  draft.addPair(name, name);
  // What it says untrained about what it does trained: a third party, and no question more.
  draft.addPair(predictor, name);
  // Controls and changes are the plain self-predictor's, not those of a member of a series.
  if (prediction.examplesPerProperty === undefined) draft.addSelf(predictor, name);
}

/** The adapter's, and that of the state that carries it. */
function trainedName({ predictor, target, seed, examplesPerProperty }: StudyPrediction): string {
  const size = examplesPerProperty === undefined ? "" : `-from-${examplesPerProperty}`;
  return `${predictor}-predicts-${target}${size}${seed === undefined ? "" : `-seed-${seed}`}`;
}

const LABELS: readonly (readonly ["scrambled" | "formatOnly", PlannedLabels, string])[] = [
  ["scrambled", "scrambled", "scrambled"],
  ["formatOnly", "format_only", "format-only"],
];

/** @param self the state that the controls are compared with */
function planControls(draft: StatesDraft, model: string, self: string, { controls, lora }: Study): void {
  const targets = self === model ? [model] : [model, self];
  const plain = draft.adapter(self);
  for (const [key, labels, ending] of LABELS) {
    if (!controls[key] || !lora || !plain) continue;
    const name = `${self}-${ending}`;
    draft.addAdapter(name, { ...plain, labels } satisfies PlannedAdapter);
    for (const target of targets) draft.addPair(name, target);
  }
  for (const wording of controls.wordings) {
    const name = `${self}-asked-${wording}`;
    draft.addState(name, { ...(draft.state(self) as PlannedState), wording });
    for (const target of targets) draft.addPair(name, target);
  }
}

function refuseTraining({ predictions, controls, changes }: Study): void {
  const seeded = predictions.find(({ seed }) => seed !== undefined);
  if (seeded) {
    throw invalid(
      `The prediction of ${seeded.target} by ${seeded.predictor} has seed ${seeded.seed}, which is one of training, and the study has no lora.`,
    );
  }
  const sized = predictions.find(({ examplesPerProperty }) => examplesPerProperty !== undefined);
  if (sized) {
    throw invalid(
      `The prediction of ${sized.target} by ${sized.predictor} has examplesPerProperty ${sized.examplesPerProperty}, and the study has no lora.`,
    );
  }
  if (controls.scrambled || controls.formatOnly) {
    throw invalid("controls: scrambled and formatOnly are adapters, and the study has no lora.");
  }
  if (changes.length > 0) {
    throw invalid(`changes has ${changes.length}, each a finetuning, and the study has no lora.`);
  }
}

function invalid(what: string): InwardError {
  return new InwardError("STUDY_INVALID", what);
}
