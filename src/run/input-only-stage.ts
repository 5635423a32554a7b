/** Stage 07, third parties: what classifiers predict that learnt a target's train behaviors and see the strings alone. Needs no model. */

import { hashOf, writeJson } from "../base/files.js";
import type { Behavior, Extraction } from "../properties/property.js";
import type { Guess } from "../score/comparison/third-parties.js";
import {
  CLASSIFIERS,
  FEWEST_TRAIN_STRINGS,
  INPUT_ONLY,
  INPUT_ONLY_HELD_OUT_LABELS,
  type InputOnlyExample,
  type InputOnlyPredictions,
  inputOnlyPredictions,
  type InputOnlyQuestion,
  type TargetClassifiers,
  type TrainedClassifiers,
} from "../score/input-only/input-only-predictions.js";
import type { Trial } from "../score/trial.js";
import { learntProperties, type Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { sameText } from "../tasks/strings.js";
import { readBehaviors } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import type { StageContext } from "./open-models.js";
import { type InputOnlyByTarget, readLines } from "./records.js";

/** Raised when what is learnt from changes: version 1 had one classifier by the state whose labels it learnt. */
export const INPUT_ONLY_VERSION = 2;

/** @throws STORE_* */
export async function predictFromStrings({ run }: Pick<StageContext, "run">): Promise<void> {
  await writeJson(run.file("inputOnly"), await learnStrings(run));
}

async function learnStrings(run: RunFolder): Promise<InputOnlyByTarget> {
  const { plan } = run;
  const behaviors = await readBehaviors(run);
  const questions = questionsOf(plan);
  const known = new Map<string, InputOnlyPredictions>();
  // Those that every label teaches and those that an adapter's teach are mostly the same.
  const trained: TrainedClassifiers = new Map();
  const learn = (examples: readonly InputOnlyExample[]): InputOnlyPredictions => {
    const key = hashOf(examples);
    const made = known.get(key) ?? inputOnlyPredictions(examples, questions, FEWEST_TRAIN_STRINGS, trained);
    known.set(key, made);
    return made;
  };
  const byTarget: Record<string, TargetClassifiers> = {};
  for (const target of new Set(plan.predictions.map((pair) => pair.target))) {
    const all = examplesOf(plan, behaviors, statesOf(plan).of(target).labelSource);
    const learnt = await learntPlaces(run, target);
    byTarget[target] = {
      [INPUT_ONLY]: learn(all.filter((example) => learnt(example))),
      [INPUT_ONLY_HELD_OUT_LABELS]: learn(all),
    };
  }
  return byTarget;
}

/** Every train behavior that the mode baseline counts, whatever an adapter was given of them; no string that is held out anywhere. */
function examplesOf(plan: Plan, behaviors: readonly Behavior[], state: string): InputOnlyExample[] {
  const items = new Map(
    plan.tasks.flatMap((task) =>
      task.train.map((item) => [JSON.stringify([task.definition.name, item.id]), item] as const),
    ),
  );
  const heldOut = new Set(plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => sameText(text))));
  return behaviors.flatMap((behavior): InputOnlyExample[] => {
    const { task, item, property, extraction } = behavior;
    const train = items.get(JSON.stringify([task, item]));
    if (behavior.state !== state || behavior.split !== "train" || !train || heldOut.has(sameText(train.text)))
      return [];
    const { text, cluster } = train;
    return behavior.compliance.ok && extraction.ok
      ? [{ task, item, cluster, property, text, value: extraction.value }]
      : [];
  });
}

type IsLearnt = (place: Pick<InputOnlyExample, "task" | "item" | "property">) => boolean;

/**
 * Strings and properties that an adapter which predicts the target learnt from, of the largest set where there are several; its own
 * adapter's, where the target is trained. Where nobody learnt the target, whatever an adapter could have: trained tasks, taught properties.
 */
