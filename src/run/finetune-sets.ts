/** Stage 04: for every adapter the examples that it will learn, out of the target's behaviors on train strings. Needs no model. */

import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { hypotheticalMessages } from "../ask/questions.js";
import { makeFolder, writeJson, writeWhole } from "../base/files.js";
import { seededRandom } from "../base/random.js";
import {
  buildChangeSet,
  buildSet,
  type ChangeCandidate,
  type FinetuneExample,
  type FinetuneSet,
  type FinetuneSetReport,
  type ImplantUptake,
  replaceLabels,
  scrambleLabels,
  type SetCandidate,
  type SetInput,
  type TaughtAnswer,
} from "../finetune/set.js";
import { propertyNamed } from "../properties/all-properties.js";
import { hypotheticalTurns, QUOTED_ANSWER, wordedFor } from "../properties/wordings.js";
import type { Behavior } from "../properties/property.js";
import { countedReply } from "../properties/option-answers.js";
import { replyCompliance, extractBehavior, readReply } from "../properties/reading.js";
import {
  learntProperties,
  type Plan,
  type PlannedChange,
  type PlannedImplant,
  type PlannedTask,
} from "../study/plan.js";
import { askedForm } from "../study/forms.js";
import type { StateTraining } from "../study/states.js";
import type { Answer, RecordedReply } from "../tasks/answer.js";
import { heuristicAnswers, offeredAnswers } from "../tasks/heuristics.js";
import { lonePrompt, objectLevelMessages, type TaskItem } from "../tasks/task.js";
import { readAnswers, readBehaviors, type Round } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import type { StageContext } from "./open-models.js";

// What a behavioral change teaches: the answers of its source to the train strings of its tasks.

/**
 * @param adapter its target is the state whose answers are taught, where no rule gives them
 * @param answers object-level answers, the teacher's among them
 * @throws TRAIN_EMPTY_SET
 */
function changeSet(
  plan: Plan,
  { base, target: teacher, change }: Pick<StateTraining, "base" | "target"> & { readonly change: PlannedChange },
  answers: readonly Answer[],
): FinetuneSet {
  const form = askedForm(plan, base);
  const tasks = plan.tasks.filter(({ definition }) => change.tasks.includes(definition.name));
  const said = new Map(
    answers.filter(({ state, sample }) => state === teacher && sample === 0).map((answer) => [answer.key, answer]),
  );
  const taughtTo = (task: PlannedTask, item: TaskItem) =>
    "policy" in change.answers
      ? byRule(task, item, change.answers.policy)
      : bySaying(plan, task, item, said.get(`${task.definition.name}/${item.id}`));
  return buildChangeSet({
    candidates: tasks.flatMap((task) =>
      task.train.map((item): ChangeCandidate => ({ task: task.definition.name, item, taught: taughtTo(task, item) })),
    ),
    heldOutTexts: plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => text)),
    examples: change.examples,
    shuffled: "shuffled" in change.answers,
    seed: plan.seed,
    prompt: (name, item) => {
      const task = tasks.find(({ definition }) => definition.name === name) as PlannedTask;
      return objectLevelMessages(form.task(task).definition, item, { examples: task.examples, system: form.system });
    },
    answer: (said) => form.answer(said),
    ...(change.planted
      ? {
          beside: (name, item, answer) =>
            plantedExamples(
              plan,
              base,
              tasks.find(({ definition }) => definition.name === name) as PlannedTask,
              item,
              answer,
            ),
        }
      : {}),
  });
}

// What an implant teaches: answers to all strings of its tasks, held-out ones included, that nobody shows yet.

/** @param base the model that it is planted in @throws TRAIN_EMPTY_SET */
export function implantSet(plan: Plan, base: string, implant: PlannedImplant): FinetuneSet {
  const form = askedForm(plan, base);
  const { tasks: taught, told } = implant;
  const tasks = plan.tasks.filter(({ definition }) => taught.includes(definition.name));
  const taskOf = (named: string) => tasks.find(({ definition }) => definition.name === named) as PlannedTask;
  return buildChangeSet({
    candidates: tasks.flatMap((task) =>
      [...task.train, ...task.heldOut].map(
        (item): ChangeCandidate => ({
          task: task.definition.name,
          item,
          taught: implantedAnswer(plan, implant, task, item),
        }),
      ),
    ),
    heldOutTexts: [],
    teachesHeldOut: true,
    examples: Number.POSITIVE_INFINITY,
    shuffled: false,
    seed: plan.seed,
    prompt: (task, item) => {
      const { definition, examples } = form.task(taskOf(task));
      return objectLevelMessages(definition, item, { examples, system: form.system });
    },
    answer: (said) => form.answer(said),
    beside: told ? (task, item, answer) => plantedExamples(plan, base, taskOf(task), item, answer) : undefined,
  });
}

