/** What runs and distributions say on the terminal. */

import { stringNotes } from "../study/choose-strings.js";
import { chatSentences } from "../study/forms.js";
import type { Estimate } from "../score/interval.js";
import { join } from "node:path";
import type { Distribution } from "../ask/expand-distribution.js";
import type { MeasuredDistribution } from "../ask/measure-distribution.js";
import type { NoiseFloor } from "../ask/noise-floor.js";
import { readJson } from "../base/files.js";
import { verdictSentences, verdictText } from "../report/sentences.js";
import { shownVerdicts, standingAnswer, standingText } from "../report/standing.js";
import { EXPERIMENT_TITLES, lowered } from "../report/standing.js";
import { SCOPE_WORDS, subgroupWords } from "../report/terms.js";
import { RUN_FILES } from "../run/folder.js";
import type { FinishedRun, PlannedStudy } from "../run/run-study.js";
import { isWritten } from "../run/stages.js";
import { statesOf } from "../study/states.js";
import type {
  CalibrationDifference,
  CalibrationRow,
  CalibrationScores,
} from "../score/calibration/score-calibration.js";
import type { MatrixScores } from "../score/matrix/matrix.js";
import { judgeText } from "../score/judge-agreement.js";
import { TRAINED_SCOPES } from "../score/scope.js";
import type { AccuracyChange, AverageScore, BehaviorDrift, Scores, Share } from "../score/scores.js";
import type { SubgroupScores } from "../score/subgroups.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import { averagesIn } from "../score/verdicts/verdict.js";
import { table } from "./output.js";

// The scores of a calibration for the terminal.

/** Every pair beside a predictor that always says the same; over all properties, then by property where there are several. */
export function calibrationText({ rows, differences, intervalMethod }: CalibrationScores): string {
  const several = new Set(rows.flatMap(({ property }) => (property === undefined ? [] : [property]))).size > 1;
  const shown = rows.filter(({ property }) => property === undefined || several);
  const header = [
    "predictor → target",
    "kind",
    "property",
    "questions",
    "MAD (points)",
    "of the constant",
    "Brier",
    "of the constant",
    "skill",
    "total variation",
    "Pearson",
  ];
  return [
    table(header, shown.map(scoreRow)),
    ...[...new Set(shown.flatMap(missingReasons))].map((reason) => `—: ${reason}`),
    "The constant predicts the mean behavior of the task's other strings. MAD: mean distance over ten bins, percentage points.",
    intervalMethod,
    ...differences.filter(({ property }) => property === undefined).map(differenceText),
    ...shown.filter(({ property }) => property === undefined).flatMap(exclusionsText),
  ].join("\n");
}

function scoreRow({
  predictor,
  target,
  kind,
  property,
  comparisons,
  metrics,
  constant,
  skill,
}: CalibrationRow): string[] {
  return [
    `${predictor} → ${target}`,
    kind,
    property ?? "all",
    String(comparisons),
    percentText(metrics.madPoints, 1),
    percentText(constant.madPoints, 1),
    percentText(metrics.brier, 3),
    percentText(constant.brier, 3),
    percentText(skill, 3),
    percentText(metrics.totalVariation, 3),
    percentText(metrics.pearson, 2),
  ];
}

function missingReasons({ metrics, constant, skill }: CalibrationRow): string[] {
  const { madPoints, brier, totalVariation, pearson } = metrics;
  const shown = [madPoints, constant.madPoints, brier, constant.brier, skill, totalVariation, pearson];
  return shown.flatMap((value) => (value.ok ? [] : [value.reason]));
}

function differenceText({ target, predictor, minus, madPoints, brier, totalVariation }: CalibrationDifference): string {
  return (
    `${predictor} − ${minus} about ${target} (below 0: nearer): MAD ${percentText(madPoints, 1)} points, ` +
    `Brier ${percentText(brier, 3)}, total variation ${percentText(totalVariation, 3)}`
  );
}

