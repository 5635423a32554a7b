/** Asks the questions of one stage, group by group, and keeps what is finished whatever happens to the rest. */
import type { LanguageModel } from "../model/language-model.js";
import type { Reply } from "../records/answer.js";
import { AnswerShard } from "../store/answer-shard.js";
import { cutGroups } from "./cut-groups.js";
import type { Question } from "./question.js";
import { toAnswer, toRequest } from "./to-request.js";

export interface AskStageOptions {
  readonly path: string;
  readonly groupQuestions: number;
  readonly topTokens: number;
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  readonly onProgress?: (done: number, total: number) => void;
  /** A finished group, for the event log. */
  readonly onGroup?: (group: {
    state: string;
    questions: number;
    generatedTokens: number;
    wallSeconds: number;
  }) => void;
  readonly signal?: AbortSignal;
}

/** @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function askQuestions(questions: readonly Question[], options: AskStageOptions): Promise<void> {
  const groups = cutGroups(questions, options.groupQuestions);
  const shard = await AnswerShard.open(options.path, groups);
  let done = groups.slice(0, shard.groupsDone).flat().length;
  options.onProgress?.(done, questions.length);
  try {
    const waiting = groups.slice(shard.groupsDone);
    await checkAll(waiting, options);
    for (const group of waiting) {
      const model = await options.modelFor((group[0] as Question).state);
      const begun = performance.now();
      let inGroup = 0;
      const replies = await model.ask(
        group.map((question) => toRequest(question, options.topTokens)),
        {
          onReply: () => options.onProgress?.(done + ++inGroup, questions.length),
          ...(options.signal ? { signal: options.signal } : {}),
        },
      );
      await shard.append(group.map((question, index) => toAnswer(question, replies[index] as Reply)));
      done += group.length;
      options.onGroup?.({
        state: (group[0] as Question).state,
        questions: group.length,
        generatedTokens: replies.reduce((sum, reply) => sum + reply.tokenIds.length, 0),
        wallSeconds: (performance.now() - begun) / 1000,
      });
    }
  } finally {
    await shard.close();
  }
}

/** A question that cannot be asked must be known before hours are spent on the others. */
async function checkAll(groups: readonly (readonly Question[])[], options: AskStageOptions): Promise<void> {
  for (const group of groups) {
    const model = await options.modelFor((group[0] as Question).state);
    await model.check(group.map((question) => toRequest(question, options.topTokens)));
  }
}
