/** Stages 02, 06 and 07: puts the plan's questions to the models, resuming where an earlier process stopped. */

import { askQuestions, GroupAsker, type GroupAskerOptions, RateWatch } from "../ask/groups.js";
import { challengeQuestions, hypotheticalQuestions, type Question, shownPairs } from "../ask/questions.js";
import { readJsonLines } from "../base/files.js";
import { statesOf } from "../study/states.js";
import type { Answer } from "../tasks/answer.js";
import { readBehaviors } from "./behaviors.js";
import type { RunFile } from "./folder.js";
import type { StageContext, StageWork } from "./models.js";

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
    signal,
    ...options,
  });
}

/** Puts the questions of a stage, in their order, into its file. */
export async function askInto(
  context: StageContext,
  { stage, outdate }: StageWork,
  file: RunFile,
  questions: readonly Question[],
): Promise<void> {
  const { run, events } = context;
  const rates = new RateWatch();
  await askQuestions(questions, {
    path: run.file(file),
    groupQuestions: run.plan.engine.groupQuestions,
    asker: groupAsker(context, stage),
    onBegin: outdate,
    onProgress: (done, total) => context.onProgress(stage, done, total),
    onGroup: (group) => {
      events.add("group_asked", { stage, ...group });
      const slow = group.cost && rates.add(group.cost);
      if (slow) events.add("group_slow", { stage, state: group.state, ...slow });
    },
  });
}

/**
 * Doubts every first answer of the tasks that challenge.
 * @param asked the questions whose answers stand in `first`
 */
export async function askChallenges(
  context: StageContext,
  work: StageWork,
  file: RunFile,
  asked: readonly Question[],
  first: RunFile,
): Promise<void> {
  const { run } = context;
  const { rows } = await readJsonLines<Answer>(run.file(first));
  await askInto(context, work, file, challengeQuestions(run.plan, asked, rows));
}

export async function askHypothetical(context: StageContext, work: StageWork): Promise<void> {
  const { run } = context;
  const isShown = statesOf(run.plan).all.some(({ shown }) => shown);
  const shown = isShown ? shownPairs(run.plan, await readBehaviors(run)) : undefined;
  await askInto(context, work, "hypothetical", hypotheticalQuestions(run.plan, shown));
}
