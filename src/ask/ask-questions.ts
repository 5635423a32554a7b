/** Asks the questions of one stage, group by group, and keeps what is finished whatever happens to the rest. */
import type { AskCost } from "../model/language-model.js";
import { AnswerShard } from "../store/answer-shard.js";
import { cutGroups } from "./cut-groups.js";
import type { GroupAsker } from "./group-asker.js";
import type { Question } from "./question.js";

export interface AskStageOptions {
  readonly path: string;
  readonly groupQuestions: number;
  readonly asker: GroupAsker;
  readonly onProgress?: (done: number, total: number) => void;
  /** A finished group, for the event log. */
  readonly onGroup?: (group: {
    state: string;
    questions: number;
    generatedTokens: number;
    wallSeconds: number;
    /** Absent when the engine does not count, or after crashes. */
    cost?: AskCost;
  }) => void;
}

/** @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function askQuestions(questions: readonly Question[], options: AskStageOptions): Promise<void> {
  const { asker, onProgress, onGroup } = options;
  const groups = cutGroups(questions, options.groupQuestions);
  const shard = await AnswerShard.open(options.path, groups);
  let done = groups.slice(0, shard.groupsDone).flat().length;
  onProgress?.(done, questions.length);
  try {
    const waiting = groups.slice(shard.groupsDone);
    // A question that cannot be asked must be known before hours are spent on the others.
    for (const group of waiting) await asker.check(group);
    for (const group of waiting) {
      const begun = performance.now();
      let cost: AskCost | undefined;
      const answers = await asker.ask(group, {
        onAnswered: (count) => onProgress?.(done + count, questions.length),
        onCost: (counted) => {
          cost = counted;
        },
      });
      await shard.append(answers);
      done += group.length;
      onGroup?.({
        state: (group[0] as Question).state,
        questions: group.length,
        generatedTokens: answers.reduce((sum, { reply }) => sum + (reply?.tokenIds.length ?? 0), 0),
        wallSeconds: (performance.now() - begun) / 1000,
        ...(cost ? { cost } : {}),
      });
    }
  } finally {
    await shard.close();
  }
}