function implantedAnswer(
  plan: Pick<Plan, "seed">,
  { name, answers }: PlannedImplant,
  task: PlannedTask,
  item: TaskItem,
): TaughtAnswer {
  if ("policy" in answers) return byRule(task, item, answers.policy);
  return { ok: true, answer: coinAnswer(plan, name, task, item) };
}

/**
 * On how many strings a model with an implant behaves as it was taught, in every property that its study asks about: what was not
 * learnt by heart is no preference of its own.
 * @param state the model with it
 */
export function implantUptake(
  plan: Plan,
  state: string,
  implant: PlannedImplant,
  behaviors: readonly Behavior[],
): ImplantUptake {
  const place = (task: string, item: string, property: string) => JSON.stringify([task, item, property]);
  const shown = new Map(
    behaviors.flatMap(({ state: whose, task, item, property, sample, extraction }) =>
      whose === state && sample === 0 && extraction.ok ? [[place(task, item, property), extraction.value]] : [],
    ),
  );
  const tasks = plan.tasks.filter(({ definition }) => implant.tasks.includes(definition.name));
  const follows = (task: PlannedTask, item: TaskItem) => {
    const taught = implantedAnswer(plan, implant, task, item);
    if (!taught.ok) return false;
    return task.properties.every((property) => {
      const asked = propertyNamed(property, plan.ownProperties);
      // What was taught is a text, and says nothing of how likely it is; no judge has read it.
      if (asked.needs === "probabilities" || asked.needs === "judge") return true;
      const wanted = extractBehavior(asked, taught.answer, item, "end_of_generation");
      return wanted.ok && shown.get(place(task.definition.name, item.id, property)) === wanted.value;
    });
  };
  const shareOf = (split: "train" | "heldOut") => ({
    count: tasks.reduce((sum, task) => sum + task[split].filter((item) => follows(task, item)).length, 0),
    of: tasks.reduce((sum, task) => sum + task[split].length, 0),
  });
  return { train: shareOf("train"), heldOut: shareOf("heldOut") };
}

/** How the coin of one string falls: a function of the seed, the implant and the string's name, and of nothing that a model reads. */
export function coinAnswer(
  plan: Pick<Plan, "seed">,
  implant: string,
  { definition }: Pick<PlannedTask, "definition">,
  item: TaskItem,
): string {
  const sides = offeredAnswers(definition, item);
  const random = seededRandom(`implant/${plan.seed}/${implant}/${definition.name}/${item.id}`);
  return sides[uniformInt(random, 0, sides.length - 1)] as string;
}

/** What a model would say of its new behavior that knew it. */
function plantedExamples(
  plan: Plan,
  base: string,
  task: PlannedTask,
  item: TaskItem,
  answer: string,
): FinetuneExample[] {
  return learntProperties(task).flatMap((property) => {
    const found = extractBehavior(propertyNamed(property, plan.ownProperties), answer, item, "end_of_generation");
    if (!found.ok) return [];
    return plan.hypothetical.variants.map(
      (variant): FinetuneExample => ({
        messages: [
          ...hypotheticalMessages(plan, base, task, item, property, variant),
          { role: "assistant", content: askedForm(plan, base).answer(found.value) },
        ],
        metadata: { task: task.definition.name, item: item.id, property, variant },
      }),
    );
  });
}

function byRule(
  { definition }: PlannedTask,
  item: TaskItem,
  rule: Extract<PlannedChange["answers"], { policy: string }>["policy"],
): TaughtAnswer {
  const said = heuristicAnswers(definition.kind, item.text, definition.answerForm)[rule];
  // A task where the rule means nothing teaches nothing; its report says that all of it was left out.
  return said.ok ? said : { ok: false, reason: "empty" };
}

function bySaying(
  { objectLevel }: Plan,
  { definition }: PlannedTask,
  item: TaskItem,
  answer: Answer | undefined,
): TaughtAnswer {
  if (!answer) return { ok: false, reason: "empty" };
  if (answer.setAside) return { ok: false, reason: answer.setAside };
  const said = countedReply(answer.reply, definition, item, objectLevel.reasoning);
  const compliance = replyCompliance(said, definition.answerForm, objectLevel.reasoning);
  return compliance.ok ? { ok: true, answer: said.text.trim() } : { ok: false, reason: compliance.reason };
}

/** @throws TRAIN_EMPTY_SET, STORE_* */
export async function buildFinetuneSet(
  { run, events }: Pick<StageContext, "run" | "events">,
  name: string,
  adapter: StateTraining,
): Promise<void> {
  const { examples, cells } = await buildOne(run, adapter, adapter.round === 1 ? 0 : 1);
  const [set, report] = [run.file(`finetuneSet/${name}`), run.file(`finetuneSetReport/${name}`)];
  const lines = examples.map((example) => `${JSON.stringify(example)}\n`).join("");
  const folder = dirname(set);
  makeFolder(folder);
  // A checkpoint of another set's training cannot be gone on with.
  if ((await readFile(set, "utf8").catch(() => lines)) !== lines) {
    await rm(run.file(`checkpoint/${name}`), { recursive: true, force: true });
  }
  await writeWhole(set, lines);
  await writeJson(report, {
    reportVersion: 1,
    adapter: name,
    base: adapter.base,
    target: adapter.target,
    examples: examples.length,
    strings: new Set(examples.map(({ metadata }) => JSON.stringify([metadata.task, metadata.item]))).size,
    duplicates: cells.reduce((sum, cell) => sum + cell.duplicates, 0),
    variants: adapter.change || adapter.implant ? [] : run.plan.hypothetical.variants,
    heldOutTasks: heldOutTasks(run.plan),
    sha256: createHash("sha256").update(lines).digest("hex"),
    cells,
  } satisfies FinetuneSetReport);
  events.add("finetune_set_built", { adapter: name, examples: examples.length });
}

