/** The headline of a finished run for the terminal. */
import type { CalibrationScores } from "../records/calibration-scores.js";
import type { NoiseFloor } from "../records/noise-floor.js";
import type { AccuracyChange, AverageScore, BehaviorDrift, Estimate, Scope, Scores, Share } from "../records/scores.js";
import { hasMatrix } from "../ask/matrix-states.js";
import { matrixVerdicts, songVerdict } from "../report/matrix/matrix-verdict.js";
import type { MatrixScores } from "../score/matrix/matrix-scores.js";
import { readJson } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { calibrationText } from "./calibration-text.js";
import { table } from "./output.js";

export interface RunSummary {
  readonly folder: string;
  readonly report: string;
  readonly averages: Scores["averages"];
  readonly noiseFloors: readonly NoiseFloor[];
  /** Present when the study trained something. */
  readonly changes?: Scores["changes"];
  readonly drift?: Scores["drift"];
  /** Present when the study compares distributions. */
  readonly calibration?: CalibrationScores["rows"];
  /** Present when the study has a matrix: its fits. */
  readonly matrix?: MatrixScores["fits"];
  readonly text: string;
}

export async function summarize(run: RunFolder): Promise<RunSummary> {
  const scores = await readJson<Scores>(run.file("scores"));
  const noiseFloors = await readJson<NoiseFloor[]>(run.file("noiseFloor"));
  const calibration = run.plan.calibration ? await readJson<CalibrationScores>(run.file("calibration")) : undefined;
  const matrix = hasMatrix(run.plan) ? await readJson<MatrixScores>(run.file("matrix")) : undefined;
  const first = scores.averages.find((average) => average.accuracy.ok)?.accuracy;
  const n = first?.ok ? `n = ${first.n} trials of ${first.clusters} strings; ` : "";
  return {
    folder: run.path,
    report: run.file("report"),
    averages: scores.averages,
    noiseFloors,
    ...(scores.changes ? { changes: scores.changes } : {}),
    ...(scores.drift ? { drift: scores.drift } : {}),
    ...(calibration ? { calibration: calibration.rows } : {}),
    ...(matrix ? { matrix: matrix.fits } : {}),
    text: [
      ...(scores.changes?.length ? trainingTexts(scores, scores.changes) : [averagesText(scores)]),
      `${n}${scores.intervalMethod}`,
      ...noiseFloors.map(floorText),
      ...(matrix ? [...matrixVerdicts(matrix), songVerdict(matrix.song)].map(([finding]) => finding ?? "") : []),
      ...(calibration ? [`calibration at temperature 1:\n${calibrationText(calibration)}`] : []),
    ].join("\n"),
  };
}

const SCOPES: Readonly<Record<Scope, string>> = {
  all: "all",
  held_out_strings: "held-out strings of trained tasks",
  held_out_tasks: "held-out tasks",
};

function averagesText({ averages }: Scores): string {
  const rows = averages.map((average) => [
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
  return table(header, rows);
}

/** What training did: for each adapter and scope a row, before and after beside the mode. Micro averages: what single trials show. */
function trainingTexts(scores: Scores, changes: readonly AccuracyChange[]): string[] {
  const micro = changes.filter(({ kind }) => kind === "micro");
  const texts = [...new Set(micro.map(({ after }) => after))].flatMap((after) => {
    const own = micro.filter((change) => change.after === after);
    const { before, target } = own[0] as AccuracyChange;
    const itself = own.some((change) => change.accuracyAboutItself) ? ["about itself now"] : [];
    const header = ["% of trials right", "before", "after", "change", "mode (train)", "after − mode", ...itself];
    return [
      `${before} predicts ${before === target ? "itself" : target}, before and after training (${after}):`,
      table(
        header,
        own.map((change) => changeRow(scores, change)),
      ),
      ...complianceText(scores, own[0] as AccuracyChange),
    ];
  });
  return [...texts, ...(scores.drift ?? []).filter(({ task }) => task === undefined).map(driftText)];
}

function changeRow(scores: Scores, change: AccuracyChange): string[] {
  const average = averageOf(scores, change.after, change);
  return [
    SCOPES[change.scope],
    estimate(change.accuracyBefore),
    estimate(change.accuracyAfter),
    estimate(change.change),
    average ? estimate(average.modeBaselineTrain) : "—",
    average ? estimate(average.aboveModeTrain) : "—",
    ...(change.accuracyAboutItself ? [estimate(change.accuracyAboutItself)] : []),
  ];
}

/** The micro average of a predictor about a change's target, over the trials of its scope. */
function averageOf(
  { averages, scopedAverages = [] }: Scores,
  predictor: string,
  { scope, target }: AccuracyChange,
): AverageScore | undefined {
  const rows = scope === "all" ? averages : scopedAverages.filter((row) => row.scope === scope);
  return rows.find((row) => row.predictor === predictor && row.target === target && row.kind === "micro");
}

function complianceText(scores: Scores, change: AccuracyChange): string[] {
  const [was, is] = [change.before, change.after].map((predictor) => averageOf(scores, predictor, change));
  if (!was || !is) return [];
  return [
    `replies that comply: ${share(was.hypotheticalCompliance)} % before, ${share(is.hypotheticalCompliance)} % after; the others count as wrong`,
  ];
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
