/** The frame of a stage that measures: group by group into an append-only file, resuming where an earlier process stopped. */

import type { Distribution } from "../ask/distribution.js";
import { AnswerShard } from "../ask/groups.js";
import {
  type BeginningLogprob,
  LOGPROB_WORDINGS,
  logprobGroups,
  type LogprobQuestion,
  logprobQuestions,
  type MeasuredLogprobDifference,
  type OptionAnswers,
} from "../ask/logprob-differences.js";
import {
  calibrationGroups,
  type CalibrationQuestion,
  calibrationQuestions,
  type MeasuredDistribution,
  measureDistribution,
} from "../ask/measure-distribution.js";
import { measureNoiseFloor, type NoiseFloor, noiseFloorSample } from "../ask/noise-floor.js";
import {
  adaptedObjectLevelQuestions,
  hypotheticalQuestions,
  objectLevelQuestions,
  shownPairs,
} from "../ask/questions.js";
import { readJsonLines, writeJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import type { ContinuationScore, LanguageModel } from "../model/language-model.js";
import type { Plan } from "../study/plan.js";
import type { DistributionSettings } from "../study/study.js";
import type { Answer, Reply } from "../tasks/answer.js";
import { groupAsker } from "./ask-stages.js";
import { ANSWERS_OF_ROUND, readBehaviors, roundsOf } from "./behaviors.js";
import type { RunFile } from "./folder.js";
import type { StageContext, StageWork } from "./models.js";

interface Placed {
  readonly state: string;
  readonly key: string;
}

interface MeasuredStage<Question extends Placed, Row extends Placed> {
  readonly name: string;
  readonly file: RunFile;
  /** One state in each, states not mixed: what is measured and stored as one. */
  readonly groups: readonly (readonly Question[])[];
  /** Throws when a question cannot be asked: known before hours are spent on the others of its state. */
  readonly check: (model: LanguageModel, questions: readonly Question[]) => Promise<unknown>;
  /** @returns a row for each question, in their order */
  readonly measure: (
    model: LanguageModel,
    group: readonly Question[],
    onMeasured: (count: number) => void,
  ) => Promise<readonly Row[]>;
  /** What the log says of a finished group. */
  readonly describe: (group: readonly Question[], rows: readonly Row[]) => Readonly<Record<string, unknown>>;
}

/** @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
async function measureGroups<Question extends Placed, Row extends Placed>(
  context: StageContext,
  { outdate }: StageWork,
  stage: MeasuredStage<Question, Row>,
): Promise<void> {
  const { run } = context;
  const shard = await AnswerShard.open<Row>(run.file(stage.file), stage.groups);
  try {
    if (shard.groupsDone < stage.groups.length) await outdate();
    await measureWaiting(context, shard, stage);
  } finally {
    await shard.close();
  }
}

async function measureWaiting<Question extends Placed, Row extends Placed>(
  context: StageContext,
  shard: AnswerShard<Row>,
  { name, groups, check, measure, describe }: MeasuredStage<Question, Row>,
): Promise<void> {
  const { events, modelFor, onProgress } = context;
  const total = groups.flat().length;
  let done = groups.slice(0, shard.groupsDone).flat().length;
  onProgress(name, done, total);
  let checked: string | undefined;
  for (const [index, group] of groups.entries()) {
    if (index < shard.groupsDone) continue;
    const { state } = group[0] as Question;
    const model = await modelFor(state);
    if (state !== checked) {
      const own = groups.slice(index).flat();
      await check(
        model,
        own.filter((question) => question.state === state),
      );
      checked = state;
    }
    const begun = performance.now();
    const rows = await unlessCrashedTwice(context, { model, stage: name, state }, (sound) =>
      measure(sound, group, (count) => onProgress(name, done + count, total)),
    );
    await shard.append(rows);
    done += group.length;
    const wallSeconds = (performance.now() - begun) / 1000;
    events.add("group_measured", { stage: name, state, ...describe(group, rows), wallSeconds });
  }
}

/** A crash may be none of the question's own, such as the system's killer of processes: the group is measured again whole, once. */
async function unlessCrashedTwice<Result>(
  { events, reopenModel }: StageContext,
  { model, stage, state }: { model: LanguageModel; stage: string; state: string },
  measure: (model: LanguageModel) => Promise<Result>,
): Promise<Result> {
  try {
    return await measure(model);
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "ENGINE_CRASHED") throw error;
    events.add("engine_crashed", { stage, state, message: error.message });
    return await measure(await reopenModel(state));
  }
}

