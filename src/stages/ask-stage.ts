/** Stages 02, 06 and 07: puts the plan's questions to the models, resuming where an earlier process stopped. */
import { rm } from "node:fs/promises";
import { askQuestions } from "../ask/ask-questions.js";
import { challengeQuestions, hasChallenges } from "../ask/challenge-questions.js";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import type { Question } from "../ask/question.js";
import { RateWatch } from "../ask/rate-watch.js";
import type { Answer } from "../records/answer.js";
import { hashOf } from "../store/canonical-json.js";
import { readJsonLines } from "../store/read-records.js";
import type { RunFile, RunFolder } from "../store/run-folder.js";
import { adapterHashes } from "./adapter-hashes.js";
import { groupAsker } from "./group-asker.js";
import type { StageContext } from "./stage-context.js";

export function askObjectLevel(context: StageContext): Promise<void> {
  return ask(context, "objectLevel", "object-level", objectLevelQuestions(context.run.plan));
}

/** Doubts every first answer of the tasks that challenge. Writes no file when there is none. */
export function askChallenges(context: StageContext): Promise<void> {
  return challenge(context, "challenged", "object-level, challenged", objectLevelQuestions(context.run.plan));
}

/** The same of the states with an adapter. */
export async function askAdaptedChallenges(context: StageContext): Promise<void> {
  const questions = adaptedObjectLevelQuestions(context.run.plan);
  if (questions.length === 0) return;
  await challenge(context, "challengedAdapted", "object-level, adapted, challenged", questions);
}

/** Asks nothing, and writes no file, when no state with an adapter is a target. */
export async function askAdaptedObjectLevel(context: StageContext): Promise<void> {
  const questions = adaptedObjectLevelQuestions(context.run.plan);
  if (questions.length === 0) return;
  await ask(context, "objectLevelAdapted", "object-level, adapted", questions);
}

export function askHypothetical(context: StageContext): Promise<void> {
  return ask(context, "hypothetical", "hypothetical", hypotheticalQuestions(context.run.plan));
}

async function challenge(
  context: StageContext,
  file: "challenged" | "challengedAdapted",
  stage: string,
  asked: readonly Question[],
): Promise<void> {
  const { run } = context;
  if (!hasChallenges(run.plan)) return;
  const first = file === "challenged" ? "objectLevel" : "objectLevelAdapted";
  const { rows } = await readJsonLines<Answer>(run.file(first));
  // The questions hold the first answers.
  const inputs = { plan: hashOf(run.plan), [first]: run.outputHash(first) };
  await ask(context, file, stage, challengeQuestions(run.plan, asked, rows), inputs);
}

async function ask(
  context: StageContext,
  file: RunFile,
  stage: string,
  questions: readonly Question[],
  inputs: object = { plan: hashOf(context.run.plan), ...(file === "objectLevel" ? {} : adapterHashes(context.run)) },
): Promise<void> {
  const { run, events } = context;
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
  if (!hasChallenges(run.plan) || (file !== "objectLevel" && file !== "objectLevelAdapted")) return;
  const { rows } = await readJsonLines<Answer>(run.file(file));
  if (rows.length === questions) return;
  await rm(run.file(file === "objectLevel" ? "challenged" : "challengedAdapted"), { force: true });
}
