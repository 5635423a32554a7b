/** What probes of a study found: the content of 08-probes.json. Every number has beside it what it must beat, or why that is missing. */

import type { Estimate } from "../score/interval.js";
import type { AdjustedP } from "../score/comparison/tests.js";
import type { ProbeLabel } from "../study/probe-schema.js";
import type { ProbeDifference, ProbeScore, ProbeSettings } from "./linear-probe-score.js";

export const PROBES_VERSION = 2;

/** A score without its strings one by one. */
export type ProbeSummary =
  | Omit<Extract<ProbeScore, { readonly ok: true }>, "strings" | "classes">
  | { readonly ok: false; readonly reason: string };

export type MaybeDifference =
  | ({ readonly ok: true } & ProbeDifference)
  | { readonly ok: false; readonly reason: string };

/** A probe at a site, and what stands beside it. */
export interface ProbedSite {
  readonly site: string;
  readonly part: string;
  readonly layer: number;
  readonly span: string;
  /** The embedding is no site that was declared: it is what the others stand beside, and in no family of tests. */
  readonly isEmbedding: boolean;
  readonly score: ProbeSummary;
  /** By held-out string, or the cluster that it is of: the share of its rows that the probe read rightly. Absent of older runs. */
  readonly rightOf?: Readonly<Record<string, number>>;
  /** Adjusted over the declared sites of one question. */
  readonly holm: AdjustedP;
  readonly shuffled: ProbeSummary;
  readonly control: ProbeSummary;
  /** Held-out rows whose key a train row has. */
  readonly controlSharedKeys: number;
  /** Accuracy of the probe less that of the control task. */
  readonly selectivity: MaybeDifference;
  /** Less that of the tokens of the prompt alone. */
  readonly beyondTokens: MaybeDifference;
  /** Less that of the embedding at the same span. */
  readonly beyondEmbedding: MaybeDifference;
  /** The same model without its adapter, read in the same way; and the probe's accuracy less that. */
  readonly withoutAdapter: ProbeSummary;
  readonly beyondWithoutAdapter: MaybeDifference;
  /** A network of the same shape with random weights, at the same place. */
  readonly randomWeights: ProbeSummary;
  readonly beyondRandomWeights: MaybeDifference;
  /** Another model's states about the same answers, at about the same depth. */
  readonly otherModel:
    | { readonly ok: true; readonly state: string; readonly site: string; readonly score: ProbeSummary }
    | { readonly ok: false; readonly reason: string };
  readonly beyondOtherModel: MaybeDifference;
}

/** One thing that is read off one kind of prompt of one predictor. */
export interface ProbedQuestion {
  readonly predictor: string;
  /** Whose behavior the labels are. */
  readonly target: string;
  readonly task: string;
  readonly prompt: "object_level" | "hypothetical";
  /** Absent where the label is the behavior alone, on object-level prompts. */
  readonly property?: string;
  readonly variant?: string;
  readonly label: ProbeLabel;
  readonly trainStrings: number;
  readonly heldOutStrings: number;
  /** Reason -> strings without a label. */
  readonly leftOut: Readonly<Record<string, number>>;
  /** The tokens of the prompt alone. */
  readonly tokens: ProbeSummary;
  readonly sites: readonly ProbedSite[];
}

export interface ProbeResults {
  readonly probesVersion: typeof PROBES_VERSION;
  readonly settings: ProbeSettings;
  /** What stands for a span of several tokens. */
  readonly spanTokens: "last" | "mean";
  readonly questions: readonly ProbedQuestion[];
}

export function probeSummary(score: ProbeScore): ProbeSummary {
  if (!score.ok) return score;
  const { strings: _, classes: __, ...summary } = score;
  return summary;
}

/** An estimate of a score that may not be there. */
export function probeAccuracy(score: ProbeSummary): Estimate {
  return score.ok ? score.accuracy : score;
}

export function probeGain(score: ProbeSummary): Estimate {
  return score.ok ? score.gainAccuracy : score;
}
