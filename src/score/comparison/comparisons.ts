/** 08-comparisons.json: self against cross and third parties, for every target that has both. */

import type {
  Judgement,
  OverallComparison,
  PredictorComparison,
  PrivilegedAccess,
  SelfPredictionVerdict,
  TestedDifference,
} from "./comparison.js";

import type { Scope } from "../scope.js";
import type { NetOfSkill } from "./net-of-skill.js";
import type { CrossStrength } from "./strength.js";
import type { ContrastRule } from "./judge.js";

/** Who is compared: one condition, whose seeds are its contrasts. */
export interface ComparedPair {
  readonly target: string;
  /** On the target's own weights. */
  readonly self: string;
  /** The first contrast's cross predictor, which the condition is called by. */
  readonly cross: string;
  /** Whether an adapter was trained; a difference between a trained and an untrained predictor is not one of access alone. */
  readonly trained: { readonly self: boolean; readonly cross: boolean };
  /** The cross predictor runs on the very same base weights under another name: a trained one is another adapter. */
  readonly sameWeights: boolean;
  /** Set where cross is not trained and so many of the target's behaviors stand in its prompt. */
  readonly shown?: number;
}

/** Self against what needs no look at itself, for one target and scope; its seeds are the contrasts of every comparison. */
export interface ComparedSelf {
  readonly scope: Scope;
  readonly target: string;
  readonly self: string;
  readonly seeds: number;
  readonly trained: boolean;
  /** In a predictor's place: `mode_train`, `best_heuristic`, `input_only`, `untrained`, `scrambled_labels`, `format_only`. */
  readonly thirdParties: Readonly<Record<string, PredictorComparison>>;
  /** Set where the target is trained and its base was asked what it does. */
  readonly moved?: MovedRows<Readonly<Record<string, OverallComparison>>>;
  readonly verdict: SelfPredictionVerdict;
  /** Of the study's primary contrast: what its verdict is judged by, in the place of what all others are. */
  readonly judgedBy?: ContrastRule;
  /** Self as it is asked, against itself asked in another wording that it was not trained on; by wording. */
  readonly ablations: Readonly<Record<string, PredictorComparison>>;
}

/** The same comparison on trials whose behavior training moved, and on those whose it did not. */
export interface MovedRows<Compared> {
  /** What the target was before it learnt to predict. */
  readonly base: string;
  /** Clusters with a moved trial; fewer than FEWEST_MOVED are not enough to be judged by. */
  readonly strings: number;
  readonly isEnough: boolean;
  /** Trials without a behavior of the base: neither moved nor not. */
  readonly unknown: number;
  readonly moved: Compared;
  readonly unmoved: Compared;
}

/** Whose answers stand for what the cross predictor does itself: its own, or those of its weights without the adapter. */
export type CrossBehaviorSource =
  | { readonly ok: true; readonly state: string }
  | { readonly ok: false; readonly reason: string };

export interface ComparedPredictors extends ComparedPair {
  readonly scope: Scope;
  readonly crossBehavior: CrossBehaviorSource;
  readonly comparison: PredictorComparison;
  /** As in ComparedSelf. */
  readonly moved?: MovedRows<OverallComparison>;
  /** As in ComparedSelf. */
  readonly thirdParties: Readonly<Record<string, PredictorComparison>>;
  readonly strength: CrossStrength;
  readonly verdict: PrivilegedAccess;
  /** As in ComparedSelf; of `verdict.cross`. */
  readonly judgedBy?: ContrastRule;
}

/** What is left once skill and predictability are taken out, of two models about themselves and about each other. */
export interface ComparedNetOfSkill extends NetOfSkill {
  readonly scope: Scope;
  readonly first: ComparedPair;
  readonly second: ComparedPair;
}

/** Two models as they came about one of them, where both reply in form; not judged by anything else. */
export interface ComparedUntrained {
  readonly scope: Scope;
  readonly target: string;
  readonly cross: string;
  readonly comparison: OverallComparison;
  readonly judgement: Judgement;
}

/** `learnt`: strings learnt from per task and property; `shown`: the target's behaviors in the prompt. */
export type SeriesKind = "learnt" | "shown";

/** The larger size in self's place, the smaller in cross's. */
export type SeriesStep = { readonly from: number; readonly to: number } & (
  | {
      readonly ok: true;
      /** Trainings that have both sizes; 1 where nothing is trained. */
      readonly seeds: number;
      readonly micro: TestedDifference;
      /** `exceeds`: it still rises; `does_not_exceed`: it rises by less than what matters, if at all. */
      readonly judgement: Judgement;
    }
  | { readonly ok: false; readonly reason: string }
);

/** One predictor after learning from more and more strings, or shown more and more behaviors, on the same trials step by step. */
export interface ComparedSeries {
  readonly scope: Scope;
  readonly kind: SeriesKind;
  readonly model: string;
  readonly target: string;
  /** From the smallest size up; one step at least. The last tells whether there is a plateau. */
  readonly steps: readonly SeriesStep[];
}

/** 1 pooled scopes, and had one finding for two questions. */
export const COMPARISONS_VERSION = 2;

/** The content of 08-comparisons.json: the plan's main scope first. */
export interface Comparisons {
  readonly comparisonsVersion: typeof COMPARISONS_VERSION;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly noiseFloorNats: number;
  readonly comparisons: readonly ComparedPredictors[];
  /** The controls of every self-prediction, whether there is a cross predictor or not. */
  readonly selfPredictions: readonly ComparedSelf[];
  readonly netOfSkill: readonly ComparedNetOfSkill[];
  readonly untrained: readonly ComparedUntrained[];
  readonly series: readonly ComparedSeries[];
}
