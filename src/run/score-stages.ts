/** Stage 08: joins behaviors and predictions into trials and scores them. Needs no model. */

import { matrixPredictors, matrixTargets, whyNoLogprobs } from "../ask/logprob-differences.js";
import { writeJson, writeJsonLines } from "../base/files.js";
import { answeredCells, type CountedAnswer, reportedRight } from "../score/answered.js";
import { type CalibrationScores, scoreCalibration } from "../score/calibration/score-calibration.js";
import {
  behaviorOf,
  compareOverall,
  comparePredictors,
  type ComparisonSettings,
  type Contrast,
  type OverallComparison,
  pairTrials,
} from "../score/comparison/comparison.js";
import {
  type ComparedNetOfSkill,
  type ComparedPair,
  type ComparedPredictors,
  type ComparedSelf,
  type ComparedUntrained,
  COMPARISONS_VERSION,
  type Comparisons,
  type CrossBehaviorSource,
} from "../score/comparison/comparisons.js";
import {
  compareSeries,
  type ContrastGroup,
  findContrasts,
  findCrossed,
  findSelfPredictions,
  findSeries,
  findUntrained,
  selfOfCross,
  type SelfPrediction,
} from "../score/comparison/contrasts.js";
import { judgeDifference, judgeSelfPrediction, measurePrivilegedAccess } from "../score/comparison/judge.js";
import { judgeChange } from "../score/comparison/judge-change.js";
import { type Shifts, SHIFTS_VERSION } from "../score/comparison/shift.js";
import { measureNetOfSkill, type TwoByTwo } from "../score/comparison/net-of-skill.js";
import { type CrossStrength, measureStrength } from "../score/comparison/strength.js";
import { compareMoved, compareMovedParties } from "../score/comparison/moved.js";
import {
  ablationsOf,
  compareThirdParties,
  stateParties,
  type ThirdPartyInput,
} from "../score/comparison/third-parties.js";
import { isClassifier } from "../score/input-only/input-only-predictions.js";
import { type LetterUse, letterUseOf } from "../score/letter-use.js";
import { type MatrixScores, scoreMatrix, type SongScores } from "../score/matrix/matrix.js";
import { scoreSong } from "../score/matrix/song.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { changeRule, primaryRule, scoresStanding } from "../score/primary.js";
import { type Scope, planScopes, trialsIn } from "../score/scope.js";
import { type Scores, type ScoreSettings, scoreTrials } from "../score/scores.js";
import { scoreSubgroups, type SubgroupScores } from "../score/subgroups.js";
import {
  type ClusterOf,
  type MatchedTrials,
  type MatchInput,
  matchTrials,
  type TrainLabel,
  trainLabelsOf,
  type Trial,
} from "../score/trial.js";
import { checkTrialRows, type TrialRow, trialRows } from "../score/trial-rows.js";
import { varyingTrials } from "../score/varying.js";
import { experimentResults } from "../score/verdicts/experiments.js";
import type { Plan } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { PlannedSubgroups } from "../study/subgroup-columns.js";
import {
  ANSWERS_OF_ROUND,
  askedItems,
  BEHAVIORS_OF_ROUND,
  readAnswers,
  readBehaviors,
  toPrediction,
} from "./behaviors.js";
import { readOptionAnswers, taskAccuracies } from "./chosen-options.js";
import { RUN_FILES, type RunFolder } from "./folder.js";
import { type Sayings, sayingsOf, type TargetGuesses } from "./input-only-stage.js";
import { readJudges } from "./judging.js";
import type { StageContext, StageWork } from "./open-models.js";
import { readContent, readLines } from "./records.js";
import { stringRules } from "./string-rules.js";

// Stage 08, trials: every behavior beside each prediction about it, and what became of the two. Needs no model.

