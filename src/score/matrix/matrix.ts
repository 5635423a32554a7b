/** The content of 08-matrix.json: every predictor about every target, what explains it, and Song et al.'s form of the question. */

import type { Scope } from "../scope.js";
import { checkResampling, type ResamplingSettings } from "../resampling.js";
import { stringsByTask, type TaskStrings } from "../tally.js";
import type { TrainLabel, Trial } from "../trial.js";
import {
  type MatrixCell,
  matrixCells,
  type ObservedCell,
  observedCells,
  type OwnOrOther,
  ownOrOther,
  relationCovariates,
  type TrialMatrix,
} from "./cells.js";
import { type CellResidual, cellResiduals, type Covariate, fitMatrix, type MatrixFit, onMissScale } from "./fit.js";
import type { SongRegression } from "./song.js";
import { statesOf, type PlanOfStates, type State, type States, type Relation } from "../../study/states.js";

interface MatrixState {
  readonly name: string;
  /** Its base weights, a name of the plan's models. */
  readonly model: string;
  readonly trained: boolean;
  /** The state whose behaviors its adapter learnt. */
  readonly learntFrom?: string;
}

export interface FittedForm {
  /** Whose rows: all, or those that were trained to predict, or those that were not. */
  readonly predictors: "all" | "trained" | "untrained";
  /** `micro` every trial counts the same; `macro` every task and property does. */
  readonly average: "micro" | "macro";
  /** `accuracy`, or `miss`: −log(1 − accuracy), on which skill and guessing add up. */
  readonly scale: "accuracy" | "miss";
  /**
   * What stands beside skill_i, predictability_j and γ·[i = j]: `self` nothing · `similarity` δ·similarity(i, j), the main one ·
   * `relations` that, and indicators of the same base weights, of the label source and of a shared label source, for i ≠ j.
   */
  readonly form: "self" | "similarity" | "relations";
  readonly fit: MatrixFit;
  /** Of the main form on micro accuracies. */
  readonly residuals?: readonly CellResidual[];
}

/** Over pairs of predictors of one group. */
export interface Preference extends OwnOrOther {
  readonly predictors: FittedForm["predictors"];
  readonly relation: "any" | Exclude<Relation, "same_state">;
}

export type SongScores =
  | ({
      readonly ok: true;
      readonly states: readonly string[];
      readonly wordings: readonly string[];
      /** Match type that the others are compared with. */
      readonly baseline: string;
      /** Strings on which the engine crashed for one state, left out for all; absent when there is none. */
      readonly leftOut?: readonly { readonly reason: "engine_crashed"; readonly count: number }[];
      readonly intervalMethod: string;
    } & SongRegression)
  | { readonly ok: false; readonly reason: string };

/** Of the questions of one scope. */
interface MatrixOfScope {
  /** Strings that intervals resample. */
  readonly clusters: number;
  readonly states: readonly MatrixState[];
  /** Every predictor about every target, in code-unit order. */
  readonly cells: readonly ObservedCell[];
  readonly fits: readonly FittedForm[];
  /** What a state says where it and another behave differently. */
  readonly preferences: readonly Preference[];
}

/** Version 1 pooled trained and held-out tasks. */
export const MATRIX_VERSION = 2;

export interface MatrixScores extends MatrixOfScope {
  readonly matrixVersion: typeof MATRIX_VERSION;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly intervalMethod: string;
  /** What i = j means. */
  readonly selfMeans: string;
  readonly similarityMeans: string;
  /** Of the questions that cells, fits and preferences are about; absent where all are one scope. */
  readonly scope?: Scope;
  /** The same on the questions of each other scope: scopes are never pooled. */
  readonly beside?: readonly (MatrixOfScope & { readonly scope: Scope })[];
  readonly song: SongScores;
}

// All that the matrix says of trials: the cells, and the fits with and without what else could explain a self effect.

const SELF_MEANS =
  "i = j where predictor and target are the same state: the same base weights under the same adapter, or both under none. A trained predictor about its own base as it was before training is not i = j; that is the indicator same_weights of the form relations";
const SIMILARITY_MEANS =
  "the share of behaviors that the two states have in common, over the properties of their own answers to the same held-out strings where both answers comply; every comparison counts the same, and a state that answers greedily has 1 with itself";