interface MeasuringOptions {
  readonly onMeasured?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The distribution of each question as the plan's calibration wants it; none when it has no calibration. Draws depend on the plan's
 * seed and the question's key alone.
 * @param model of the state that the questions are for
 * @throws what asking throws, INTERRUPTED
 */
export async function measureQuestions(
  model: LanguageModel,
  questions: readonly CalibrationQuestion[],
  { seed, calibration }: { readonly seed: number; readonly calibration?: DistributionSettings },
  { onMeasured, signal }: MeasuringOptions = {},
): Promise<MeasuredDistribution[]> {
  if (!calibration) return [];
  const { epsilon, tokenBudget, mostTail, samples } = calibration;
  const settings = { epsilon, tokenBudget, mostTail, samples, ...(signal ? { signal } : {}) };
  const measured: MeasuredDistribution[] = [];
  for (const { messages, maxTokens, decider, decidedLate, ...place } of questions) {
    const distribution = await measureDistribution(
      model,
      { messages, decider, decidedLate },
      { ...settings, maxTokens, seed: `${seed}/${place.key}` },
    );
    measured.push({ ...place, distribution });
    onMeasured?.(measured.length);
  }
  return measured;
}

// Stage 07, calibration: measures how states answer at temperature 1, resuming where an earlier process stopped.

/** Of a plan with a calibration. @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureDistributions(context: StageContext, work: StageWork): Promise<void> {
  const { run, signal } = context;
  await measureGroups<CalibrationQuestion, MeasuredDistribution>(context, work, {
    name: work.stage,
    file: "distributions",
    groups: calibrationGroups(calibrationQuestions(run.plan)),
    check: (model, questions) =>
      model.check(
        questions.map(({ messages, maxTokens }) => ({ messages, maxTokens, temperature: 1 as const, topTokens: 1 })),
      ),
    measure: (model, group, onMeasured) =>
      measureQuestions(model, group, run.plan, { onMeasured, ...(signal ? { signal } : {}) }),
    describe: (group, measured) => {
      const { side, task, item } = group[0] as CalibrationQuestion;
      return { side, task, item, ...costOf(measured) };
    },
  });
}

function costOf(measured: readonly MeasuredDistribution[]): { evaluatedTokens: number; samples: number } {
  const sum = (cost: (distribution: Distribution) => number) =>
    measured.reduce((total, { distribution }) => total + cost(distribution), 0);
  return {
    evaluatedTokens: sum((one) => one.evaluatedTokens ?? 0),
    samples: sum((one) => (one.method === "samples" ? one.samples : 0)),
  };
}

// Stage 07, matrix: how likely each state finds two beginnings of an answer, and which of them it says it would choose.

/** Of a plan with a matrix, where `whyNoLogprobs` has no reason. @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureLogprobDifferences(context: StageContext, work: StageWork): Promise<void> {
  const { run, signal } = context;
  await measureGroups<LogprobQuestion, MeasuredLogprobDifference>(context, work, {
    name: work.stage,
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

// Measures, for every model state that was asked, how much the order and composition of batches change its answers.

export async function measureNoise(context: StageContext, { stage }: StageWork): Promise<void> {
  const { run } = context;
  const { plan } = run;
  const questions = [
    ...objectLevelQuestions(plan),
    ...adaptedObjectLevelQuestions(plan),
    ...hypotheticalQuestions(plan, shownPairs(plan, await readBehaviors(run))),
  ];
  const states = [...new Set(questions.map((question) => question.state))];
  const floors: NoiseFloor[] = [];
  for (const [index, state] of states.entries()) {
    context.onProgress(stage, index, states.length);
    const answered = new Map<string, Reply>();
    for (const file of [...roundsOf(plan).map((round) => ANSWERS_OF_ROUND[round]), "hypothetical"] as const) {
      const { rows } = await readJsonLines<Answer>(run.file(file));
      for (const { state: asked, key, reply } of rows) if (asked === state && reply) answered.set(key, reply);
    }
    // A question that was set aside has nothing to be compared with, and would crash the engine again.
    const own = questions.filter((question) => question.state === state && answered.has(question.key));
    const sample = noiseFloorSample(own, plan.noiseFloor.questions, plan.seed);
    if (sample.length === 0) continue;
    // Another number of sequences than the run's own: batches are of another size as well as in another order.
    const sequences = Math.max(1, Math.ceil(plan.engine.sequences / 2));
    const asker = groupAsker(context, stage, { sequences });
    floors.push(await measureNoiseFloor(state, sample, answered, asker));
  }
  await writeJson(run.file("noiseFloor"), floors);
  context.onProgress(stage, states.length, states.length);
}
