/** From trials to the matrix: who predicts whom how well, and how alike the targets behave, with the same draws for all cells. */
import type { Trial } from "../../records/trial.js";
import { accuracy, isScored } from "../accuracy.js";
import { resampledSums } from "../cluster-bootstrap.js";
import { questionKey } from "../question-key.js";
import { type Tally, type TaskStrings, tallyUnits, taskStrings } from "../tally.js";
import { behaviorSimilarity, type ComparedBehavior } from "./behavior-similarity.js";
import type { CellMean, MatrixCell } from "./matrix-cell.js";
import { resampledMean } from "./resampled-mean.js";

export interface MatrixCellSettings {
  /** `micro` every trial counts the same; `macro` every task and property does. Similarity counts every comparison the same. */
  readonly kind: "micro" | "macro";
  readonly replicates: number;
  /** Any safe integer. */
  readonly seed: number;
  /** Leave out for a fit without δ. */
  readonly similarity: boolean;
}

export interface TrialMatrix {
  /** Every predictor about every target, in code-unit order; a pair that nobody asked is there with its reason. */
  readonly cells: readonly MatrixCell[];
  /** Strings with a scored trial, and their tasks. */
  readonly clusters: number;
  readonly tasks: number;
}

/** All predictors of a target are compared on the questions that every one of them was asked. */
export function matrixCells(trials: readonly Trial[], settings: MatrixCellSettings): TrialMatrix {
  const strings = stringsByTask(trials, settings);
  const targets = [...new Set(trials.map(({ target }) => target))].sort();
  const predictors = [...new Set(trials.map(({ predictor }) => predictor))].sort();
  const behaviors = new Map(targets.map((target) => [target, behaviorsOf(trials, target)]));
  const cells = targets.flatMap((target) => {
    const shared = sharedQuestions(trials.filter((trial) => trial.target === target));
    return predictors.map((predictor): MatrixCell => {
      const cell = { predictor, target, accuracy: accuracyOf(shared.get(predictor), settings.kind, strings) };
      if (!settings.similarity) return cell;
      return { ...cell, similarity: similarityOf(behaviors, predictor, target, strings) };
    });
  });
  const scored = trials.filter(isScored);
  return {
    cells: cells.sort((a, b) => orderOf(a, b)),
    clusters: new Set(scored.map(({ task, item }) => JSON.stringify([task, item]))).size,
    tasks: new Set(scored.map(({ task }) => task)).size,
  };
}

function stringsByTask(
  trials: readonly Trial[],
  { replicates, seed }: MatrixCellSettings,
): ReadonlyMap<string, TaskStrings> {
  const tasks = new Map<string, Set<string>>();
  for (const { task, item } of trials) tasks.set(task, (tasks.get(task) ?? new Set()).add(item));
  const settings = { bootstrapReplicates: replicates, bootstrapSeed: seed };
  return new Map([...tasks].map(([task, items]) => [task, taskStrings(task, items, settings)]));
}

/** @param about trials of one target */
function sharedQuestions(about: readonly Trial[]): Map<string, Trial[]> {
  const askedOf = new Map<string, Set<string>>();
  for (const trial of about)
    askedOf.set(questionKey(trial), (askedOf.get(questionKey(trial)) ?? new Set()).add(trial.predictor));
  const predictors = new Set(about.map(({ predictor }) => predictor));
  const shared = new Map([...predictors].map((predictor): [string, Trial[]] => [predictor, []]));
  for (const trial of about) {
    if (askedOf.get(questionKey(trial))?.size === predictors.size) shared.get(trial.predictor)?.push(trial);
  }
  return shared;
}

function accuracyOf(
  trials: readonly Trial[] | undefined,
  kind: MatrixCellSettings["kind"],
  strings: ReadonlyMap<string, TaskStrings>,
): CellMean {
  if (!trials) return { ok: false, reason: "it was not asked about this target" };
  const tallies = tallyUnits(trials, accuracy, strings);
  if (tallies.length === 0) {
    return {
      ok: false,
      reason:
        trials.length === 0
          ? "no question was asked of all predictors of this target"
          : `none of ${trials.length} trials has a behavior to compare with`,
    };
  }
  return resampledMean(kind === "micro" ? [tallies] : tallies.map((tally) => [tally]));
}

/** What a target did, once for each string, property and sample, however many predicted it in however many wordings. */
function behaviorsOf(trials: readonly Trial[], target: string): ComparedBehavior[] {
  const questions = new Map<string, { asked: string; behaviors: ComparedBehavior[] }>();
  for (const trial of trials) {
    if (trial.target !== target) continue;
    const { task, item, property, behavior: extraction, objectCompliance: compliance } = trial;
    const key = JSON.stringify([task, item, property]);
    // The trials of one predictor in one wording hold every sample once.
    const asked = JSON.stringify([trial.predictor, trial.variant]);
    const question = questions.get(key) ?? { asked, behaviors: [] };
    if (question.asked === asked) question.behaviors.push({ task, item, property, extraction, compliance });
    questions.set(key, question);
  }
  return [...questions.values()].flatMap(({ behaviors }) => behaviors);
}

function similarityOf(
  behaviors: ReadonlyMap<string, readonly ComparedBehavior[]>,
  predictor: string,
  target: string,
  strings: ReadonlyMap<string, TaskStrings>,
): CellMean {
  const own = behaviors.get(predictor);
  if (!own) return { ok: false, reason: `what ${predictor} does itself was not asked` };
  const similarity = behaviorSimilarity(own, behaviors.get(target) ?? []);
  if (!similarity.ok) return similarity;
  const tasks = new Map<string, { points: Int32Array; trials: Int32Array }>();
  for (const { task, item, equal, compared } of similarity.strings) {
    const { places } = strings.get(task) as TaskStrings;
    const sums = tasks.get(task) ?? { points: new Int32Array(places.size), trials: new Int32Array(places.size) };
    const place = places.get(item) as number;
    sums.points[place] = equal;
    sums.trials[place] = compared;
    tasks.set(task, sums);
  }
  const tallies = [...tasks].map(([task, { points, trials }]): Tally => {
    const { resamples } = strings.get(task) as TaskStrings;
    return {
      task,
      points,
      trials,
      resampledPoints: resampledSums(points, resamples),
      resampledTrials: resampledSums(trials, resamples),
    };
  });
  return resampledMean([tallies]);
}

function orderOf(a: MatrixCell, b: MatrixCell): number {
  const [first, second] = [JSON.stringify([a.predictor, a.target]), JSON.stringify([b.predictor, b.target])];
  return first < second ? -1 : 1;
}
