/** Stages 02, 06 and 07: puts the plan's questions to the models, resuming where an earlier process stopped. */

import { rm } from "node:fs/promises";
import { askQuestions, GroupAsker, type GroupAskerOptions, RateWatch } from "../ask/groups.js";
import {
  adaptedObjectLevelQuestions,
  challengeQuestions,
  hasChallenges,
  hypotheticalQuestions,
  objectLevelQuestions,
  type Question,
  shownPairs,
} from "../ask/questions.js";
import { hashOf, readJsonLines } from "../base/files.js";
import type { Answer } from "../tasks/answer.js";
import {
  ANSWERS_OF_ROUND,
  behaviorHashes,
  CHALLENGED_OF_ROUND,
  readBehaviors,
  type Round,
  roundsOf,
} from "./behaviors.js";
import type { RunFile, RunFolder } from "./folder.js";
import type { StageContext } from "./models.js";
import { adapterHashes } from "./train-stages.js";
import { statesOf } from "../study/states.js";

// The asker of a stage: crashes and what they cost go to the run's event log.

/** @param stage its name, as the progress has it */
export function groupAsker(
  { run, events, modelFor, reopenModel, signal }: StageContext,
  stage: string,
  options: Pick<GroupAskerOptions, "sequences"> = {},
): GroupAsker {
  return new GroupAsker({
    topTokens: run.plan.engine.topTokens,
    modelFor,
    reopenModel,
    onCrash: (crash) => events.add("engine_crashed", { stage, ...crash }),
    onSetAside: ({ state, key }) => events.add("item_set_aside", { stage, state, key, reason: "engine_crashed" }),
    ...options,
    ...(signal ? { signal } : {}),
  });
}

export function askObjectLevel(context: StageContext): Promise<void> {
  return ask(context, "objectLevel", "object-level", objectLevelQuestions(context.run.plan));
}

/**
 * Doubts every first answer of the tasks that challenge, of models as they came or of the states that a round of training made.
 * Writes no file when there is none.
 */
export async function askChallenges(context: StageContext, round: Round): Promise<void> {
  const { run } = context;
  if (!hasChallenges(run.plan) || !roundsOf(run.plan).includes(round)) return;
  const asked = round === 0 ? objectLevelQuestions(run.plan) : adaptedObjectLevelQuestions(run.plan, round);
  const first = ANSWERS_OF_ROUND[round];
  const { rows } = await readJsonLines<Answer>(run.file(first));
  const stage = round === 0 ? "object-level, challenged" : "object-level, adapted, challenged";
  // The questions hold the first answers.
  await ask(context, CHALLENGED_OF_ROUND[round], stage, challengeQuestions(run.plan, asked, rows), {
    [first]: run.outputHash(first),
  });
}

/** Asks nothing, and writes no file, when no state that this round of training made is listened to. */
export async function askAdaptedObjectLevel(context: StageContext, round: 1 | 2): Promise<void> {
  const { run } = context;
  const questions = adaptedObjectLevelQuestions(run.plan, round);
  if (questions.length === 0) return;
  const stage = round === 1 ? "object-level, adapted" : "object-level, adapted again";
  await ask(context, ANSWERS_OF_ROUND[round], stage, questions, adapterHashes(run, round));
}

export async function askHypothetical(context: StageContext): Promise<void> {
  const { run } = context;
  const isShown = statesOf(run.plan).all.some(({ shown }) => shown);
  const shown = isShown ? shownPairs(run.plan, await readBehaviors(run)) : undefined;
  await ask(context, "hypothetical", "hypothetical", hypotheticalQuestions(run.plan, shown), {
    ...adapterHashes(run),
    ...(isShown ? { shown: behaviorHashes(run) } : {}),
  });
}

async function ask(
  context: StageContext,
  file: RunFile,
  stage: string,
  questions: readonly Question[],
  dependsOn: object = {},
): Promise<void> {
  const { run, events } = context;
  const inputs = { plan: hashOf(run.plan), ...dependsOn };
  if (await run.isDone(file, inputs)) {
    context.onProgress(stage, questions.length, questions.length);
    return;
  }
  await removeOutdated(run, file, questions.length);
  events.add("stage_begun", { stage, questions: questions.length });
  const rates = new RateWatch();
  await askQuestions(questions, {
    path: run.file(file),
    groupQuestions: run.plan.engine.groupQuestions,
    asker: groupAsker(context, stage),
    onProgress: (done, total) => context.onProgress(stage, done, total),
    onGroup: (group) => {
      events.add("group_asked", { stage, ...group });
      const slow = group.cost && rates.add(group.cost);
      if (slow) events.add("group_slow", { stage, state: group.state, ...slow });
    },
  });
  await run.markDone(file, inputs);
  events.add("stage_done", { stage });
}

/** First answers that are asked anew may differ from those that were challenged; the keys alone would not tell. */
async function removeOutdated(run: RunFolder, file: RunFile, questions: number): Promise<void> {
  const round = (ANSWERS_OF_ROUND as readonly RunFile[]).indexOf(file);
  const challenged = CHALLENGED_OF_ROUND[round];
  if (!hasChallenges(run.plan) || challenged === undefined) return;
  const { rows } = await readJsonLines<Answer>(run.file(file));
  if (rows.length === questions) return;
  await rm(run.file(challenged), { force: true });
}
