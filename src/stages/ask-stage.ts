/** Stages 02, 06 and 07: puts the plan's questions to the models, resuming where an earlier process stopped. */
import { askQuestions } from "../ask/ask-questions.js";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import type { Question } from "../ask/question.js";
import { shownPairs } from "../ask/shown-pairs.js";
import { hashOf } from "../store/canonical-json.js";
import { RateWatch } from "../ask/rate-watch.js";
import type { RunFile } from "../store/run-folder.js";
import { adapterHashes } from "./adapter-hashes.js";
import { ANSWERS_OF_ROUND, behaviorHashes, readBehaviors } from "./behavior-files.js";
import { groupAsker } from "./group-asker.js";
import type { StageContext } from "./stage-context.js";

export function askObjectLevel(context: StageContext): Promise<void> {
  return ask(context, "objectLevel", "object-level", objectLevelQuestions(context.run.plan));
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
  const isShown = Object.values(run.plan.states ?? {}).some(({ shown }) => shown);
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
