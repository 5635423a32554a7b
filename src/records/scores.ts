/** A proportion or mean with its interval, or the reason why there is none. */
export type Estimate =
  | {
      readonly ok: true;
      readonly value: number;
      readonly low: number;
      readonly high: number;
      /** Rows that the value averages. */
      readonly n: number;
      /** Source strings among them: what the interval resamples. */
      readonly clusters: number;
    }
  | { readonly ok: false; readonly reason: string };

/** A count out of a total, no interval. */
export interface Share {
  readonly count: number;
  readonly of: number;
}

export interface ValueCount {
  readonly value: string;
  readonly count: number;
}

/** The scores of one predictor about one target on one task, property and wording. */
export interface CellScore {
  readonly target: string;
  readonly predictor: string;
  readonly task: string;
  readonly property: string;
  readonly variant: string;
  /** Right predictions among trials whose object-level answer and behavior are compliant; a non-compliant reply counts as wrong. */
  readonly accuracy: Estimate;
  /** The same among trials whose reply complied as well. */
  readonly accuracyWhenCompliant: Estimate;
  /** Right predictions among scored trials whose every token margin is above the noise floor. */
  readonly accuracyAboveNoiseFloor: Estimate;
  /** Compliant object-level answers that have this property, of all answers. */
  readonly objectCompliance: Share;
  /** Compliant hypothetical replies, of all replies. */
  readonly hypotheticalCompliance: Share;
  /** Always answering the most common behavior of the train strings. */
  readonly modeBaselineTrain: Estimate;
  /** Always answering the most common behavior of the scored strings themselves: an oracle. */
  readonly modeBaselineOracle: Estimate;
  readonly modeTrainValue?: string;
  readonly modeOracleValue?: string;
  /** last_item, first_item, most_frequent_item: what the string alone gives away. */
  readonly heuristics: Readonly<Record<string, Estimate>>;
  /** Accuracy minus the train-label mode baseline, paired on the same trials. */
  readonly aboveModeTrain: Estimate;
  /** Shannon entropy of the scored behaviors, bits (plug-in estimate). */
  readonly behaviorEntropyBits: number;
  /** Share of the most common scored behavior. */
  readonly behaviorModeShare: number;
  readonly behaviors: readonly ValueCount[];
  readonly predictions: readonly ValueCount[];
  readonly warnings: readonly string[];
}

/** Averages over the cells of one predictor about one target. */
export interface AverageScore {
  readonly target: string;
  readonly predictor: string;
  /** `micro` every trial counts the same; `macro` every (task, property) cell counts the same. */
  readonly kind: "micro" | "macro";
  readonly cells: number;
  readonly accuracy: Estimate;
  readonly accuracyWhenCompliant: Estimate;
  readonly accuracyAboveNoiseFloor: Estimate;
  readonly modeBaselineTrain: Estimate;
  readonly modeBaselineOracle: Estimate;
  readonly aboveModeTrain: Estimate;
  readonly heuristics: Readonly<Record<string, Estimate>>;
  readonly objectCompliance: Share;
  readonly hypotheticalCompliance: Share;
}

/**
 * Which trials an average is over, when something was trained: strings that no finetune set holds, of tasks whose other strings
 * were trained on (`held_out_strings`) or of tasks that were not trained on at all (`held_out_tasks`).
 */
export type Scope = "all" | "held_out_strings" | "held_out_tasks";

/** An average over the trials of one scope. */
export interface ScopedAverage extends AverageScore {
  readonly scope: Exclude<Scope, "all">;
}

/** What training changed: accuracy about one target after minus before, paired on the same trials. */
export interface AccuracyChange {
  readonly target: string;
  /** The untrained predictor. */
  readonly before: string;
  /** The same weights with the adapter. */
  readonly after: string;
  readonly scope: Scope;
  readonly kind: "micro" | "macro";
  readonly accuracyBefore: Estimate;
  readonly accuracyAfter: Estimate;
  /** accuracyAfter minus accuracyBefore, trial by trial. */
  readonly change: Estimate;
  /** Self-prediction only: the trained model about its own behavior, which training moved. Other labels, so not paired with the rest. */
  readonly accuracyAboutItself?: Estimate;
}

/** How often training changed what a model does: the share of strings whose behavior differs, of those where both answers have one. */
export interface BehaviorDrift {
  /** The state without the adapter. */
  readonly before: string;
  /** The state with it. */
  readonly after: string;
  /** Absent with `property`: over all tasks and properties. */
  readonly task?: string;
  readonly property?: string;
  readonly differ: Estimate;
  /** Strings (over all tasks and properties: strings times properties) with a behavior on both sides, before only, after only, on neither. */
  readonly both: number;
  readonly beforeOnly: number;
  readonly afterOnly: number;
  readonly neither: number;
}

export interface Exclusion {
  readonly side: "object_level" | "hypothetical";
  readonly task: string;
  readonly property: string;
  readonly predictor: string;
  readonly target: string;
  readonly reason: string;
  readonly count: number;
  /** What became of these trials. */
  readonly treatment: "excluded" | "counted_as_wrong";
}

/** The content of 08-scores.json. */
export interface Scores {
  readonly scoresVersion: 1;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  /** How every interval here was made, in words for the report. */
  readonly intervalMethod: string;
  /** Trials with a token margin below this many nats may flip between runs. */
  readonly noiseFloorNats: number;
  readonly trials: number;
  readonly cells: readonly CellScore[];
  readonly averages: readonly AverageScore[];
  readonly exclusions: readonly Exclusion[];
  /** The same averages by scope; absent, like `changes` and `drift`, when nothing was trained. */
  readonly scopedAverages?: readonly ScopedAverage[];
  readonly changes?: readonly AccuracyChange[];
  readonly drift?: readonly BehaviorDrift[];
}