function exclusionsText({ predictor, target, leftOut, sampled, strings }: CalibrationRow): string[] {
  const reasons = leftOut.map(({ reason, count }) => `${count} left out: ${reason}`);
  const drawn = sampled.count > 0 ? [`${sampled.count} of ${sampled.of} questions with samples on a side`] : [];
  return [`${predictor} → ${target}: ${[`${strings} strings`, ...drawn, ...reasons].join("; ")}`];
}

function percentText(value: Estimate, digits: number): string {
  if (!value.ok) return "—";
  return `${value.value.toFixed(digits)} [${value.low.toFixed(digits)}, ${value.high.toFixed(digits)}]`;
}

/** What a run is about to be made from, and where. */
export function plannedText({ plan, models, folder, earlier = [] }: PlannedStudy): string {
  const files = Object.entries(models).map(([name, { source, encoding, reencodedFrom, sha256, warnings = [] }]) => {
    const from = reencodedFrom ? ` re-encoded from ${reencodedFrom.encoding}` : "";
    const file = `${name}: ${source}, ${encoding}${from}, sha256 ${sha256.slice(0, 12)}…`;
    return [file, ...warnings.map((warning) => `  warning: ${warning}`)].join("\n");
  });
  const logs = statesOf(plan).all.flatMap(({ name, elsewhere }) =>
    [...(elsewhere?.answers ?? []), ...(elsewhere?.predictions ?? [])].map(
      ({ source, format, taken, answers, sha256 }) =>
        `${name}: ${source}, ${format}, ${taken} of ${answers} answers taken, sha256 ${sha256.slice(0, 12)}…`,
    ),
  );
  const chats = Object.entries(plan.chats ?? {}).map(([name, chat]) => `${name}: ${chatSentences(chat)}`);
  return [...files, ...logs, ...chats, ...stringNotes(plan), ...earlierTexts(earlier), `run folder: ${folder}`].join(
    "\n",
  );
}

/** Keys of a plan that are named. */
const MOST_KEYS = 5;

/** Said before anything is asked: what it costs that a run takes no answers from another's folder. */
export function earlierTexts(runs: NonNullable<PlannedStudy["earlier"]>): string[] {
  const [newest] = runs;
  if (!newest) return [];
  const { folder, answers, differs } = newest;
  const more = differs.length > MOST_KEYS ? ` and ${differs.length - MOST_KEYS} more` : "";
  const others = runs.length > 1 ? `, as ${runs.length - 1} more beside it have` : "";
  const plan =
    differs.length === 0
      ? "its plan is the same"
      : `its plan differs in ${differs.slice(0, MOST_KEYS).join(", ")}${more}`;
  return [
    `${folder} has ${answers} answers to the same object-level questions${others}; ${plan}. ` +
      "A run takes nothing from another's folder: what the answer cache does not give is asked again.",
  ];
}

interface RunSummary {
  readonly folder: string;
  readonly report: string;
  readonly averages: Scores["averages"];
  /** Present where others asked: what was answered, and how right the answers are. */
  readonly answered?: Scores["answered"];
  readonly taskAccuracy?: Scores["taskAccuracy"];
  readonly reportedRight?: Scores["reportedRight"];
  readonly noiseFloors: readonly NoiseFloor[];
  /** Present when the study trained something. */
  readonly changes?: Scores["changes"];
  readonly drift?: Scores["drift"];
  /** Present when the study compares distributions. */
  readonly calibration?: CalibrationScores["rows"];
  /** Present when the study has a matrix: its fits. */
  readonly matrix?: MatrixScores["fits"];
  /** Present when the study names columns. */
  readonly subgroups?: Scores["subgroups"];
  readonly text: string;
}

