/** Stage 07, matrix: how likely each state finds two beginnings of an answer, and which of them it says it would choose. */
import { LOGPROB_WORDINGS, type LogprobQuestion, logprobGroups, logprobQuestions } from "../ask/logprob-questions.js";
import { hasMatrix } from "../ask/matrix-states.js";
import { InwardError } from "../errors.js";
import type { ContinuationScore, LanguageModel } from "../model/language-model.js";
import type { BeginningLogprob, MeasuredLogprobDifference, OptionAnswers } from "../records/logprob-difference.js";
import type { Plan } from "../records/plan.js";
import { measureGroups } from "./measure-groups.js";
import type { StageContext } from "./stage-context.js";

/** Measures nothing, and writes no file, without a matrix or where `whyNoLogprobs` has a reason. @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureLogprobDifferences(context: StageContext): Promise<void> {
  const { run, signal } = context;
  if (!hasMatrix(run.plan) || whyNoLogprobs(run.plan) !== undefined) return;
  await measureGroups<LogprobQuestion, MeasuredLogprobDifference>(context, {
    name: "logprob differences",
    file: "logprobDifferences",
    groups: logprobGroups(logprobQuestions(run.plan), run.plan.engine.groupQuestions),
    check: (model, questions) =>
      model.check(
        questions
          .flatMap(({ requests }) => requests)
          .map(({ messages }) => ({ messages, maxTokens: 1, temperature: 0 as const, topTokens: 1 })),
      ),
    measure: (model, group, onMeasured) => measureGroup(model, group, onMeasured, signal),
    describe: (group) => ({ strings: group.length }),
  });
}

/** @returns why a plan's matrix is without logprob differences; undefined when it has them */
export function whyNoLogprobs(plan: Plan): string | undefined {
  if (plan.engine.engine !== "native")
    return `the engine ${plan.engine.engine} cannot score given beginnings of answers`;
  if (logprobQuestions(plan).length === 0)
    return "no task of the study lists words or numbers that an answer could begin with";
  return undefined;
}

async function measureGroup(
  model: LanguageModel,
  group: readonly LogprobQuestion[],
  onMeasured: (count: number) => void,
  signal: AbortSignal | undefined,
): Promise<MeasuredLogprobDifference[]> {
  const requests = group.flatMap((question) => question.requests);
  const scores = await model.score(requests, signal ? { signal } : {});
  let at = 0;
  const rows = group.map(({ requests: own, ...place }): MeasuredLogprobDifference => {
    const [direct, ...meta] = scores.slice(at, at + own.length).map(beginnings);
    at += own.length;
    if (!direct || meta.length !== 2 * Object.keys(LOGPROB_WORDINGS).length) {
      throw new InwardError("INTERNAL", `The engine gave ${scores.length} scores to ${requests.length} requests.`);
    }
    return {
      ...place,
      direct: { first: direct[0], second: direct[1] },
      meta: Object.keys(LOGPROB_WORDINGS).map((wording, index) => ({
        wording,
        inOrder: answers(meta[2 * index]),
        swapped: answers(meta[2 * index + 1]),
      })),
    };
  });
  onMeasured(rows.length);
  return rows;
}

type Pair = readonly [BeginningLogprob, BeginningLogprob];

function beginnings(scores: readonly ContinuationScore[]): Pair {
  const sums = scores.map(({ logprobs }) => ({
    logprob: logprobs.reduce((sum, one) => sum + one, 0),
    tokens: logprobs.length,
  }));
  return [sums[0] as BeginningLogprob, sums[1] as BeginningLogprob];
}

function answers(pair: Pair | undefined): OptionAnswers {
  const [one, two] = pair as Pair;
  return { one: one.logprob, two: two.logprob };
}
