/**
 * Stage 07, the third party: what a classifier predicts that learnt the targets' train behaviors and sees the strings alone.
 * Needs no model.
 */
import { sameText } from "../finetune/build-sets.js";
import type { Behavior } from "../records/behavior.js";
import type { Extraction } from "../records/extraction.js";
import type { Plan } from "../records/plan.js";
import {
  FEWEST_TRAIN_STRINGS,
  type InputOnlyExample,
  type InputOnlyPredictions,
  type InputOnlyQuestion,
  inputOnlyPredictions,
} from "../score/input-only/input-only-predictions.js";
import { hashOf } from "../store/canonical-json.js";
import { readJson, readJsonLines } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { writeJson } from "../store/write-whole.js";
import type { StageContext } from "./stage-context.js";

/** The content of 07-input-only.json: by the state whose train behaviors were learnt. */
export type InputOnlyByState = Readonly<Record<string, InputOnlyPredictions>>;

/** What the classifier says of a target; undefined where none was trained. */
export type InputOnlyGuess = (target: string, task: string, item: string, property: string) => Extraction | undefined;

/** @throws STORE_* */
export async function predictFromStrings({ run }: Pick<StageContext, "run">): Promise<void> {
  const inputs = { plan: hashOf(run.plan), behaviors: run.outputHash("behaviors") };
  if (await run.isDone("inputOnly", inputs)) return;
  const { rows } = await readJsonLines<Behavior>(run.file("behaviors"));
  const states = new Set(run.plan.predictions.map(({ target }) => labelSource(run.plan, target)));
  const questions = questionsOf(run.plan);
  const byState: InputOnlyByState = Object.fromEntries(
    [...states].map((state) => [
      state,
      inputOnlyPredictions(examplesOf(run.plan, rows, state), questions, FEWEST_TRAIN_STRINGS),
    ]),
  );
  await writeJson(run.file("inputOnly"), byState);
  await run.markDone("inputOnly", inputs);
}

/** @throws STORE_* */
export async function readInputOnly(run: RunFolder): Promise<InputOnlyByState> {
  return readJson<InputOnlyByState>(run.file("inputOnly"));
}

export function guessOf(plan: Plan, byState: InputOnlyByState): InputOnlyGuess {
  const said = new Map(
    Object.entries(byState).flatMap(([state, { predictions }]) =>
      predictions.map(
        ({ task, item, property, prediction }) => [JSON.stringify([state, task, item, property]), prediction] as const,
      ),
    ),
  );
  return (target, task, item, property) => said.get(JSON.stringify([labelSource(plan, target), task, item, property]));
}

/**
 * Whose train behaviors serve a target's baselines. An adapted target's own train strings are not asked unless somebody learns
 * from them: what its adapter learnt from serves in their place; for a changed one, what the adapter did that it goes on from.
 */
export function labelSource(plan: Plan, target: string): string {
  const adapter = plan.adapters?.[target];
  if (!adapter) return target;
  return adapter.change ? labelSource(plan, adapter.change.from) : labelSource(plan, adapter.target);
}

/** Every train behavior that the mode baseline counts, whatever an adapter was given of them; no string that is held out anywhere. */
function examplesOf(plan: Plan, behaviors: readonly Behavior[], state: string): InputOnlyExample[] {
  const texts = new Map(
    plan.tasks.flatMap((task) =>
      task.train.map((item) => [JSON.stringify([task.definition.name, item.id]), item.text] as const),
    ),
  );
  const heldOut = new Set(plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => sameText(text))));
  return behaviors.flatMap((behavior): InputOnlyExample[] => {
    const { task, item, property, extraction } = behavior;
    const text = texts.get(JSON.stringify([task, item]));
    if (behavior.state !== state || behavior.split !== "train" || text === undefined || heldOut.has(sameText(text))) {
      return [];
    }
    return behavior.compliance.ok && extraction.ok ? [{ task, item, property, text, value: extraction.value }] : [];
  });
}

function questionsOf(plan: Plan): InputOnlyQuestion[] {
  return plan.tasks.flatMap(({ definition, properties, heldOut }) =>
    properties.flatMap((property) =>
      heldOut.map(({ id, text }) => ({ task: definition.name, item: id, property, text })),
    ),
  );
}
