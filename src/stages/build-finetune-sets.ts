/** Stage 04: for every adapter the examples that it will learn, out of the target's behaviors on train strings. Needs no model. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { hypotheticalMessages } from "../ask/hypothetical-questions.js";
import { wordHypothetical } from "../ask/hypothetical-turn.js";
import { buildSet, type FinetuneSet, type SetCandidate, type SetInput } from "../finetune/build-sets.js";
import { scrambleLabels } from "../finetune/scramble-labels.js";
import { propertyNamed } from "../properties/all-properties.js";
import { readReply } from "../properties/reading.js";
import type { Answer } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import type { FinetuneSetReport } from "../records/finetune-set.js";
import type { Plan, PlannedAdapter, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { hashOf } from "../store/canonical-json.js";
import { writeError } from "../store/file-errors.js";
import type { RunFolder } from "../store/run-folder.js";
import { writeJson, writeWhole } from "../store/write-whole.js";
import { adaptersOf } from "./adapters-of-round.js";
import { behaviorHashes, type Round, readAnswers, readBehaviors } from "./behavior-files.js";
import { changeSet } from "./change-set.js";
import type { StageContext } from "./stage-context.js";

/** In the place of a wording, around the answer. */
const QUOTED_ANSWER = 'Suppose your whole response is this text:\n"{question}"\n{property}';

/** @throws TRAIN_EMPTY_SET, STORE_* */
export async function buildFinetuneSets(
  { run, events }: Pick<StageContext, "run" | "events">,
  round: 1 | 2,
): Promise<void> {
  for (const [name, adapter] of adaptersOf(run.plan, round)) {
    const last: Round = round === 1 ? 0 : 1;
    const inputs = { plan: hashOf(run.plan), ...behaviorHashes(run, last) };
    const [set, report] = [`finetuneSet/${name}`, `finetuneSetReport/${name}`] as const;
    if ((await run.isDone(set, inputs)) && (await run.isDone(report, inputs))) continue;
    const { examples, cells } = await buildOne(run, adapter, last);
    const lines = examples.map((example) => `${JSON.stringify(example)}\n`).join("");
    const folder = dirname(run.file(set));
    await mkdir(folder, { recursive: true }).catch((error) => {
      throw writeError(error, folder);
    });
    // A checkpoint of another set's training cannot be gone on with.
    if ((await readFile(run.file(set), "utf8").catch(() => lines)) !== lines) {
      await rm(run.file(`checkpoint/${name}`), { recursive: true, force: true });
    }
    await writeWhole(run.file(set), lines);
    await writeJson(run.file(report), {
      reportVersion: 1,
      adapter: name,
      base: adapter.base,
      target: adapter.target,
      examples: examples.length,
      strings: new Set(examples.map(({ metadata }) => JSON.stringify([metadata.task, metadata.item]))).size,
      duplicates: cells.reduce((sum, cell) => sum + cell.duplicates, 0),
      variants: adapter.change ? [] : run.plan.hypothetical.variants,
      heldOutTasks: heldOutTasks(run.plan),
      sha256: createHash("sha256").update(lines).digest("hex"),
      cells,
    } satisfies FinetuneSetReport);
    await run.markDone(set, inputs);
    await run.markDone(report, inputs);
    events.add("finetune_set_built", { adapter: name, examples: examples.length });
  }
}

async function buildOne(run: RunFolder, adapter: PlannedAdapter, last: Round): Promise<FinetuneSet> {
  const { plan } = run;
  const { target, labels, change } = adapter;
  if (change) return changeSet(plan, change, target, await readAnswers(run, last));
  const input = setInput(plan, adapter, await readBehaviors(run, last));
  if (labels === "scrambled") return buildSet({ ...input, candidates: scrambleLabels(input.candidates, plan.seed) });
  if (labels === "format_only") return buildSet(formatOnlyInput(plan, input, target, await readAnswers(run, last)));
  return buildSet(input);
}

/** The control for learning nothing but to read a property off a text and to answer in form: the answer itself is quoted. */
function formatOnlyInput(plan: Plan, input: SetInput, target: string, answers: readonly Answer[]): SetInput {
  const texts = new Map(
    answers.flatMap(({ state, key, reply }) => (state === target && reply ? [[key, reply.text.trim()] as const] : [])),
  );
  return {
    ...input,
    prompt: ({ task, item, property }) => [
      { role: "system", content: plan.system },
      {
        role: "user",
        content: wordHypothetical(
          QUOTED_ANSWER,
          texts.get(`${task}/${item}`) as string,
          plan.wordings.properties[property] as string,
        ),
      },
    ],
  };
}

/** What a set is built of: the behaviors that the target shows on the train strings of trained tasks. */
export function setInput(plan: Plan, adapter: PlannedAdapter, behaviors: readonly Behavior[]): SetInput {
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const items = new Map(
    plan.tasks
      .filter((task) => task.trained)
      .flatMap((task) => task.train.map((item) => [`${task.definition.name}/${item.id}`, item] as const)),
  );
  const itemOf = ({ task, item }: Behavior) => items.get(`${task}/${item}`);
  return {
    candidates: behaviors.flatMap((behavior): SetCandidate[] => {
      const item = itemOf(behavior);
      if (behavior.state !== adapter.target || behavior.sample !== 0 || !item) return [];
      return [{ item, behavior, readable: isReadable(behavior) }];
    }),
    heldOutTexts: plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => text)),
    heldOutTasks: heldOutTasks(plan),
    variants: plan.hypothetical.variants,
    examplesPerProperty: adapter.examplesPerProperty,
    seed: plan.seed,
    prompt: (behavior, variant) =>
      hypotheticalMessages(
        plan,
        tasks.get(behavior.task) as PlannedTask,
        itemOf(behavior) as TaskItem,
        behavior.property,
        variant,
      ),
  };
}

export function heldOutTasks(plan: Plan): string[] {
  return plan.tasks.filter((task) => task.trained === false).map((task) => task.definition.name);
}

/** A reply that says just the value must make just this prediction; else the model would learn to be counted wrong. */
function isReadable({ property, extraction }: Behavior): boolean {
  if (!extraction.ok) return false;
  const read = readReply(propertyNamed(property), extraction.value, "end_of_generation");
  return read.ok && read.value === extraction.value;
}
