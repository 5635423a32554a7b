/** One trial from the study to the token: both prompts, both texts, what was read from them, and the same string asked otherwise. */

import { z } from "zod";
import { type DistributionRow, distributionRowSchema } from "../../ask/measure-distribution.js";
import { challengedKey, hypotheticalMessages, promptOfItem, type ShownPairs, shownPairs } from "../../ask/questions.js";
import type { Distribution } from "../../ask/expand-distribution.js";
import { propertyNamed } from "../../properties/all-properties.js";
import { type Behavior, behaviorSchema } from "../../properties/property.js";
import { readBehaviors } from "../behaviors.js";
import { RUN_FILES, type RunFile, type RunFolder } from "../folder.js";
import { BECAUSE, type TrialRow, trialRowSchema } from "../../score/trial-rows.js";
import type { PlannedTask, Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import { type Answer, answerSchema, type ChatMessage } from "../../tasks/answer.js";
import { challengedMessages, type TaskItem } from "../../tasks/task.js";
import { InwardError } from "../../errors.js";
import { stateNames } from "../../report/state-names.js";
import { InsideTrials } from "./inside-trial.js";
import { TokenLenses } from "./token-lenses.js";
import type { LookedAt } from "./plain-files.js";
import { answerKeyOf, behaviorLineKey, distributionKeys, type ReadTrials, trialKey } from "./trial-table.js";
import type { AskedView, BesideTrial, Shown, TokenLens, TrialView } from "./trial-shapes.js";

/** A run whose trials were read. */
export interface OpenTrials {
  readonly run: RunFolder;
  readonly read: ReadTrials;
  readonly inside: InsideTrials;
  readonly tokenLenses: TokenLenses;
  /** Turns that are put before questions; read from behaviors once, where a state is shown any. */
  readonly shown: () => Promise<ShownPairs>;
}

/** @param isWritten whether a run of this plan has a file */
export function openTrials(
  run: RunFolder,
  read: ReadTrials,
  folder: LookedAt,
  isWritten: (file: RunFile) => boolean,
): OpenTrials {
  let shown: Promise<ShownPairs> | undefined;
  const make = async (): Promise<ShownPairs> => {
    const isShown = statesOf(run.plan).all.some((state) => state.shown);
    return isShown ? shownPairs(run.plan, await readBehaviors(run)) : () => [];
  };
  return {
    run,
    read,
    inside: new InsideTrials(folder, isWritten),
    tokenLenses: new TokenLenses(folder, isWritten),
    shown: () => {
      shown ??= make();
      return shown;
    },
  };
}

/**
 * @param line of 08-trials.jsonl, from 0
 * @returns undefined where there is no such trial
 */
export async function trialView(open: OpenTrials, line: number): Promise<TrialView | undefined> {
  const { run, read } = open;
  const { plan } = run;
  const row = await trialRow(open, line);
  if (row === undefined) return undefined;
  const task = plan.tasks.find(({ definition }) => definition.name === row.task);
  const item = task && [...task.train, ...task.heldOut].find(({ id }) => id === row.item);
  const [answer, reply] = [await answerAsked(open, row, task, item), await replyOf(open, row, task, item)];
  const challenged = await finalAnswerOf(open, row, task, answer);
  const behavior = await read.lines
    .get(row.behaviorFile)
    ?.read<Behavior>(behaviorLineKey({ ...row, state: row.target, sample: behaviorSample(row) }), behaviorSchema);
  return {
    line,
    row,
    because: BECAUSE[row.because],
    item: item
      ? { ok: true, value: { ...item, task: row.task, split: item.split } }
      : { ok: false, reason: `the plan has no string ${row.item} of ${row.task}` },
    property: propertyView(plan, row.property),
    answer,
    ...(challenged === undefined ? {} : { challenged }),
    reply,
    ...(row.option === undefined ? {} : { option: row.option }),
    judged: behavior?.judged
      ? { ok: true, value: { probability: behavior.judged.probability, lead: behavior.judged.lead } }
      : { ok: false, reason: "no judge was asked about it" },
    beside: besideOf(plan, read, row, line),
    distributions: await distributionsOf(open, row),
    inside: {
      lenses: await open.inside.lenses(row),
      whole: await open.tokenLenses.prompts(row),
      probes: open.inside.probes(row),
      patches: await open.inside.patches(row),
    },
  };
}

function trialRow({ read }: OpenTrials, line: number): Promise<TrialRow | undefined> | undefined {
  return read.lines.get(RUN_FILES.trials)?.read<TrialRow>(trialKey(line), trialRowSchema);
}

/** What lenses read at every token of its prompts. @returns undefined where there is no such trial */
export async function trialTokenLenses(
  open: OpenTrials,
  line: number,
): Promise<Shown<readonly TokenLens[]> | undefined> {
  const row = await trialRow(open, line);
  return row && open.tokenLenses.of(row);
}

/** Where only replies were drawn again, the behavior is that of the greedy answer. */
function behaviorSample({ answerKey, sample }: Pick<TrialRow, "answerKey" | "sample">): number {
  const drawn = /#(\d+)$/.exec(answerKey)?.[1];
  return drawn === undefined ? 0 : Number(drawn) || sample;
}

function propertyView(plan: Plan, name: string): TrialView["property"] {
  const question = plan.wordings.properties[name] ?? "";
  try {
    const { summary, dependsOn = "first_characters" } = propertyNamed(name, plan.ownProperties);
    return { name, question, summary, rule: `read from the ${dependsOn.replaceAll("_", " ")}` };
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    return { name, question, summary: error.message, rule: "not known to this version of inward" };
  }
}

// Prompts are built as they were when they were asked, from the plan. What the model's tokens were is told by their hash.

async function lineOf(open: OpenTrials, file: string, state: string, key: string): Promise<Answer | undefined> {
  const found = await open.read.lines.get(file)?.read<Answer>(answerKeyOf(state, key), answerSchema);
  return found?.state === state && found.key === key ? found : undefined;
}

function askedView(
  plan: Plan,
  found: Answer | undefined,
  asked: Pick<AskedView, "state" | "file" | "key">,
  messages: Shown<readonly ChatMessage[]>,
): AskedView {
  return {
    ...asked,
    stateWords: stateNames(plan)(asked.state),
    messages,
    ...(found?.reply === undefined ? {} : { reply: found.reply }),
    ...(found?.setAside === undefined ? {} : { setAside: found.setAside }),
    ...(found === undefined ? { missing: `${asked.file} has no line ${asked.key} of ${asked.state}` } : {}),
  };
}

function built(make: () => readonly ChatMessage[]): Shown<readonly ChatMessage[]> {
  try {
    return { ok: true, value: make() };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

const NO_STRING = { ok: false, reason: "the plan does not have its string" } as const;

async function answerAsked(
  open: OpenTrials,
  { target, answerFile: file, answerKey: key }: TrialRow,
  task: PlannedTask | undefined,
  item: TaskItem | undefined,
): Promise<AskedView> {
  const { plan } = open.run;
  const found = await lineOf(open, file, target, key);
  const messages = task && item ? built(() => promptOfItem(plan, target, task, item)) : NO_STRING;
  return askedView(plan, found, { state: target, file, key }, messages);
}

async function replyOf(
  open: OpenTrials,
  { predictor, replyKey: key, property, variant }: TrialRow,
  task: PlannedTask | undefined,
  item: TaskItem | undefined,
): Promise<AskedView> {
  const { plan } = open.run;
  const file = RUN_FILES.hypothetical;
  const found = await lineOf(open, file, predictor, key);
  const shown = await open.shown().catch((error: unknown) => {
    if (error instanceof InwardError) return error;
    throw error;
  });
  const wording = statesOf(plan).of(predictor).wording ?? variant;
  const messages =
    !task || !item
      ? NO_STRING
      : shown instanceof InwardError
        ? ({ ok: false, reason: `what it was shown before cannot be told: ${shown.message}` } as const)
        : built(() => {
            const before = shown(predictor, property, wording, task.definition.name);
            return hypotheticalMessages(plan, predictor, task, item, property, wording, before);
          });
  return askedView(plan, found, { state: predictor, file, key }, messages);
}

async function finalAnswerOf(
  open: OpenTrials,
  { target, answerFile, answerKey }: TrialRow,
  task: PlannedTask | undefined,
  first: AskedView,
): Promise<AskedView | undefined> {
  const challenge = task?.definition.challenge;
  if (challenge === undefined) return undefined;
  const file = answerFile.replace("object-level", "challenged");
  const key = challengedKey(answerKey);
  const found = await lineOf(open, file, target, key);
  const { reply, messages: asked } = first;
  const messages: Shown<readonly ChatMessage[]> =
    asked.ok && reply
      ? built(() => challengedMessages(asked.value, reply.text, challenge))
      : { ok: false, reason: "there is no first answer to doubt" };
  return askedView(open.run.plan, found, { state: target, file, key }, messages);
}

async function distributionsOf(open: OpenTrials, row: TrialRow): Promise<TrialView["distributions"]> {
  const lines = open.read.lines.get(RUN_FILES.distributions);
  const none = (reason: string) => ({ ok: false, reason }) as const;
  if (lines === undefined) {
    const why = none("the study names no calibration, so that no distribution was measured");
    return { behavior: why, prediction: why };
  }
  const [behavior, prediction] = await Promise.all(
    distributionKeys(row).map(async (key): Promise<Shown<Distribution>> => {
      const found = await lines.read<DistributionRow>(key, distributionRowSchema);
      if (found === undefined) return none("not measured: calibration takes the first strings of each task");
      return found.distribution ? { ok: true, value: found.distribution } : none(`set aside: ${found.setAside}`);
    }),
  );
  return { behavior: behavior as Shown<Distribution>, prediction: prediction as Shown<Distribution> };
}

/** The same string, property and wording: before and after training, self and cross, other wordings and samples. */
function besideOf(plan: Plan, { table }: ReadTrials, row: TrialRow, line: number): BesideTrial[] {
  const { columns, items, states, variants, words, extractions, texts, properties } = table;
  const item = items.findIndex(({ task, id }) => task === row.task && id === row.item);
  const property = properties.indexOf(row.property);
  const found: BesideTrial[] = [];
  for (let at = 0; at < table.rows; at++) {
    if (columns.itemOf[at] !== item || columns.propertyOf[at] !== property || columns.line[at] === line) continue;
    const predictor = states[columns.predictorOf[at] as number] as string;
    const target = states[columns.targetOf[at] as number] as string;
    const variant = variants[columns.variantOf[at] as number] as string;
    found.push({
      line: columns.line[at] as number,
      predictor,
      target,
      variant,
      sample: columns.sample[at] as number,
      outcome: (["right", "wrong", "excluded"] as const)[columns.outcome[at] as number] ?? "excluded",
      because: words[columns.becauseOf[at] as number] as string,
      behavior: extractions[columns.behaviorOf[at] as number] as BesideTrial["behavior"],
      prediction: extractions[columns.predictionOf[at] as number] as BesideTrial["prediction"],
      answer: texts[columns.answerAsked[at] as number] ?? "",
      reply: texts[columns.replyOf[at] as number] ?? "",
      relation: relationOf(plan, row, { predictor, target, variant }),
    });
  }
  return found;
}

function relationOf(plan: Plan, row: TrialRow, other: Pick<BesideTrial, "predictor" | "target" | "variant">): string {
  const states = statesOf(plan);
  if (other.predictor === row.predictor && other.target === row.target) {
    return other.variant === row.variant ? "another sample" : "another wording";
  }
  const kind = { self: "itself after training", cross: "another model", untrained: "as it came" }[states.kindOf(other)];
  const about = other.target === row.target ? "" : ", about another target";
  return `${kind}${about}`;
}

/** A trial as a request for tokens needs it. */
export const lineSchema = z.coerce.number().int().min(0);
