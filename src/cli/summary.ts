/** The headline of a finished run for the terminal. */
import type { NoiseFloor } from "../records/noise-floor.js";
import type { AccuracyChange, BehaviorDrift, Estimate, Scope, Scores, Share } from "../records/scores.js";
import { readJson } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { table } from "./output.js";

export interface RunSummary {
  readonly folder: string;
  readonly report: string;
  readonly averages: Scores["averages"];
  readonly noiseFloors: readonly NoiseFloor[];
  /** Present when the study trained something. */
  readonly changes?: Scores["changes"];
  readonly drift?: Scores["drift"];
  readonly text: string;
}

export async function summarize(run: RunFolder): Promise<RunSummary> {
  const scores = await readJson<Scores>(run.file("scores"));
  const noiseFloors = await readJson<NoiseFloor[]>(run.file("noiseFloor"));
  const rows = scores.averages.map((average) => [
    `${average.predictor} → ${average.target}`,
    average.kind,
    estimate(average.accuracy),
    estimate(average.modeBaselineTrain),
    estimate(average.modeBaselineOracle),
    estimate(average.aboveModeTrain),
    share(average.hypotheticalCompliance),
    share(average.objectCompliance),
  ]);
  const header = [
    "predictor → target",
    "average",
    "accuracy",
    "mode (train)",
    "mode (oracle)",
    "above mode",
    "replies comply",
    "answers comply",
  ];
  const first = scores.averages.find((average) => average.accuracy.ok)?.accuracy;
  const n = first?.ok ? `n = ${first.n} trials of ${first.clusters} strings; ` : "";
  return {
    folder: run.path,
    report: run.file("report"),
    averages: scores.averages,
    noiseFloors,
    ...(scores.changes ? { changes: scores.changes } : {}),
    ...(scores.drift ? { drift: scores.drift } : {}),
    text: [
      table(header, rows),
      ...trainingText(scores),
      `${n}${scores.intervalMethod}`,
      ...noiseFloors.map(floorText),
    ].join("\n"),
  };
}

const SCOPES: Readonly<Record<Scope, string>> = {
  all: "all",
  held_out_strings: "new strings of trained tasks",
  held_out_tasks: "tasks never trained on",
};

/** What training did, a row for each scope. Micro averages: what single trials show. */
function trainingText({ changes = [], drift = [] }: Scores): string[] {
  if (changes.length === 0) return [];
  const rows = changes
    .filter(({ kind }) => kind === "micro")
    .map((change: AccuracyChange) => [
      `${change.after} → ${change.target}`,
      SCOPES[change.scope],
      estimate(change.accuracyBefore),
      estimate(change.accuracyAfter),
      estimate(change.change),
      change.accuracyAboutItself ? estimate(change.accuracyAboutItself) : "—",
    ]);
  const header = ["after training", "trials of", "accuracy before", "after", "change", "about itself now"];
  return ["", table(header, rows), ...drift.filter(({ task }) => task === undefined).map(driftText)];
}

function driftText({ before, after, differ, both }: BehaviorDrift): string {
  return `behavior that training changed: ${estimate(differ)} % of ${both} behaviors that ${before} and ${after} both have`;
}

function floorText(floor: NoiseFloor): string {
  return (
    `noise floor of ${floor.state}: ${floor.sameTokens} of ${floor.questions} questions had the same tokens when asked again in another ` +
    `order and batch; largest logprob difference ${floor.maxLogprobDifference.toPrecision(2)} nats`
  );
}

function estimate(value: Estimate): string {
  if (!value.ok) return `— (${value.reason})`;
  return `${percent(value.value)} [${percent(value.low)}, ${percent(value.high)}]`;
}

function share({ count, of }: Share): string {
  return of === 0 ? "—" : `${percent(count / of)}`;
}

function percent(value: number): string {
  return (value * 100).toFixed(1);
}