/** @throws STORE_* */
export async function writeTrials({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const { noiseFloorNats } = await settingsOf(run);
  const input = await matchInput(
    run,
    plan.predictions,
    await heuristicsOf(run, sayingsOf(await readContent(run, "inputOnly"))),
  );
  const rows = trialRows(input, {
    noiseFloorNats,
    filesOf: (target) => {
      const { round } = statesOf(plan).of(target);
      return { answerFile: RUN_FILES[ANSWERS_OF_ROUND[round]], behaviorFile: RUN_FILES[BEHAVIORS_OF_ROUND[round]] };
    },
  });
  await writeJsonLines(run.file("trials"), rows);
}

/** @throws STORE_* */
export async function readTrials(run: RunFolder): Promise<readonly TrialRow[]> {
  return checkTrialRows(await readLines(run, "trials"), run.file("trials"));
}

export async function scorePredictions({ run }: Pick<StageContext, "run">): Promise<void> {
  const trials = await readTrials(run);
  const { judges, judgeOf } = await readJudges(run);
  const settings = { ...(await settingsOf(run)), ...trainedOf(run.plan), letterUse: await letterUses(run), judgeOf };
  const { scoresVersion, ...scores } = scoreTrials(trials, await readTrainLabels(run), settings);
  const accuracies = await taskAccuracies(run, settings);
  const { subgroups } = run.plan;
  await writeJson(run.file("scores"), {
    scoresVersion,
    standing: scoresStanding(run.plan),
    ...scores,
    ...(accuracies.length > 0 ? { taskAccuracy: accuracies } : {}),
    ...(await answeredElsewhere(run, settings)),
    ...(subgroups ? { subgroups: await subgroupsOf(run, trials, subgroups) } : {}),
    ...(judges.length > 0 ? { judges } : {}),
  });
}

/** @throws STORE_* */
async function subgroupsOf(
  run: RunFolder,
  trials: readonly Trial[],
  subgroups: PlannedSubgroups,
): Promise<SubgroupScores> {
  const { plan } = run;
  const behaviors = await readBehaviors(run);
  const labels = (some: typeof behaviors) =>
    trainLabelsOf({ behaviors: some, pairs: plan.predictions, learntFrom: labelSources(plan) });
  return scoreSubgroups(
    {
      trials,
      trainLabels: labels(behaviors),
      labelsOf: (isIn) => labels(behaviors.filter(({ task, item }) => isIn(task, item))),
      scopes: planScopes(plan),
      tasks: plan.tasks,
    },
    subgroups,
    await settingsOf(run),
  );
}

/** What models did whose answers were made elsewhere, and how right their logs say that it is. */
async function answeredElsewhere(
  run: RunFolder,
  settings: Awaited<ReturnType<typeof settingsOf>>,
): Promise<Pick<Scores, "answered" | "reportedRight">> {
  const names = new Set(statesOf(run.plan).answeredElsewhere.map(({ name }) => name));
  if (names.size === 0) return {};
  const isOwn = ({ state, split }: { readonly state: string; readonly split: string }) =>
    names.has(state) && split === "held_out";
  const clusters = clusterOf(run.plan);
  const answered = answeredCells((await readBehaviors(run)).filter(isOwn), clusters, settings);
  const items = askedItems(run.plan);
  const options = new Map(
    (await readOptionAnswers(run)).map((one) => [JSON.stringify([one.state, one.task, one.item, one.sample]), one]),
  );
  const counted = (await readAnswers(run, 0)).filter(isOwn).flatMap((answer): CountedAnswer[] => {
    const { state: target, task, item, sample, reply } = answer;
    const countedRight = reply?.madeElsewhere?.countedRight;
    if (countedRight === undefined) return [];
    const option = options.get(JSON.stringify([target, task, item, sample]));
    const right = items.get(`${task}/${item}`)?.target;
    const readRight = option && right !== undefined ? option.counted === right : undefined;
    return [{ target, task, item, countedRight, ...(readRight === undefined ? {} : { readRight }) }];
  });
  const reported = reportedRight(counted, clusters, settings);
  return { answered, ...(reported.length > 0 ? { reportedRight: reported } : {}) };
}

/** Of a target on the held-out strings of a task. */
async function letterUses(run: RunFolder): Promise<ScoreSettings["letterUse"]> {
  const letters = (await readOptionAnswers(run)).filter(({ split }) => split === "held_out");
  const uses = new Map<string, LetterUse>();
  return (target, name) => {
    const task = run.plan.tasks.find(({ definition }) => definition.name === name && definition.kind === "options");
    if (!task) return undefined;
    const key = JSON.stringify([target, name]);
    const said = letters.filter((one) => one.state === target && one.task === name);
    const use = uses.get(key) ?? letterUseOf(task.heldOut, said, task.definition);
    uses.set(key, use);
    return use;
  };
}

/** Trials without what classifiers of strings say: they are third parties of their own, no rules among others. */
async function readTrialsWithoutClassifier(run: RunFolder): Promise<Trial[]> {
  return (await readTrials(run)).map(({ heuristics, ...trial }) => ({
    ...trial,
    heuristics: Object.fromEntries(Object.entries(heuristics).filter(([rule]) => !isClassifier(rule))),
  }));
}

export async function readTrainLabels(run: RunFolder): Promise<TrainLabel[]> {
  const { predictions: pairs } = run.plan;
  return trainLabelsOf({ behaviors: await readBehaviors(run), pairs, learntFrom: labelSources(run.plan) });
}

function labelSources(plan: Plan): Record<string, string> {
  return Object.fromEntries(statesOf(plan).trained.map(({ name, labelSource }) => [name, labelSource]));
}

/** How intervals are made, and which margins are noise: the largest difference that any state showed. */
async function settingsOf(run: RunFolder): Promise<Omit<ScoreSettings, "training">> {
  const floors = await readContent(run, "noiseFloor");
  return {
    confidence: run.plan.score.confidence,
    bootstrapReplicates: run.plan.score.bootstrapReplicates,
    bootstrapSeed: run.plan.seed,
    noiseFloorNats: Math.max(0, ...floors.map((floor) => floor.maxMarginDifference)),
  };
}

/** The trials of a run whose behaviors and hypothetical replies are there, whether or not it was scored. */
export async function matchRun(run: RunFolder): Promise<MatchedTrials> {
  return matchTrials(await matchInput(run, run.plan.predictions, await stringRules(run)));
}

/** @param pairs any whose states were asked, whoever of them the plan's predictions name */
async function matchInput(
  run: RunFolder,
  pairs: MatchInput["pairs"],
  heuristics: MatchInput["heuristics"],
): Promise<MatchInput> {
  const replies = await readLines(run, "hypothetical");
  return {
    behaviors: await readBehaviors(run),
    predictions: replies.map((reply) => toPrediction(run.plan, reply)),
    pairs,
    learntFrom: labelSources(run.plan),
    heuristics,
    clusterOf: clusterOf(run.plan),
  };
}

/** Where planned strings share a cluster. */
export function clusterOf(plan: Plan): ClusterOf {
  const clusters = new Map(
    plan.tasks.flatMap(({ definition, train, heldOut }) =>
      [...train, ...heldOut].flatMap(({ id, cluster }) =>
        cluster === undefined ? [] : [[JSON.stringify([definition.name, id]), cluster] as const],
      ),
    ),
  );
  return (task, item) => clusters.get(JSON.stringify([task, item]));
}

function trainedOf(plan: Plan): Pick<ScoreSettings, "training"> {
  const { trained, plainlyTrained } = statesOf(plan);
  if (trained.length === 0) return {};
  // Controls and changes have comparisons of their own.
  const states = plainlyTrained.map(({ name: after, origin: before, training: { target } }) => ({
    before,
    after,
    target,
  }));
  return { training: { states, scopes: planScopes(plan) } };
}

/** What each rule on a string, and the classifiers of strings, would predict of each property. */
async function heuristicsOf(run: RunFolder, classifiers: Sayings): Promise<MatchInput["heuristics"]> {
  const rules = await stringRules(run);
  return (task, item, property, target) => ({
    ...rules(task, item, property, target),
    ...Object.fromEntries(classifiers.shownBeside({ target, task, item, property })),
  });
}

// Stage 08, comparisons: does self predict a target better than other weights do, and than what needs no model? Needs no model.

/** Whether a plan has anything to compare; without it there is no 08-comparisons.json. */
export function hasComparisons(plan: Plan): boolean {
  return [findSelfPredictions(plan), findContrasts(plan), findSeries(plan)].some(({ length }) => length > 0);
}

/** @throws STORE_* */
export async function compareStates({ run }: Pick<StageContext, "run">): Promise<void> {
  const settings = await settingsOf(run);
  const matched = { trials: await readTrialsWithoutClassifier(run), trainLabels: await readTrainLabels(run) };
  const sayings = sayingsOf(await readContent(run, "inputOnly"));
  const comparisons = compareAll(run.plan, matched, sayings.about, settings);
  await writeJson(run.file("comparisons"), comparisons);
}

/** @param classifiersAbout what classifiers of strings say about a target; nothing where there are none. */
export function compareAll(
  plan: Plan,
  matched: MatchedTrials,
  classifiersAbout: (target: string) => TargetGuesses,
  settings: ComparisonSettings,
): Comparisons {
  const scopes = planScopes(plan);
  // As in averages: behaviors that hardly vary are compared for nobody.
  const varying = varyingTrials(matched.trials, matched.trainLabels);
  const within = scopes.all.map(
    (scope): ScopedTrials => ({ ...matched, scope, asked: matched.trials, trials: trialsIn(varying, scopes, scope) }),
  );
  return {
    comparisonsVersion: COMPARISONS_VERSION,
    ...settings,
    comparisons: within.flatMap((some) =>
      findContrasts(plan).map((group) => compare(plan, group, some, classifiersAbout(group.target), settings)),
    ),
    selfPredictions: within.flatMap((some) =>
      findSelfPredictions(plan).map((selves) =>
        compareSelf(plan, selves, some, classifiersAbout(selves[0].target), settings),
      ),
    ),
    netOfSkill: within.flatMap(({ scope, trials }) =>
      findCrossed(plan).map(({ first, second }): ComparedNetOfSkill => {
        const seeds = first.contrasts.slice(0, second.contrasts.length).map((contrast, seed) => ({
          first: contrast,
          second: second.contrasts[seed] as Contrast,
        }));
        const measured = measureNetOfSkill(trials, seeds as [TwoByTwo, ...TwoByTwo[]], settings);
        const [one, other] = [first, second].map(({ contrasts: _, ...pair }) => pair) as [ComparedPair, ComparedPair];
        return { scope, first: one, second: other, ...measured };
      }),
    ),
    untrained: within.flatMap(({ scope, trials }) =>
      findUntrained(plan).map((contrast): ComparedUntrained => {
        const comparison = compareComplying(trials, contrast, settings);
        const { target, cross } = contrast;
        return { scope, target, cross, comparison, judgement: judgeDifference(comparison.overall[0], settings) };
      }),
    ),
    series: within.flatMap(({ scope, trials }) =>
      findSeries(plan).map((series) => compareSeries(series, trials, settings, scope)),
    ),
  };
}

/** On trials where both reply in form: models as they came differ in that first. */
function compareComplying(
  trials: readonly Trial[],
  contrast: Contrast,
  settings: ComparisonSettings,
): OverallComparison {
  const { paired } = pairTrials(trials, [contrast]);
  const both = new Set(
    paired
      .filter(({ self, cross }) => self.prediction.ok && cross.prediction.ok)
      .flatMap(({ self, cross }): Trial[] => [self, cross]),
  );
  const isSide = ({ target, predictor }: Trial) =>
    target === contrast.target && [contrast.self, contrast.cross].includes(predictor);
  return compareOverall(
    trials.filter((trial) => !isSide(trial) || both.has(trial)),
    [contrast],
    settings,
  );
}

interface ScopedTrials extends Omit<MatchedTrials, "trials"> {
  readonly scope: Scope;
  readonly trials: readonly Trial[];
  /** Those left out too: what a state did that hardly varies is no question to judge, but it is what others moved away from. */
  readonly asked: readonly Trial[];
}

function compareSelf(
  plan: Plan,
  selves: readonly [SelfPrediction, ...SelfPrediction[]],
  { scope, trials, trainLabels, asked }: ScopedTrials,
  classifiers: TargetGuesses,
  settings: ComparisonSettings,
): ComparedSelf {
  const [{ target, self }] = selves;
  const input: ThirdPartyInput = {
    trials,
    trainLabels,
    contrasts: selves.map((one) => ({ ...one, cross: one.self })),
    ...classifiers,
    states: stateParties(plan, trials, selves),
  };
  const found = compareThirdParties(input, settings);
  const bases = basesOf(plan, asked, selves);
  const moved = bases && compareMovedParties(input, bases, settings, asked);
  const rule = primaryRule(plan, "self_prediction", { self, target }, scope);
  const ablations = Object.entries(ablationsOf(plan, selves[0])).map(([wording, cross]) => [
    wording,
    comparePredictors(trials, [{ target, self, cross }], settings),
  ]);
  return {
    scope,
    target,
    self,
    seeds: selves.length,
    trained: statesOf(plan).of(self).isTrained,
    thirdParties: found.comparisons,
    ...(moved ? { moved } : {}),
    verdict: judgeSelfPrediction(found, { ...settings, ...rule }, moved),
    judgedBy: rule,
    ablations: Object.fromEntries(ablations),
  };
}

function strengthOf(
  plan: Plan,
  who: ComparedPair,
  { trials, trainLabels }: Pick<ScopedTrials, "trials" | "trainLabels">,
  settings: ComparisonSettings,
): CrossStrength {
  const { target, self, cross } = who;
  const other = selfOfCross(plan, who);
  if (other) return measureStrength(trials, trainLabels, { self: { target, self }, other }, settings);
  const { origin } = statesOf(plan).of(cross);
  return { ok: false, reason: `${origin} was not asked about itself` };
}

/** Of trained targets: what they were before they learnt to predict. Undefined where a target is not trained, or its base was not asked. */
function basesOf(
  plan: Plan,
  trials: readonly Trial[],
  contrasts: readonly { readonly target: string }[],
): ReadonlyMap<string, string> | undefined {
  const asked = new Set(trials.map(({ target }) => target));
  const bases = new Map(contrasts.map(({ target }) => [target, statesOf(plan).of(target).origin]));
  return [...bases].every(([target, base]) => base !== target && asked.has(base)) ? bases : undefined;
}

function compare(
  plan: Plan,
  { contrasts, ...who }: ContrastGroup,
  { scope, trials, trainLabels, asked }: ScopedTrials,
  classifiers: TargetGuesses,
  settings: ComparisonSettings,
): ComparedPredictors {
  const sources = new Map(contrasts.map(({ cross }) => [cross, sourceOf(plan, asked, cross)]));
  const behaviors = new Map(
    [...sources].map(([cross, source]) => [cross, source.ok ? behaviorOf(asked, source.state) : () => undefined]),
  );
  const known = [...sources.values()].find(({ ok }) => ok);
  const source = known ?? ([...sources.values()][0] as CrossBehaviorSource);
  const rule = primaryRule(plan, "cross_prediction", who, scope);
  const bases = basesOf(plan, asked, contrasts);
  const moved = bases && compareMoved(trials, contrasts, bases, settings, asked);
  const { cross, thirdParties, verdict } = measurePrivilegedAccess(
    {
      trials,
      moved,
      trainLabels,
      contrasts,
      ...(known ? { crossBehavior: (trial, contrast) => behaviors.get(contrast.cross)?.(trial) } : {}),
      ...classifiers,
      states: stateParties(plan, trials, contrasts),
    },
    settings,
    { ...settings, ...rule },
  );
  const sensitivity = cross.sensitivity.map((row) =>
    row.name === "behaviors_differ" && !row.ok && !source.ok ? { ...row, reason: source.reason } : row,
  );
  return {
    scope,
    ...who,
    crossBehavior: source,
    comparison: { ...cross, sensitivity },
    ...(moved ? { moved } : {}),
    thirdParties,
    strength: strengthOf(plan, who, { trials, trainLabels }, settings),
    verdict,
    judgedBy: rule,
  };
}

/** Training moves behavior, so the cross predictor's own is best; only targets are asked, so it may be known without the adapter only. */
function sourceOf(plan: Plan, trials: readonly Trial[], cross: string): CrossBehaviorSource {
  const asked = new Set(trials.map(({ target }) => target));
  const base = statesOf(plan).of(cross).origin;
  if (asked.has(cross)) return { ok: true, state: cross };
  if (asked.has(base)) return { ok: true, state: base };
  const without = base === cross ? "it is no" : "neither it nor its weights without the adapter are a";
  return { ok: false, reason: `what ${cross} does on these strings was not asked: ${without} target of this study` };
}

// Stage 08, calibration: compares what predictors hold likely with how likely it is. Needs no model.

/** Of a plan with a calibration. @throws STORE_* */
export async function scoreDistributions({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  const cluster = clusterOf(plan);
  const rows = (await readLines(run, "distributions")).map((row) => ({ ...row, cluster: cluster(row.task, row.item) }));
  const { confidence, bootstrapReplicates } = plan.score;
  const pairs = plan.predictions.map((pair) => ({ ...pair, kind: statesOf(plan).kindOf(pair) }));
  const settings = { confidence, bootstrapReplicates, bootstrapSeed: plan.seed };
  const scopes = planScopes(plan);
  const [main, ...beside] = scopes.all.map((scope) => ({
    scope,
    scores: scoreCalibration(trialsIn(rows, scopes, scope), pairs, settings),
  }));
  const calibration: CalibrationScores = {
    ...(main as { scores: CalibrationScores }).scores,
    scope: scopes.main,
    beside: beside.map(({ scope, scores: { rows: own, differences } }) => ({ scope, rows: own, differences })),
  };
  await writeJson(run.file("calibration"), calibration);
}

// Stage 08, matrix: does a state predict itself better than skill, predictability and likeness explain? Needs no model.

/** Of a plan with a matrix. @throws STORE_* */
export async function scoreMatrixOfRun({ run }: Pick<StageContext, "run">, { reads }: StageWork): Promise<void> {
  const { plan } = run;
  const settings: ResamplingSettings = {
    confidence: plan.score.confidence,
    bootstrapReplicates: plan.score.bootstrapReplicates,
    bootstrapSeed: plan.seed,
  };
  const targets = matrixTargets(plan);
  const pairs = matrixPredictors(plan).flatMap((predictor) => targets.map((target) => ({ predictor, target })));
  const { trials, trainLabels } = matchTrials(await matchInput(run, pairs, () => ({})));
  const scopes = planScopes(plan);
  // As in averages: behaviors that hardly vary tell nobody apart.
  const varying = varyingTrials(trials, trainLabels);
  const [main, ...beside] = scopes.all.map((scope) => ({
    scope,
    scores: scoreMatrix(plan, trialsIn(varying, scopes, scope), trainLabels, settings),
  }));
  const matrix: MatrixScores = {
    ...(main as { scores: Omit<MatrixScores, "song"> }).scores,
    scope: scopes.main,
    beside: beside.map(({ scope, scores: { clusters, states, cells, fits, preferences } }) => ({
      scope,
      clusters,
      states,
      cells,
      fits,
      preferences,
    })),
    song: reads.has("logprobDifferences")
      ? await songOf(run, settings)
      : { ok: false, reason: whyNoLogprobs(plan) as string },
  };
  await writeJson(run.file("matrix"), matrix);
}

async function songOf(run: RunFolder, settings: ResamplingSettings): Promise<SongScores> {
  return scoreSong(run.plan, await readLines(run, "logprobDifferences"), settings, clusterOf(run.plan));
}

// Stage 08, behavioral change: which behavior predictions follow after a target was changed. Needs no model.

/** Of a plan that changes behavior. @throws STORE_*, STUDY_INVALID when answers were sampled */
export async function scoreShifts({ run }: Pick<StageContext, "run">): Promise<void> {
  const changed = statesOf(run.plan).changes;
  const settings = await settingsOf(run);
  const trials = await readTrialsWithoutClassifier(run);
  const { confidence, bootstrapReplicates, bootstrapSeed } = settings;
  const shifts: Shifts = {
    shiftsVersion: SHIFTS_VERSION,
    confidence,
    bootstrapReplicates,
    bootstrapSeed,
    changes: changed.map((one) => judgeChange(trials, one, settings, changeRule(run.plan, one.change.name))),
  };
  await writeJson(run.file("shifts"), shifts);
}

// Stage 08, the last: what each experiment of the plan found, by rule, from the scores. Needs no model.

/** Of a plan that names experiments. @throws STORE_* */
export async function judgeExperiments({ run }: Pick<StageContext, "run">, { reads }: StageWork): Promise<void> {
  const parts: Record<string, unknown> = {};
  for (const name of ["comparisons", "calibration", "shifts", "matrix", "simulation", "injection"] as const) {
    if (reads.has(name)) parts[name] = await readContent(run, name);
  }
  const results = experimentResults({ plan: run.plan, scores: await readContent(run, "scores"), ...parts });
  await writeJson(run.file("experiments"), results);
}