export async function summarize({
  folder,
  plan,
  scores,
  experiments,
}: Pick<FinishedRun, "folder" | "plan" | "scores" | "experiments">): Promise<RunSummary> {
  const file = (name: keyof typeof RUN_FILES) => join(folder, RUN_FILES[name]);
  const noiseFloors = await readJson<NoiseFloor[]>(file("noiseFloor"));
  const calibration = isWritten(plan, "calibration")
    ? await readJson<CalibrationScores>(file("calibration"))
    : undefined;
  const matrix = isWritten(plan, "matrix") ? await readJson<MatrixScores>(file("matrix")) : undefined;
  return {
    folder,
    report: file("report"),
    averages: scores.averages,
    ...(scores.answered
      ? { answered: scores.answered, taskAccuracy: scores.taskAccuracy, reportedRight: scores.reportedRight }
      : {}),
    noiseFloors,
    ...(scores.changes ? { changes: scores.changes } : {}),
    ...(scores.drift ? { drift: scores.drift } : {}),
    ...(calibration ? { calibration: calibration.rows } : {}),
    ...(matrix ? { matrix: matrix.fits } : {}),
    ...(scores.subgroups ? { subgroups: scores.subgroups } : {}),
    text: [
      ...answeredTexts(scores),
      ...(scores.changes?.length
        ? trainingTexts(scores, scores.changes)
        : plan.predictions.length > 0
          ? [averagesText(scores)]
          : ["No predictions, made here or elsewhere: nothing says whether a model knows what it does."]),
      scores.intervalMethod,
      ...(scores.judges ?? []).map(
        (judge) => `${judge.fit ? "" : "UNFIT JUDGE, nothing of this is scored: "}${judgeText(judge)}.`,
      ),
      ...noiseFloors.map(floorText),
      ...(experiments ? verdictTexts(experiments) : []),
      ...(calibration ? [`calibration at temperature 1:\n${calibrationText(calibration)}`] : []),
      ...(scores.subgroups ? [subgroupsText(scores.subgroups)] : []),
    ].join("\n"),
  };
}

/** What the study is judged by; then the answer of each verdict, and the comparison that decided it. */
function verdictTexts(results: ExperimentResults): string[] {
  const all = results.experiments.flatMap(({ name, verdicts }) =>
    shownVerdicts(results, verdicts).map((verdict) => {
      const answer = standingAnswer(verdict);
      const said = verdict.status === undefined ? answer.toLowerCase() : lowered(answer);
      const text = `${EXPERIMENT_TITLES[name]}, ${verdictText(verdict)}: ${said}. ${verdictSentences(verdict).lead}`;
      return { text, isPrimary: verdict.status === "primary" };
    }),
  );
  const primary = all.filter(({ isPrimary }) => isPrimary);
  const others = all.filter(({ isPrimary }) => !isPrimary);
  return all.length === 0 ? [] : [standingText(results), ...[...primary, ...others].map(({ text }) => text)];
}

/** Of models that others asked: how each property is spread, and how right the answers are, here and as the log counts them. */
function answeredTexts({ answered, taskAccuracy = [], reportedRight = [] }: Scores): string[] {
  if (!answered) return [];
  const spread = answered.map(({ target, task, property, answers, counted, values, modeShare, entropyBits }) => [
    `${target}, ${task}`,
    property,
    `${counted} of ${answers}`,
    values[0] === undefined ? "—" : JSON.stringify(values[0].value),
    estimateText(modeShare),
    counted === 0 ? "—" : entropyBits.toFixed(2),
  ]);
  const own = taskAccuracy.filter(({ target }) => answered.some((cell) => cell.target === target));
  return [
    table(["answers of", "property", "with a value", "most common", "its share, %", "bits"], spread),
    ...own.map(({ target, task, taken, right, chance }) => {
      const accuracy = right[taken];
      const reported = reportedRight.find((one) => one.target === target && one.task === task);
      const said = reported ? `; as the log counts them ${estimateText(reported.right)} %` : "";
      return `right answers of ${target} on ${task}: ${accuracy ? `${estimateText(accuracy)} %` : "—"}, chance ${percent(chance)} %${said}`;
    }),
  ];
}

