/** Behavioral change: a self-predictor is finetuned further on other behavior, and everybody is asked about before and after. */
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import type { PlannedAdapter, PlannedChange, PlannedTask } from "../records/plan.js";
import type { StudyChange, StudyLora } from "../records/study.js";
import type { StatesDraft } from "./states-draft.js";

/** @throws STUDY_INVALID, STUDY_UNKNOWN_MODEL */
export function planChanges(
  draft: StatesDraft,
  changes: readonly StudyChange[],
  lora: StudyLora,
  tasks: readonly PlannedTask[],
): void {
  for (const change of changes) {
    const { name, model, answers, examples, planted } = change;
    const self = draft.selves.get(model);
    if (self === undefined) {
      throw new InwardError(
        "STUDY_INVALID",
        `The change ${name} is one of ${model}, which does not predict itself: predictions needs { predictor: ${model}, target: ${model} }.`,
      );
    }
    const after = `${self}-changed-${name}`;
    const adapter: PlannedAdapter = {
      base: model,
      target: teacherOf(draft, change),
      change: {
        name,
        from: self,
        answers,
        tasks: taughtTasks(change, tasks),
        examples,
        ...(planted ? { planted: true as const } : {}),
      },
      examplesPerProperty: lora.examplesPerProperty,
      settings: {
        ...lora.settings,
        ...(change.learningRate === undefined ? {} : { learningRate: change.learningRate }),
        ...(change.epochs === undefined ? {} : { epochs: change.epochs }),
      },
    };
    draft.addAdapter(after, adapter);
    // The changed model, the same as it was before it changed, and whoever else learnt what it did then.
    const crosses = [...draft.predictorsOf(model), ...draft.predictorsOf(self)].filter(
      (predictor) => draft.state(predictor)?.model !== model,
    );
    const changedCrosses = (change.alsoTeach ?? []).map((other) =>
      teachCross(draft, { change, adapter, after, other }),
    );
    for (const predictor of [after, self, ...crosses, ...changedCrosses]) {
      for (const target of [self, after]) draft.addPair(predictor, target);
    }
  }
}

interface AlsoTaught {
  readonly change: StudyChange;
  /** The changed model's. */
  readonly adapter: PlannedAdapter;
  readonly after: string;
  /** The model whose cross-predictor learns the same answers. */
  readonly other: string;
}

/** @returns the changed cross-predictor's name */
function teachCross(draft: StatesDraft, { change, adapter, after, other }: AlsoTaught): string {
  const { name, model } = change;
  if ("model" in change.answers && change.answers.model === other) {
    throw new InwardError("STUDY_INVALID", `The change ${name} would teach ${other} what it does already.`);
  }
  const sizeOf = (predictor: string) => draft.adapter(predictor)?.examplesPerProperty ?? 0;
  // Of a series, the one that has learnt most, whatever order the study lists it in.
  const cross = draft
    .predictorsOf(model)
    .filter((predictor) => draft.state(predictor)?.model === other)
    .sort((a, b) => sizeOf(a) - sizeOf(b))
    .at(-1);
  if (other === model || cross === undefined) {
    throw new InwardError(
      "STUDY_INVALID",
      `The change ${name} is also to be taught to ${other}, which is no cross-predictor of ${model}: predictions needs { predictor: ${other}, target: ${model} } of another model.`,
    );
  }
  const changed = `${cross}-changed-${name}`;
  const taught = { ...(adapter.change as PlannedChange), from: cross, alongside: after };
  draft.addAdapter(changed, { ...adapter, base: other, change: taught });
  return changed;
}

/** The state whose answers are learnt; where a rule gives them, the model itself stands there and is not listened to. */
function teacherOf(draft: StatesDraft, { name, model, answers }: StudyChange): string {
  if ("model" in answers) {
    draft.requireState(answers.model, `the change ${name}`);
    if (answers.model === model) {
      throw new InwardError("STUDY_INVALID", `The change ${name} would teach ${model} what it does already.`);
    }
    return answers.model;
  }
  if (!("prefix" in answers)) return model;
  const teacher = `${model}-under-${name}`;
  draft.addState(teacher, { model, system: answers.prefix });
  return teacher;
}

function taughtTasks({ name, tasks: wanted }: StudyChange, tasks: readonly PlannedTask[]): string[] {
  const trained = tasks
    .filter((task) => task.trained && task.train.length > 0)
    .map(({ definition }) => definition.name);
  const unknown = wanted?.find((task) => !trained.includes(task));
  if (unknown !== undefined) {
    const near = nearestName(unknown, trained);
    throw new InwardError(
      "STUDY_INVALID",
      `The change ${name} is to be taught on ${unknown}, which is no trained task with train strings.${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }
  return wanted ? [...wanted] : trained;
}
