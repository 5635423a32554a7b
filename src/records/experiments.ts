/** 08-experiments.json: what each experiment of a study asked, what came out, and beside what it has to be seen. */
import type { ExperimentName } from "../plan/experiment-names.js";
import type { Finding } from "./comparison.js";
import type { Estimate } from "./scores.js";

/** One number of an experiment, with everything that a reader needs beside it. */
export interface ExperimentNumber {
  readonly label: string;
  readonly estimate: Estimate;
  /** `share` is shown in percent, `difference` in points, `plain` as it is. */
  readonly unit: "share" | "difference" | "plain";
  /** What it has to beat, by name. */
  readonly baselines: Readonly<Record<string, Estimate>>;
  readonly intervalMethod: string;
}

/** One question and its answer; an experiment has one for each target, change, … that it is about. */
export interface ExperimentVerdict {
  readonly about: string;
  readonly finding: Finding;
  /** The verdict as a sentence, computed. */
  readonly sentence: string;
  readonly numbers: readonly ExperimentNumber[];
  /** What weakens it, in words. */
  readonly because: readonly string[];
}

export interface ExperimentResult {
  readonly name: ExperimentName;
  /** What it asks, in one sentence. */
  readonly question: string;
  /** Empty: nothing could be judged, and `missing` says why. */
  readonly verdicts: readonly ExperimentVerdict[];
  readonly missing?: string;
}

export interface ExperimentResults {
  readonly experimentsVersion: 1;
  readonly experiments: readonly ExperimentResult[];
}