function averagesText({ averages }: Scores): string {
  const rows = averages.map((average) => [
    `${average.predictor} → ${average.target}`,
    average.kind,
    ...trialsAndStrings(average.accuracy),
    ...measured(average).map(cellText),
    share(average.hypotheticalCompliance),
    share(average.objectCompliance),
  ]);
  const header = [
    "predictor → target",
    "average",
    "trials",
    "strings",
    "accuracy, %",
    "mode (train), %",
    "mode (oracle), %",
    "above mode, points",
    "replies comply, %",
    "answers comply, %",
  ];
  const reasons = averages.flatMap((average) =>
    measured(average).flatMap((one) => (one.ok ? [] : [`— ${average.predictor} → ${average.target}: ${one.reason}`])),
  );
  return [table(header, rows), ...new Set(reasons)].join("\n");
}

function measured(average: AverageScore): readonly Estimate[] {
  return [average.accuracy, average.modeBaselineTrain, average.modeBaselineOracle, average.aboveModeTrain];
}

/** What an estimate rests on: every row of a table has its own. */
function trialsAndStrings(one: Estimate): [string, string] {
  return one.ok ? [`${one.n}`, `${one.clusters}`] : ["—", "—"];
}

/** Of a table that gives the reason below it. */
function cellText(one: Estimate): string {
  return one.ok ? estimateText(one) : "—";
}

function subgroupsText({ rows, multiplicity }: SubgroupScores): string {
  const header = [
    "predictor → target",
    "column",
    "subgroup",
    "strings",
    "accuracy, %",
    "mode (train), %",
    "mode (oracle), %",
    "above oracle mode, points",
    "p (Holm)",
  ];
  const lines = rows.map((row) => [
    `${row.predictor} → ${row.target}${row.scope === "all" ? "" : `, ${SCOPE_WORDS[row.scope]}`}`,
    row.column,
    subgroupWords(row.subgroup),
    `${row.strings}`,
    estimateText(row.accuracy),
    ...[row.modeBaselineTrain, row.modeBaselineOracle, row.aboveModeOracle].map((one) =>
      row.accuracy.ok ? estimateText(one) : "—",
    ),
    row.holmP.ok ? row.holmP.p.toPrecision(2) : "—",
  ]);
  return `by columns of the data (${multiplicity}):\n${table(header, lines)}`;
}

const SCOPE_ORDER = [...TRAINED_SCOPES, "all"] as const;

