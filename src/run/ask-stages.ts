/** Stages 02, 06 and 07: puts the plan's questions to the models, resuming where an earlier process stopped. */

import { basename } from "node:path";
import type { FromCache } from "../ask/answer-cache.js";
import {
  answeredQuestions,
  askGroups,
  cutGroups,
  type FinishedGroup,
  GroupAsker,
  type Placed,
  type QuestionKind,
  RateWatch,
} from "../ask/groups.js";
import { labelQuestions } from "../ask/judge-questions.js";
import {
  LOGPROB_STRINGS,
  logprobGroups,
  type LogprobQuestion,
  logprobQuestions,
  matrixPredictors,
} from "../ask/logprob-differences.js";
import {
  calibrationGroups,
  type CalibrationQuestion,
  calibrationQuestions,
  distributionQuestions,
} from "../ask/measure-distribution.js";
import { measureNoiseFloor, type NoiseFloor, noiseFloorSample } from "../ask/noise-floor.js";
import {
  adaptedObjectLevelQuestions,
  askedHere,
  challengeQuestions,
  hypotheticalQuestions,
  listenedTo,
  objectLevelQuestions,
  type Question,
  shownPairs,
  type ShownPairs,
} from "../ask/questions.js";
import { writeJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { LanguageModel } from "../model/language-model.js";
import type { Reply } from "../tasks/answer.js";
import { ANSWERS_OF_ROUND, judgeQuestions, readBehaviors, type Round, roundsOf } from "./behaviors.js";
import type { RunFile } from "./folder.js";
import { hasJudges, JUDGED_OF_ROUND } from "./judging.js";
import { recordFromCache, type StageContext, type StagePart, type StageWork } from "./open-models.js";
import { chatOf } from "./planned-chats.js";
import { readLines, readLinesOf } from "./records.js";

/** What is asked state by state: made for a state when it is its turn, since a large plan has a million questions and a unit some hundred. */
export interface StateByState<One> {
  /** In order; one may have nothing to be asked. */
  readonly states: readonly string[];
  readonly of: (state: string) => readonly One[];
}

/** Asks what is left of a stage's groups into its file; crashes and what groups cost go to the run's event log. */
export async function askStage<Asked extends Placed, Row extends Placed>(
  context: StageContext,
  { stage, part, outdate, onGroups }: StageWork,
  file: RunFile,
  kind: QuestionKind<Asked, Row>,
  all: readonly (readonly Asked[])[] | StateByState<readonly Asked[]>,
  onGroup: (group: FinishedGroup<Asked, Row> & { readonly fromCache?: number }) => void,
): Promise<void> {
  const { run, answers } = context;
  let served: FromCache | undefined;
  const { from, groups, before } = placedGroups(all, part, countedOf(run.plan, file));
  await onGroups?.({ from, groups, before });
  await askGroups(groups, {
    path: run.file(file),
    from,
    soon: context.soon,
    asker: groupAsker({ ...context, modelFor: (state) => modelWithAnswers(context, state) }, stage, kind),
    onBegin: outdate,
    onProgress: (done, total) => context.onProgress(stage, done, total),
    onRows: async (at, group) => {
      served = undefined;
      if (askedHere(run.plan, group).length === 0) return;
      const { state } = group[0] as Asked;
      // Looks at the file once more: what it answered while it was written over is nobody's.
      const { manifest } = await context.modelFor(state);
      if (!answers) return;
      served = answers.takeServed();
      await recordFromCache(run, { state, manifest, file: basename(run.file(file)), at, served });
    },
    onGroup: (group) => onGroup({ ...group, ...(served ? { fromCache: served.answers } : {}) }),
    // Only replies are kept one by one: what is measured is made of many.
    keepsEach: () => kind.isReplies === true && answers?.keepsEachReply === true,
  });
}

/** The groups of a part, the number of the first of them in the stage, and how many lines stand before it. */
export interface PlacedGroups<Asked> {
  readonly from: number;
  readonly groups: readonly (readonly Asked[])[];
  readonly before: number;
}

/**
 * @param counted what states are known to be asked, by their names; gains those that stand before the part
 * @throws INTERNAL where the groups' states are not as the part has them
 */
export function placedGroups<Asked extends Placed>(
  all: readonly (readonly Asked[])[] | StateByState<readonly Asked[]>,
  part: StagePart | undefined,
  counted: Map<string, CountedGroups>,
): PlacedGroups<Asked> {
  if (!("states" in all)) {
    const [from, end] = part ? groupsOfPart(all, part) : [0, all.length];
    return { from, groups: all.slice(from, end), before: linesIn(all.slice(0, from)) };
  }
  if (!part) return { from: 0, groups: all.states.flatMap((state) => all.of(state)), before: 0 };
  const { state, at, of } = part;
  const before = new Set(part.states.slice(0, part.states.indexOf(state)));
  let [groups, lines] = [0, 0];
  for (const earlier of all.states.slice(0, all.states.indexOf(state))) {
    const count = counted.get(earlier) ?? countOf(all.of(earlier));
    counted.set(earlier, count);
    // Pieces that were put together in another order than the groups' would make another file.
    if (count.groups > 0 && !before.has(earlier)) {
      throw new InwardError(
        "INTERNAL",
        `${earlier} is asked before ${state}, and its parts are ${part.states.join(", ")}.`,
      );
    }
    groups += count.groups;
    lines += count.lines;
  }
  const own = all.of(state);
  const first = Math.floor((own.length * at) / of);
  return {
    from: groups + first,
    groups: own.slice(first, Math.floor((own.length * (at + 1)) / of)),
    before: lines + linesIn(own.slice(0, first)),
  };
}

export interface CountedGroups {
  readonly groups: number;
  readonly lines: number;
}

/** What a state is asked by a stage's file, of plans of this process: a process does many units. */
const COUNTED = new WeakMap<Plan, Map<RunFile, Map<string, CountedGroups>>>();

function countedOf(plan: Plan, file: RunFile): Map<string, CountedGroups> {
  const files = COUNTED.get(plan) ?? new Map<RunFile, Map<string, CountedGroups>>();
  COUNTED.set(plan, files);
  const counted = files.get(file) ?? new Map<string, CountedGroups>();
  files.set(file, counted);
  return counted;
}

function countOf(groups: readonly (readonly unknown[])[]): CountedGroups {
  return { groups: groups.length, lines: linesIn(groups) };
}

function linesIn(groups: readonly (readonly unknown[])[]): number {
  return groups.reduce((sum, { length }) => sum + length, 0);
}

/** @returns number of its first group, and of the one behind its last @throws INTERNAL where the groups' states are not as the part has them */
export function groupsOfPart(
  groups: readonly (readonly Placed[])[],
  { state, at, of, states }: StagePart,
): [number, number] {
  const ofGroups = groups.map(([first]) => (first as Placed).state);
  const inOrder = ofGroups.filter((one, place) => one !== ofGroups[place - 1]);
  let next = 0;
  for (const one of inOrder) {
    const place = states.indexOf(one, next);
    // Pieces that were put together in another order than the groups' would make another file.
    if (place < 0)
      throw new InwardError("INTERNAL", `A stage asks ${inOrder.join(", ")}; its parts are ${states.join(", ")}.`);
    next = place + 1;
  }
  const first = ofGroups.indexOf(state);
  if (first < 0) {
    // Whoever has nothing to be asked stands where it would.
    const behind = ofGroups.findIndex((one) => states.indexOf(one) > states.indexOf(state));
    return behind < 0 ? [groups.length, groups.length] : [behind, behind];
  }
  const count = ofGroups.filter((one) => one === state).length;
  return [first + Math.floor((count * at) / of), first + Math.floor((count * (at + 1)) / of)];
}

/** A state's model that is asked only what nobody has asked it before. The noise floor has the model itself. */
async function modelWithAnswers({ run, modelFor, answers }: StageContext, state: string): Promise<LanguageModel> {
  const model = await modelFor(state);
  const { model: name } = statesOf(run.plan).of(state);
  const sha256 = run.plan.models[name]?.sha256;
  if (!answers || sha256 === undefined) return model;
  // Nor is such an answer kept for other runs.
  const sound = async <Made>(made: Promise<Made>): Promise<Made> => {
    const result = await made;
    await modelFor(state);
    return result;
  };
  const looking: LanguageModel = {
    ...model,
    ask: (...asked) => sound(model.ask(...asked)),
    score: (...asked) => sound(model.score(...asked)),
  };
  return answers.before(looking, { sha256, chat: chatOf(run.plan, name) });
}

function groupAsker<Asked extends Placed, Row extends Placed>(
  { events, modelFor, reopenModel, given, signal }: StageContext,
  stage: string,
  kind: QuestionKind<Asked, Row>,
): GroupAsker<Asked, Row> {
  return new GroupAsker(kind, {
    modelFor,
    reopenModel,
    given,
    onCrash: (crash) => events.add("engine_crashed", { stage, ...crash }),
    onSetAside: ({ state, key }) => events.add("item_set_aside", { stage, state, key, reason: "engine_crashed" }),
    signal,
  });
}

/** Puts the questions of a stage, in their order, into its file. */
export async function askInto(
  context: StageContext,
  work: StageWork,
  file: RunFile,
  questions: readonly Question[] | StateByState<Question>,
): Promise<void> {
  const { engine } = context.run.plan;
  const { stage } = work;
  const rates = new RateWatch();
  const cut = (some: readonly Question[]) => cutGroups(some, engine.groupQuestions);
  // A group is one state's.
  const groups =
    "states" in questions
      ? { states: questions.states, of: (state: string) => cut(questions.of(state)) }
      : cut(questions);
  await askStage(context, work, file, answeredQuestions(engine), groups, ({ questions: own, rows, ...took }) => {
    const { state } = own[0] as Question;
    const generatedTokens = rows.reduce((sum, { reply }) => sum + (reply?.tokenIds.length ?? 0), 0);
    const isHere = askedHere(context.run.plan, own).length > 0;
    const event = isHere ? { event: "group_asked", generatedTokens } : { event: "group_imported" };
    const { event: name, ...about } = event;
    context.events.add(name, { stage, state, questions: own.length, ...about, ...took });
    const slow = took.cost && rates.add(took.cost);
    if (slow) context.events.add("group_slow", { stage, state, ...slow });
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
  first: (typeof ANSWERS_OF_ROUND)[number],
): Promise<void> {
  const { run } = context;
  await askInto(context, work, file, challengeQuestions(run.plan, asked, await readLines(run, first)));
}

/** Puts the answers of a round to the judges of those properties that need one. */
export async function askJudges(context: StageContext, work: StageWork, round: Round): Promise<void> {
  await askInto(context, work, JUDGED_OF_ROUND[round], await judgeQuestions(context.run, round));
}

export async function askHypothetical(context: StageContext, work: StageWork): Promise<void> {
  const { run } = context;
  const isShown = statesOf(run.plan).all.some(({ shown }) => shown);
  const shown = isShown ? shownPairs(run.plan, await readBehaviors(run)) : undefined;
  await askInto(context, work, "hypothetical", {
    states: matrixPredictors(run.plan),
    of: (state) => hypotheticalQuestions(run.plan, shown, state),
  });
}

/** Stage 07, calibration: how states answer at temperature 1. */
export async function measureDistributions(context: StageContext, work: StageWork): Promise<void> {
  const { plan } = context.run;
  const groups = calibrationGroups(calibrationQuestions(plan));
  const kind = distributionQuestions(plan);
  await askStage(context, work, "distributions", kind, groups, ({ questions, rows, wallSeconds }) => {
    const { state, side, task, item } = questions[0] as CalibrationQuestion;
    const measured = rows.flatMap(({ distribution }) => (distribution ? [distribution] : []));
    const evaluatedTokens = measured.reduce((sum, one) => sum + (one.evaluatedTokens ?? 0), 0);
    const samples = measured.reduce((sum, one) => sum + (one.method === "samples" ? one.samples : 0), 0);
    const about = { stage: work.stage, state, side, task, item };
    context.events.add("group_measured", { ...about, evaluatedTokens, samples, wallSeconds });
  });
}

/** Stage 07, matrix: how likely each state finds two beginnings of an answer, and which of them it says it would choose. */
export async function measureLogprobDifferences(context: StageContext, work: StageWork): Promise<void> {
  const { plan } = context.run;
  const groups = logprobGroups(logprobQuestions(plan), plan.engine.groupQuestions);
  await askStage(context, work, "logprobDifferences", LOGPROB_STRINGS, groups, ({ questions, wallSeconds }) => {
    const { state } = questions[0] as LogprobQuestion;
    context.events.add("group_measured", { stage: work.stage, state, strings: questions.length, wallSeconds });
  });
}

/** Questions of whose answers the noise floor takes some. */
function noiseQuestions(plan: Plan, state: string, shown?: ShownPairs): Question[] {
  return askedHere(plan, [
    ...objectLevelQuestions(plan, state),
    ...adaptedObjectLevelQuestions(plan, undefined, state),
    ...hypotheticalQuestions(plan, shown, state),
    ...labelQuestions(plan).filter((question) => question.state === state),
  ]);
}

/** States that have a noise floor, in order. */
export function noiseStates(plan: Plan): string[] {
  const having = (states: readonly string[], asks: (state: string) => readonly Question[]) =>
    states.filter((state) => askedHere(plan, asks(state)).length > 0);
  return [
    ...new Set([
      ...having(listenedTo(plan, 0), (state) => objectLevelQuestions(plan, state)),
      ...([1, 2] as const).flatMap((round) =>
        having(listenedTo(plan, round), (state) => adaptedObjectLevelQuestions(plan, round, state)),
      ),
      ...having(matrixPredictors(plan), (state) => hypotheticalQuestions(plan, undefined, state)),
      ...askedHere(plan, labelQuestions(plan)).map(({ state }) => state),
    ]),
  ];
}

// Measures, for every model state that was asked, how much the order and composition of batches change its answers.

export async function measureNoise(context: StageContext, { stage, part }: StageWork): Promise<void> {
  const { run } = context;
  const { plan } = run;
  const states = part ? [part.state] : noiseStates(plan);
  const isShown = states.some((state) => statesOf(plan).of(state).shown);
  const shown = isShown ? shownPairs(plan, await readBehaviors(run)) : undefined;
  const files = [
    ...roundsOf(plan).map((round) => ANSWERS_OF_ROUND[round]),
    "hypothetical" as const,
    ...(hasJudges(plan) ? (["judgedLabels"] as const) : []),
  ];
  const said = part
    ? await Promise.all(files.map((file) => readLinesOf(run, file, part.state)))
    : await Promise.all(files.map((file) => readLines(run, file)));
  const answers = said.flat();
  const floors: NoiseFloor[] = [];
  for (const [index, state] of states.entries()) {
    context.onProgress(stage, index, states.length);
    const answered = new Map<string, Reply>();
    for (const { state: asked, key, reply } of answers) {
      if (asked === state && reply && !reply.madeElsewhere) answered.set(key, reply);
    }
    // A question that was set aside has nothing to be compared with, and would crash the engine again.
    const own = noiseQuestions(plan, state, shown).filter((question) => answered.has(question.key));
    const sample = noiseFloorSample(own, plan.noiseFloor.questions, plan.seed);
    if (sample.length === 0) continue;
    // Another number of sequences than the run's own: batches are of another size as well as in another order.
    const sequences = Math.max(1, Math.ceil(plan.engine.sequences / 2));
    const asker = groupAsker(context, stage, answeredQuestions(plan.engine, sequences));
    floors.push(await measureNoiseFloor(state, sample, answered, asker));
  }
  await writeJson(run.file("noiseFloor"), floors);
  context.onProgress(stage, states.length, states.length);
}