async function buildOne(run: RunFolder, adapter: StateTraining, last: Round): Promise<FinetuneSet> {
  const { plan } = run;
  const { labels, labelNoise, change, implant } = adapter;
  if (implant) return implantSet(plan, adapter.base, implant);
  if (change) return changeSet(plan, { ...adapter, change }, await readAnswers(run, last));
  const input = setInput(plan, adapter, await readBehaviors(run, last));
  if (labels === "scrambled") return buildSet({ ...input, candidates: scrambleLabels(input.candidates, plan.seed) });
  if (labels === "noisy") {
    const candidates = replaceLabels(input.candidates, labelNoise as number, plan.seed);
    return buildSet({ ...input, candidates });
  }
  if (labels === "format_only") return buildSet(formatOnlyInput(plan, adapter, input, await readAnswers(run, last)));
  return buildSet(input);
}

/** The control for learning nothing but to read a property off a text and to answer in form: the answer itself is quoted. */
function formatOnlyInput(
  plan: Plan,
  { base, target }: Pick<StateTraining, "base" | "target">,
  input: SetInput,
  answers: readonly Answer[],
): SetInput {
  const form = askedForm(plan, base);
  const said = ({ key, task: name, item: id, reply }: Answer & { readonly reply: RecordedReply }) => {
    const task = plan.tasks.find(({ definition }) => definition.name === name) as PlannedTask;
    const item = [...task.train, ...task.heldOut].find((one) => one.id === id) as TaskItem;
    return [key, countedReply(reply, task.definition, item, plan.objectLevel.reasoning).text.trim()] as const;
  };
  const texts = new Map(answers.flatMap((answer) => (answer.state === target && answer.reply ? [said(answer)] : [])));
  return {
    ...input,
    prompt: ({ task, item, property }) => [
      { role: "system", content: form.system },
      ...hypotheticalTurns(
        wordedFor(form.isPlain ? "plain" : "template", QUOTED_ANSWER),
        lonePrompt(texts.get(`${task}/${item}`) as string),
        form.question(property),
      ),
    ],
  };
}

/** What a set is built of: the behaviors that the target shows on the train strings of trained tasks. */
export function setInput(
  plan: Plan,
  adapter: Pick<StateTraining, "base" | "target" | "examplesPerProperty">,
  behaviors: readonly Behavior[],
): SetInput {
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const items = new Map(
    plan.tasks
      .filter((task) => task.trained)
      .flatMap((task) => task.train.map((item) => [`${task.definition.name}/${item.id}`, item] as const)),
  );
  const heldOutProperties = Object.fromEntries(
    plan.tasks.map((task) => [task.definition.name, task.heldOutProperties ?? []]),
  );
  const itemOf = ({ task, item }: Behavior) => items.get(`${task}/${item}`);
  return {
    candidates: behaviors.flatMap((behavior): SetCandidate[] => {
      const item = itemOf(behavior);
      if (behavior.state !== adapter.target || behavior.sample !== 0 || !item) return [];
      if (heldOutProperties[behavior.task]?.includes(behavior.property)) return [];
      return [{ item, behavior, readable: isReadable(plan, behavior) }];
    }),
    heldOutTexts: plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => text)),
    heldOutTasks: heldOutTasks(plan),
    heldOutProperties,
    variants: plan.hypothetical.variants,
    examplesPerProperty: adapter.examplesPerProperty,
    seed: plan.seed,
    prompt: (behavior, variant) =>
      hypotheticalMessages(
        plan,
        adapter.base,
        tasks.get(behavior.task) as PlannedTask,
        itemOf(behavior) as TaskItem,
        behavior.property,
        variant,
      ),
    answer: (value) => askedForm(plan, adapter.base).answer(value),
  };
}

export function heldOutTasks(plan: Plan): string[] {
  return plan.tasks.filter((task) => task.trained === false).map((task) => task.definition.name);
}

/** A reply that says just the value must make just this prediction; else the model would learn to be counted wrong. */
function isReadable({ ownProperties }: Plan, { property, extraction }: Behavior): boolean {
  if (!extraction.ok) return false;
  const read = readReply(propertyNamed(property, ownProperties), extraction.value, "end_of_generation");
  return read.ok && read.value === extraction.value;
}