/** What training did: for each adapter and scope a row, before and after beside the mode. Micro averages: what single trials show. */
function trainingTexts(scores: Scores, changes: readonly AccuracyChange[]): string[] {
  const micro = changes.filter(({ kind }) => kind === "micro");
  const texts = [...new Set(micro.map(({ after }) => after))].flatMap((after) => {
    // Scopes in their order, all of them pooled last.
    const own = SCOPE_ORDER.flatMap((scope) =>
      micro.filter((change) => change.after === after && change.scope === scope),
    );
    const { before, target } = own[0] as AccuracyChange;
    const itself = own.some((change) => change.accuracyAboutItself) ? ["about itself now"] : [];
    const header = [
      ...["% of trials right", "trials", "strings", "before", "after"],
      ...["change, points", "mode (train)", "after − mode, points", ...itself],
    ];
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
    SCOPE_WORDS[change.scope] || "all, pooled",
    ...trialsAndStrings(change.change),
    estimateText(change.accuracyBefore),
    estimateText(change.accuracyAfter),
    estimateText(change.change),
    average ? estimateText(average.modeBaselineTrain) : "—",
    average ? estimateText(average.aboveModeTrain) : "—",
    ...(change.accuracyAboutItself ? [withTrials(change.accuracyAboutItself)] : []),
  ];
}

/** The micro average of a predictor about a change's target, over the trials of its scope. */
function averageOf(scores: Scores, predictor: string, { scope, target }: AccuracyChange): AverageScore | undefined {
  return averagesIn(scores, scope).find(
    (row) => row.predictor === predictor && row.target === target && row.kind === "micro",
  );
}

function complianceText(scores: Scores, change: AccuracyChange): string[] {
  const [was, is] = [change.before, change.after].map((predictor) => averageOf(scores, predictor, change));
  if (!was || !is) return [];
  return [
    `replies that comply: ${share(was.hypotheticalCompliance)} % before, ${share(is.hypotheticalCompliance)} % after; the others count as wrong`,
  ];
}

function driftText({ before, after, differ, both }: BehaviorDrift): string {
  return `behavior that training changed: ${estimateText(differ)} % of ${both} behaviors that ${before} and ${after} both have`;
}

function floorText(floor: NoiseFloor): string {
  return (
    `noise floor of ${floor.state}: ${floor.sameTokens} of ${floor.questions} questions had the same tokens when asked again in another ` +
    `order and batch; largest logprob difference ${floor.maxLogprobDifference.toPrecision(2)} nats`
  );
}

/** Of a column whose trials are not those of its row: what it does now is more, or less, than what both did. */
function withTrials(one: Estimate): string {
  return one.ok ? `${estimateText(one)} of ${one.n} trials` : estimateText(one);
}

function estimateText(value: Estimate): string {
  if (!value.ok) return `— (${value.reason})`;
  return `${percent(value.value)} [${percent(value.low)}, ${percent(value.high)}]`;
}

function share({ count, of }: Share): string {
  return of === 0 ? "—" : `${percent(count / of)}`;
}

function percent(value: number): string {
  return (value * 100).toFixed(1);
}

// The two distributions of one question side by side, for the terminal.

/** Most values shown. */
const MOST_VALUES = 8;

/** What a state does, and what it says that it would do, value by value: the likeliest on either side. */
export function distributionsText(behavior: MeasuredDistribution, prediction: MeasuredDistribution): string {
  const sides = [behavior.distribution, prediction.distribution];
  const likeliest = (value: string) => Math.max(...sides.map((side) => probabilityOf(side, value)));
  const values = [...new Set(sides.flatMap((side) => side.values.map(({ value }) => value)))].sort(
    (a, b) => likeliest(b) - likeliest(a) || (a < b ? -1 : 1),
  );
  const others = values.slice(MOST_VALUES);
  const rest = (side: Distribution) => others.reduce((sum, value) => sum + probabilityOf(side, value), 0);
  const rows = [
    ...values
      .slice(0, MOST_VALUES)
      .map((value) => [JSON.stringify(value), ...sides.map((side) => probability(side, value))]),
    ...(others.length > 0 ? [[`${others.length} others`, ...sides.map((side) => rest(side).toFixed(3))]] : []),
    ["shows no value", ...sides.map(notCompliant)],
    ["not looked into", ...sides.map((side) => (side.method === "expansion" ? side.tail.toFixed(4) : "—"))],
    ["how", ...sides.map(method)],
  ];
  return table([behavior.property, "p object-level", "p hypothetical"], rows);
}

function probabilityOf({ values }: Distribution, value: string): number {
  return values.find((one) => one.value === value)?.probability ?? 0;
}

function probability(side: Distribution, value: string): string {
  if (side.method === "expansion") {
    const found = side.values.find((one) => one.value === value) ?? { probability: 0, upper: side.tail };
    return `${found.probability.toFixed(3)} to ${found.upper.toFixed(3)}`;
  }
  const found = side.values.find((one) => one.value === value) ?? { probability: 0, standardError: 0 };
  return `${found.probability.toFixed(3)} ± ${found.standardError.toFixed(3)}`;
}

function notCompliant({ notCompliant: reasons }: Distribution): string {
  const rows = Object.entries(reasons);
  const sum = rows.reduce((total, [, mass]) => total + mass, 0);
  const [first] = [...rows].sort(([, a], [, b]) => b - a);
  return first ? `${sum.toFixed(3)} (mostly ${first[0]})` : sum.toFixed(3);
}

function method(side: Distribution): string {
  if (side.method === "samples") return `${side.samples} samples (${side.because})`;
  return `expanded, ${side.evaluatedTokens} tokens (${side.stoppedBy})`;
}
