/** ONNX graphs asked what the study asked the source, in the same tokens: each greedy, one question at a time, through onnxruntime. */

import { join } from "node:path";
import { AnswerShard } from "../ask/groups.js";
import {
  hasChallenges,
  hypotheticalQuestions,
  objectLevelQuestions,
  type Question,
  toAnswer,
} from "../ask/questions.js";
import { makeFolder, readJsonLines, writeJsonLines } from "../base/files.js";
import { openTokenizer, type Tokenizer } from "../model/engines/start-engine.js";
import type { RenderedPrompt } from "../model/language-model.js";
import { type Behavior, missing } from "../properties/property.js";
import { takeBehaviors, toPrediction } from "../run/behaviors.js";
import type { RunFolder } from "../run/folder.js";
import { hasJudges } from "../run/judging.js";
import type { WorkOptions } from "../run/open-model.js";
import { readLines } from "../run/records.js";
import { stringRules } from "../run/string-rules.js";
import { matchTrials, type TrainLabel, type Trial } from "../score/trial.js";
import type { Plan } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import { type Answer, answerSchema, type Reply } from "../tasks/answer.js";
import type { AskedAnswers } from "./asked-answers.js";
import type { CompareProcess } from "./compare-logits.js";
import { SOURCE, type Variant } from "./variants.js";

interface AskGraphsRequest extends Pick<WorkOptions, "signal" | "onProgress"> {
  readonly source: Pick<Variant, "path">;
  readonly graphs: readonly Variant[];
  /** `<graph>.jsonl` goes there, a line an answer; behaviors.jsonl and trials.jsonl, which are made anew of them. */
  readonly folder: string;
  readonly engine: SettledEngine;
  readonly process: CompareProcess;
}

interface GraphsTold {
  readonly reason?: undefined;
  /** Object-level ones. */
  readonly answers: readonly Answer[];
  readonly behaviors: readonly Behavior[];
  readonly trials: readonly Trial[];
  readonly labels: readonly TrainLabel[];
}

/** Questions whose answers are kept at once: what an interruption costs at most. */
const GROUP = 8;

/**
 * @param run of the study, finished
 * @returns what the study has of its models, of the graphs; or why they are not asked
 * @throws InwardError ONNX_RUN, ENGINE_*, STORE_* · INTERRUPTED: the same call goes on
 */
export async function askGraphs(
  run: RunFolder,
  { behaviors: known, clusterOf }: Pick<AskedAnswers, "behaviors" | "clusterOf">,
  { source, graphs, folder, engine, process, signal, onProgress }: AskGraphsRequest,
): Promise<GraphsTold | { readonly reason: string }> {
  const { plan } = run;
  const questions = [...objectLevelQuestions(plan), ...hypotheticalQuestions(plan)].filter(
    ({ state }) => state === SOURCE,
  );
  const reason = whyNotAsked(plan, questions);
  if (reason !== undefined) return { reason };
  const chat = plan.chats?.[SOURCE];
  await process.call("open", [source.path, engine, chat ? { chat } : {}], { signal });
  const prompts = await process.call("prompts", [questions.map(({ messages }) => ({ messages }))], { signal });
  makeFolder(folder);
  const tokenizer = await openTokenizer(source.path, chat);
  const answers: Answer[] = [];
  try {
    for (const [at, graph] of graphs.entries()) {
      const onAnswered = (done: number) =>
        onProgress?.({
          stage: "onnxruntime",
          done: at * questions.length + done,
          total: graphs.length * questions.length,
          unit: "questions",
        });
      const asked = questions.map((question) => ({ ...question, state: graph.name }));
      const request = { graph, prompts, tokenizer, engine, process, signal, onAnswered };
      answers.push(...(await askGraph(join(folder, `${graph.name}.jsonl`), asked, request)));
    }
  } finally {
    await tokenizer.dispose();
  }
  const objectLevel = answers.filter(({ property }) => property === undefined);
  const behaviors = takeBehaviors(plan, objectLevel, [], { of: () => ({ extraction: missing("not_judged") }) });
  const said = (await readLines(run, "hypothetical")).filter(({ state }) => state === SOURCE);
  const predictions = [...said, ...answers.filter(({ property }) => property !== undefined)];
  const { trials, trainLabels } = matchTrials({
    behaviors: [...known.filter(({ state }) => state === SOURCE), ...behaviors],
    predictions: predictions.map((answer) => toPrediction(plan, answer)),
    pairs: graphs.flatMap(({ name }) => [
      { predictor: name, target: name },
      { predictor: name, target: SOURCE },
      { predictor: SOURCE, target: name },
    ]),
    heuristics: await stringRules(run),
    clusterOf,
  });
  await writeJsonLines(join(folder, "behaviors.jsonl"), behaviors);
  await writeJsonLines(join(folder, "trials.jsonl"), trials);
  return { answers: objectLevel, behaviors, trials, labels: trainLabels.filter(({ target }) => target !== SOURCE) };
}