async function learntPlaces(run: RunFolder, target: string): Promise<IsLearnt> {
  const states = statesOf(run.plan);
  const { origin } = states.of(target);
  const own = states.plainlyTrained.find(({ name }) => name === target);
  const [largest] = states.plainlyTrained
    .filter(({ learntFrom }) => learntFrom === target)
    .sort(
      (a, b) =>
        Number(b.origin === origin) - Number(a.origin === origin) ||
        b.training.examplesPerProperty - a.training.examplesPerProperty,
    );
  const adapter = own ?? largest;
  if (!adapter) {
    const tasks = new Map(
      run.plan.tasks
        .filter(({ trained }) => trained !== false)
        .map((task) => [task.definition.name, learntProperties(task)]),
    );
    return ({ task, property }) => tasks.get(task)?.includes(property) ?? false;
  }
  const examples = await readLines(run, "finetuneSet", adapter.name);
  const places = new Set(examples.map(({ metadata }) => placeOf(metadata as Parameters<typeof placeOf>[0])));
  return (place) => places.has(placeOf(place));
}

function placeOf({
  task,
  item,
  property,
}: {
  readonly task: string;
  readonly item: string;
  readonly property: string;
}) {
  return JSON.stringify([task, item, property]);
}

function questionsOf(plan: Plan): InputOnlyQuestion[] {
  return plan.tasks.flatMap(({ definition, properties, heldOut }) =>
    properties.flatMap((property) =>
      heldOut.map(({ id, text }) => ({ task: definition.name, item: id, property, text })),
    ),
  );
}

/** What the classifiers about one target say; absent where they say nothing at all. */
export interface TargetGuesses {
  readonly inputOnly?: Guess;
  readonly inputOnlyHeldOutLabels?: Guess;
}

type Asked = Pick<Trial, "target" | "task" | "item" | "property">;

/** What classifiers said of every target. */
export interface Sayings {
  readonly about: (target: string) => TargetGuesses;
  /** Beside rules on the string, by name; the second one only for tasks and properties of which it says something else than the first. */
  readonly shownBeside: (asked: Asked) => (readonly [string, Extraction])[];
}

/** Of a run that need not be scored, or was scored by older code: classifiers learn here and now. */
export async function sayingsOfRun(run: RunFolder): Promise<Sayings> {
  return sayingsOf(await learnStrings(run));
}

export function sayingsOf(byTarget: InputOnlyByTarget): Sayings {
  const said = new Map(
    Object.entries(byTarget).flatMap(([target, classifiers]) =>
      Object.keys(CLASSIFIERS).flatMap((name) =>
        classifiers[name as keyof TargetClassifiers].predictions.map(
          ({ prediction, ...place }) => [keyOf(name, { target, ...place }), prediction] as const,
        ),
      ),
    ),
  );
  const saying = (name: string, asked: Asked) => said.get(keyOf(name, asked));
  const differ = new Set(
    Object.entries(byTarget).flatMap(([target, classifiers]) =>
      classifiers[INPUT_ONLY_HELD_OUT_LABELS].predictions
        .filter(({ prediction, ...place }) => {
          const other = saying(INPUT_ONLY, { target, ...place });
          return !(other?.ok && prediction.ok && other.value === prediction.value);
        })
        .map(({ task, property }) => JSON.stringify([target, task, property])),
    ),
  );
  return {
    about: (target) => {
      const guess = (name: keyof TargetClassifiers): Guess | undefined =>
        (byTarget[target]?.[name].predictions.length ?? 0) > 0 ? (trial) => saying(name, trial) : undefined;
      return { inputOnly: guess(INPUT_ONLY), inputOnlyHeldOutLabels: guess(INPUT_ONLY_HELD_OUT_LABELS) };
    },
    shownBeside: (asked) =>
      [INPUT_ONLY, INPUT_ONLY_HELD_OUT_LABELS].flatMap((name) => {
        const { target, task, property } = asked;
        if (name !== INPUT_ONLY && !differ.has(JSON.stringify([target, task, property]))) return [];
        const prediction = saying(name, asked);
        return prediction ? [[name, prediction] as const] : [];
      }),
  };
}

function keyOf(name: string, { target, task, item, property }: Asked): string {
  return JSON.stringify([name, target, task, item, property]);
}
