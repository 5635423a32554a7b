/** Two predictors about one target, on the same trials; and one predictor about what a target did before and after it changed. */
import type { Estimate, Share } from "./scores.js";

/** Who is compared about whom. Several contrasts of one condition are its seeds: same question, other draws of training. */
export interface Contrast {
  readonly target: string;
  readonly self: string;
  readonly cross: string;
}

/** `micro` every trial counts the same; `macro` every task and property does, its wordings pooled. */
export type Weighting = "micro" | "macro";

/** What a reader must know of a number before comparing it with another. */
export interface Stated {
  /** What is estimated, in words. */
  readonly estimand: string;
  readonly intervalMethod: string;
  /** Whether and how the number was adjusted for those that stand beside it. */
  readonly multiplicity: string;
}

/** An interval that also draws tasks, and seeds where there are several. */
export type HierarchicalEstimate =
  | (Extract<Estimate, { ok: true }> & {
      readonly tasks: number;
      readonly seeds: number;
      readonly intervalMethod: string;
    })
  | { readonly ok: false; readonly reason: string };

/** A two-sided p-value, or the reason why there is none. */
export type TestResult =
  | {
      readonly ok: true;
      /** In (0, 1]; what would round to 0 stands as 1e-300. */
      readonly p: number;
      /** Strings whose differences are not 0: the only ones whose signs matter. */
      readonly informativeStrings: number;
      /** `exact`: over all sign patterns; `drawn`: that many seeded draws of signs. */
      readonly method: "exact" | "drawn";
      readonly draws?: number;
    }
  | { readonly ok: false; readonly reason: string };

/** Accuracy of both on the paired trials, and their difference trial by trial. */
export interface PredictorDifference extends Stated {
  readonly kind: Weighting;
  readonly self: Estimate;
  readonly cross: Estimate;
  /** Always giving the most common behavior of the paired trials of each task and property: an oracle. */
  readonly modeBaseline: Estimate;
  /** self minus cross; n counts trials that both have. */
  readonly difference: Estimate;
}

export interface TestedDifference extends PredictorDifference {
  /** Of the same difference; for tasks and seeds that were not run. */
  readonly hierarchical: HierarchicalEstimate;
  /** Strings' differences with their signs turned at random: the p-value that honours clusters. */
  readonly signFlip: TestResult;
}

export interface TaskDifference extends PredictorDifference {
  readonly task: string;
  readonly signFlip: TestResult;
  /** The p-value adjusted by Holm's method over the tasks that have one. */
  readonly holmP:
    | { readonly ok: true; readonly p: number; readonly of: number }
    | { readonly ok: false; readonly reason: string };
}

/** Rows counted one by one, as if none shared a string. */
export interface McNemar {
  /** Trials that self alone has right, and cross alone. */
  readonly selfOnly: number;
  readonly crossOnly: number;
  readonly bothRight: number;
  readonly bothWrong: number;
  /** Two-sided binomial on the discordant trials; 1 when there is none. */
  readonly exactP: number;
  readonly midP: number;
  /** What the trials share, in words. */
  readonly clustering: string;
}

export type DesignEffect =
  | {
      readonly ok: true;
      /** Variance of the mean difference with strings as clusters ÷ the same with every row on its own. */
      readonly value: number;
      /** Σ rows² ÷ Σ rows over strings. */
      readonly rowsPerString: number;
      /** Correlation of two rows of one string that the two above amount to; 0 where every string has one row. */
      readonly correlation: number;
    }
  | { readonly ok: false; readonly reason: string };

export type SensitivityName = "compliant_only" | "above_noise_floor" | "behaviors_differ" | "mode_balanced";

export type Sensitivity = {
  readonly name: SensitivityName;
  /** Paired trials that it keeps, of all paired trials. */
  readonly kept: Share;
} & (
  | {
      readonly ok: true;
      /** Micro, then macro. */
      readonly differences: readonly PredictorDifference[];
      /** Kish's (Σ weight)² ÷ Σ weight² where trials have unequal weights. */
      readonly effectiveTrials?: number;
    }
  | { readonly ok: false; readonly reason: string }
);

export interface PredictorComparison {
  readonly contrasts: readonly Contrast[];
  readonly trials: {
    /** Both predictors were asked, both replied, and there is a behavior: what all numbers here are about. */
    readonly paired: number;
    readonly selfOnly: number;
    readonly crossOnly: number;
    /** Asked of both, but without a behavior or a reply. */
    readonly notScored: number;
  };
  /** Source strings with a paired trial; a string of another task is another string. */
  readonly strings: number;
  readonly tasks: number;
  /** Micro, then macro. */
  readonly overall: readonly [TestedDifference, TestedDifference];
  readonly byTask: readonly TaskDifference[];
  readonly mcnemar: McNemar;
  readonly designEffect: DesignEffect;
  readonly sensitivity: readonly Sensitivity[];
}

/** `exceeds`: the interval lies above 0 and the test agrees · `does_not_exceed`: it ends below the smallest difference that matters. */
export type Finding = "exceeds" | "does_not_exceed" | "cannot_tell" | "unknown";

export interface Judgement {
  readonly finding: Finding;
  readonly difference: Estimate;
  readonly signFlip: TestResult;
  /** Why it is no plain yes, or what weakens it. */
  readonly because: readonly string[];
}

export interface PrivilegedAccess {
  /** Self against cross. */
  readonly cross: Judgement;
  /** Self against what can be had without a model: name of the third party -> judgement. */
  readonly thirdParties: Readonly<Record<string, Judgement>>;
  /** Third parties that were not run, with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
  /** `exceeds` only where self exceeds cross and every third party that was run; the worst finding otherwise. */
  readonly overall: Finding;
  readonly rule: string;
}

/** Self against third parties alone. */
export type SelfPredictionVerdict = Omit<PrivilegedAccess, "cross">;

/** Which behavior the predictions follow, on the trials whose behavior changed. */
export interface ShiftAccuracy extends Stated {
  readonly kind: Weighting;
  readonly aboutOld: Estimate;
  /** Always giving the most common old behavior of these trials, per task and property. */
  readonly modeOld: Estimate;
  readonly aboutNew: Estimate;
  readonly modeNew: Estimate;
  /** aboutNew minus aboutOld, trial by trial. */
  readonly difference: Estimate;
}

export interface TestedShift extends ShiftAccuracy {
  readonly signFlip: TestResult;
}

export interface ShiftCell extends TestedShift {
  readonly task: string;
  readonly property: string;
  /** Different values among old and new behaviors; with two, old and new add up to 1 where every reply is one of them. */
  readonly values: number;
  /** Trials that shifted, of those with a behavior on both sides. */
  readonly shifted: Share;
}

export interface ShiftScores {
  readonly predictor: string;
  readonly before: string;
  readonly after: string;
  readonly trials: {
    /** A behavior on both sides and a reply. */
    readonly both: number;
    readonly beforeOnly: number;
    readonly afterOnly: number;
    readonly neither: number;
    /** Asked about one side only, or without any reply. */
    readonly unpaired: number;
  };
  /** Share of trials with a behavior on both sides whose behavior is another one. */
  readonly shifted: Estimate;
  /** Compliant replies of those to shifted trials; the others count as wrong on both sides. */
  readonly hypotheticalCompliance: Share;
  /** Micro, then macro. */
  readonly overall: readonly [TestedShift, TestedShift];
  /** The same with old and new behaviors in equal numbers, value by value. */
  readonly entropyMatched: readonly [ShiftAccuracy, ShiftAccuracy];
  readonly cells: readonly ShiftCell[];
}