/** What needs more than one greedy answer to a question. */
function whyNotAsked(plan: Plan, questions: readonly Question[]): string | undefined {
  const needs =
    (questions.some(({ temperature }) => temperature > 0) && "answers that are drawn") ||
    (questions.some(({ options }) => options) && "options that are scored") ||
    (hasChallenges(plan) && "answers that are doubted") ||
    (hasJudges(plan) && "judges") ||
    (plan.objectLevel.reasoning !== undefined && "reasoning");
  return needs ? `the study has ${needs}, which ONNX graphs are not asked for: greedy answers alone` : undefined;
}

interface AskGraphRequest extends Pick<AskGraphsRequest, "engine" | "process" | "signal"> {
  readonly graph: Variant;
  /** [questions] */
  readonly prompts: readonly Pick<RenderedPrompt, "tokenIds" | "opened">[];
  readonly tokenizer: Tokenizer;
  readonly onAnswered: (done: number) => void;
}

/** What is answered stands in the file, and is not asked again. */
async function askGraph(
  path: string,
  questions: readonly Question[],
  { graph: variant, prompts, tokenizer, engine, process, signal, onAnswered }: AskGraphRequest,
): Promise<Answer[]> {
  const groups: Question[][] = [];
  for (let at = 0; at < questions.length; at += GROUP) groups.push(questions.slice(at, at + GROUP));
  const shard = await AnswerShard.open(path, groups, answerSchema);
  try {
    if (shard.groupsDone < groups.length) {
      const { path: graphPath, graph } = variant;
      if (graph) {
        const file = { path: graphPath, ...graph };
        await process.call("openGraph", [file, { threads: engine.threads }, "usual"], { signal });
      }
      const endIds = await tokenizer.answerEndIds();
      for (let group = shard.groupsDone; group < groups.length; group++) {
        const begin = group * GROUP;
        const asked = groups[group] as Question[];
        const said = await process.call(
          "generate",
          [
            asked.map(({ maxTokens }, at) => ({
              promptIds: prompts[begin + at]?.tokenIds ?? [],
              maxTokens,
              topTokens: engine.topTokens,
              endIds,
            })),
          ],
          { signal, onNote: (done) => onAnswered(begin + done) },
        );
        const texts = await tokenizer.answers(said.map(({ tokenIds }) => tokenIds));
        const tops = await tokenizer.tokenTexts(said.flatMap(({ first }) => first.tokenIds));
        let top = 0;
        const answers = asked.map((question, at) => {
          const { first, tokenIds, logprobs, margins, promptSha256 } = said[at] as (typeof said)[number];
          const { tokenIds: prompt = [], opened } = prompts[begin + at] ?? {};
          const reply: Reply = {
            ...(texts[at] as (typeof texts)[number]),
            tokenIds,
            logprobs,
            margins,
            first: {
              ...first,
              texts: first.tokenIds.map(() => tops.texts[top++]?.text ?? ""),
              vocabularySize: graph?.vocabulary ?? 0,
            },
            ...(opened === undefined ? {} : { opened }),
            promptTokens: prompt.length,
            promptSha256,
          };
          return toAnswer(question, reply);
        });
        await shard.append(answers);
      }
    }
  } finally {
    await shard.close();
  }
  return (await readJsonLines<Answer>(path, answerSchema)).rows;
}