/**
 * @param trials every predictor about every target
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function scoreMatrix(
  plan: PlanOfStates,
  trials: readonly Trial[],
  trainLabels: readonly TrainLabel[],
  settings: ResamplingSettings,
): Omit<MatrixScores, "song"> {
  checkResampling(settings);
  const { bootstrapReplicates, bootstrapSeed, confidence } = settings;
  const states = statesOf(plan);
  const draws = { replicates: bootstrapReplicates, seed: bootstrapSeed, similarity: true };
  const micro = matrixCells(trials, { kind: "micro", ...draws });
  const macro = matrixCells(trials, { kind: "macro", ...draws });
  const strings = stringsByTask(trials, settings);
  const names = [...new Set(trials.flatMap(({ predictor, target }) => [predictor, target]))].sort();
  return {
    matrixVersion: MATRIX_VERSION,
    confidence,
    bootstrapReplicates,
    bootstrapSeed,
    intervalMethod: `expanded percentiles of ${bootstrapReplicates} bootstrap replicates that draw strings within their tasks, one draw for all cells and similarities, the fit made anew in each; seed ${bootstrapSeed}`,
    selfMeans: SELF_MEANS,
    similarityMeans: SIMILARITY_MEANS,
    clusters: micro.clusters,
    states: names.map((name) => toMatrixState(states.of(name))),
    cells: observedCells(micro.cells, trials, trainLabels, strings, settings),
    fits: fitsOf(states, { micro, macro }, settings),
    preferences: preferencesOf(states, trials, strings, settings),
  };
}

function toMatrixState({ name, model, isTrained, learntFrom }: State): MatrixState {
  return { name, model, trained: isTrained, learntFrom };
}

function fitsOf(
  states: States,
  matrices: Readonly<Record<FittedForm["average"], TrialMatrix>>,
  settings: ResamplingSettings,
): FittedForm[] {
  const subsets = subsetsOf(states, matrices.micro.cells);
  return subsets.flatMap(({ subset, has }) =>
    FORMS.flatMap(({ average, scale, form }): FittedForm[] => {
      const { cells: all, clusters, tasks } = matrices[average];
      const cells = all.filter(({ predictor }) => has(predictor));
      const taken = form === "self" ? cells.map(withoutSimilarity) : cells;
      const scaled = scale === "miss" ? onMissScale(taken) : taken;
      const covariates = form === "relations" ? varying(relationCovariates(states), scaled) : [];
      if (form === "relations" && covariates.length === 0) return [];
      const { bootstrapReplicates: replicates, confidence } = settings;
      const fit = fitMatrix(scaled, { covariates, bootstrap: { replicates, clusters, tasks, confidence } });
      const main = average === "micro" && scale === "accuracy" && form === "similarity";
      const row = { predictors: subset, average, scale, form, fit };
      return [main ? { ...row, residuals: cellResiduals(cells, fit) } : row];
    }),
  );
}

const FORMS: readonly Pick<FittedForm, "average" | "scale" | "form">[] = [
  { average: "micro", scale: "accuracy", form: "similarity" },
  { average: "micro", scale: "accuracy", form: "self" },
  { average: "micro", scale: "accuracy", form: "relations" },
  { average: "micro", scale: "miss", form: "similarity" },
  { average: "macro", scale: "accuracy", form: "similarity" },
];

function withoutSimilarity({ similarity: _, ...cell }: MatrixCell): MatrixCell {
  return cell;
}

/** A covariate that is the same in all cells that can be fitted explains nothing, and would stop the fit. */
function varying(covariates: readonly Covariate[], cells: readonly MatrixCell[]): Covariate[] {
  const there = cells.filter(({ accuracy, similarity }) => accuracy.ok && similarity?.ok);
  return covariates.filter(({ of }) => new Set(there.map(({ predictor, target }) => of(predictor, target))).size > 1);
}

/** All predictors; and where some are trained and some are not, each of the two. */
function subsetsOf(states: States, rows: readonly { readonly predictor: string }[]) {
  const isTrained = (name: string) => states.of(name).isTrained;
  const predictors = [...new Set(rows.map(({ predictor }) => predictor))];
  const both = predictors.some(isTrained) && !predictors.every(isTrained);
  const subsets: readonly FittedForm["predictors"][] = both ? ["all", "trained", "untrained"] : ["all"];
  return subsets.map((subset) => ({
    subset,
    has: (name: string) => subset === "all" || isTrained(name) === (subset === "trained"),
  }));
}

function preferencesOf(
  states: States,
  trials: readonly Trial[],
  strings: ReadonlyMap<string, TaskStrings>,
  settings: ResamplingSettings,
): Preference[] {
  const targets = new Set(trials.map(({ target }) => target));
  const both = [...new Set(trials.map(({ predictor }) => predictor))].filter((state) => targets.has(state)).sort();
  return subsetsOf(states, trials).flatMap(({ subset, has }) => {
    const pairs = both
      .filter(has)
      .flatMap((a, index, own) =>
        own.slice(index + 1).map((b) => ({ pair: [a, b] as const, relation: states.relation(a, b) })),
      );
    const relations = (["same_weights", "derived_weights", "other"] as const).filter((one) =>
      pairs.some(({ relation }) => relation === one),
    );
    const rows = relations.length > 1 ? (["any", ...relations] as const) : (["any"] as const);
    return rows.map((wanted): Preference => {
      const some = pairs.filter(({ relation }) => wanted === "any" || relation === wanted).map(({ pair }) => pair);
      return { predictors: subset, relation: wanted, ...ownOrOther(trials, some, strings, settings) };
    });
  });
}
