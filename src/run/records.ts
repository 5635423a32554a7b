/** Reads the files of finished stages: the bytes that the stage wrote, and the shape that they must have. */

import { z } from "zod";
import { type DistributionRow, distributionRowSchema } from "../ask/measure-distribution.js";
import { logprobDifferenceSchema, type LogprobDifferenceRow } from "../ask/logprob-differences.js";
import { type NoiseFloor, noiseFloorsSchema } from "../ask/noise-floor.js";
import { type PatchedRow, patchedRowSchema } from "../ask/patched-distributions.js";
import { type InjectedRow, injectedRowSchema } from "../ask/injected-answers.js";
import { readJson, readJsonLines } from "../base/files.js";
import { EXPERIMENTS_VERSION, type ExperimentResults } from "../score/verdicts/experiments.js";
import { type AdapterCard, cardSchema } from "../finetune/adapter/card.js";
import {
  type FinetuneExample,
  finetuneExampleSchema,
  type FinetuneSetReport,
  finetuneSetReportSchema,
} from "../finetune/set.js";
import { type Behavior, behaviorSchema } from "../properties/property.js";
import { CALIBRATION_VERSION, type CalibrationScores } from "../score/calibration/score-calibration.js";
import { type Comparisons, COMPARISONS_VERSION } from "../score/comparison/comparisons.js";
import { SHIFTS_VERSION, type Shifts } from "../score/comparison/shift.js";
import { inputOnlySchema, type TargetClassifiers } from "../score/input-only/input-only-predictions.js";
import { INJECTION_VERSION, type InjectionResults } from "../score/injection/injection-scores.js";
import { type Judges, JUDGES_VERSION } from "../score/judge-agreement.js";
import { MATRIX_VERSION, type MatrixScores } from "../score/matrix/matrix.js";
import { LENS_VERSION, type LensLine, lensLineSchema, type LensResults } from "../probe/lens-results.js";
import { INSIDE_VERSION, type InsideResults, type InsideRow, insideRowSchema } from "../probe/inside-results.js";
import { type ProbeResults, PROBES_VERSION } from "../probe/probe-results.js";
import { type Scores, SCORES_VERSION } from "../score/scores.js";
import { SIMULATION_VERSION, type SimulationResults } from "../score/simulation/simulation.js";
import { type TrialRow, trialRowSchema } from "../score/trial-rows.js";
import { type Answer, answerSchema } from "../tasks/answer.js";
import { type BegunLine, begunLineSchema } from "./finished-lines.js";
import type { RunFile, RunFolder } from "./folder.js";

/** What the lines of each file are. */
interface Lines {
  readonly judgedLabels: Answer;
  readonly objectLevel: Answer;
  readonly challenged: Answer;
  readonly judged: Answer;
  readonly behaviors: Behavior;
  readonly finetuneSet: FinetuneExample;
  readonly objectLevelAdapted: Answer;
  readonly challengedAdapted: Answer;
  readonly judgedAdapted: Answer;
  readonly behaviorsAdapted: Behavior;
  readonly objectLevelReadapted: Answer;
  readonly challengedReadapted: Answer;
  readonly judgedReadapted: Answer;
  readonly behaviorsReadapted: Behavior;
  readonly hypothetical: Answer;
  readonly distributions: DistributionRow;
  readonly logprobDifferences: LogprobDifferenceRow;
  readonly patches: PatchedRow;
  readonly inside: InsideRow;
  readonly injections: InjectedRow;
  readonly trials: TrialRow;
  readonly lens: LensLine | BegunLine;
}

const LINES: Readonly<Record<keyof Lines, z.ZodType>> = {
  judgedLabels: answerSchema,
  objectLevel: answerSchema,
  challenged: answerSchema,
  judged: answerSchema,
  behaviors: behaviorSchema,
  finetuneSet: finetuneExampleSchema,
  objectLevelAdapted: answerSchema,
  challengedAdapted: answerSchema,
  judgedAdapted: answerSchema,
  behaviorsAdapted: behaviorSchema,
  objectLevelReadapted: answerSchema,
  challengedReadapted: answerSchema,
  judgedReadapted: answerSchema,
  behaviorsReadapted: behaviorSchema,
  hypothetical: answerSchema,
  distributions: distributionRowSchema,
  logprobDifferences: logprobDifferenceSchema,
  patches: patchedRowSchema,
  inside: insideRowSchema,
  injections: injectedRowSchema,
  trials: trialRowSchema,
  lens: z.union([begunLineSchema, lensLineSchema]),
};

/** The content of 07-input-only.json: by target. */
export type InputOnlyByTarget = Readonly<Record<string, TargetClassifiers>>;

/** What each file holds as one. */
interface Contents {
  readonly judges: Judges;
  readonly finetuneSetReport: FinetuneSetReport;
  readonly adapterCard: AdapterCard;
  readonly noiseFloor: readonly NoiseFloor[];
  readonly inputOnly: InputOnlyByTarget;
  readonly scores: Scores;
  readonly comparisons: Comparisons;
  readonly calibration: CalibrationScores;
  readonly matrix: MatrixScores;
  readonly probes: ProbeResults;
  readonly lensScores: LensResults;
  readonly simulation: SimulationResults;
  readonly insideResults: InsideResults;
  readonly injection: InjectionResults;
  readonly shifts: Shifts;
  readonly experiments: ExperimentResults;
}

const list = z.array(z.unknown());
/** What our own scoring wrote is known by its hash; of its shape, that it is of this version. */
const CONTENTS: Readonly<Record<keyof Contents, z.ZodType>> = {
  judges: z.object({ judgesVersion: z.literal(JUDGES_VERSION), confidence: z.number(), judges: list }),
  finetuneSetReport: finetuneSetReportSchema,
  adapterCard: cardSchema,
  noiseFloor: noiseFloorsSchema,
  inputOnly: z.record(z.string(), inputOnlySchema),
  scores: z.object({
    scoresVersion: z.literal(SCORES_VERSION),
    confidence: z.number(),
    bootstrapReplicates: z.number(),
    intervalMethod: z.string(),
    noiseFloorNats: z.number(),
    trials: z.number(),
    cells: list,
    averages: list,
    notAveraged: list,
    exclusions: list,
  }),
  comparisons: z.object({
    comparisonsVersion: z.literal(COMPARISONS_VERSION),
    comparisons: list,
    selfPredictions: list,
    series: list,
  }),
  calibration: z.object({ calibrationVersion: z.literal(CALIBRATION_VERSION), rows: list, differences: list }),
  matrix: z.object({
    matrixVersion: z.literal(MATRIX_VERSION),
    cells: list,
    fits: list,
    song: z.object({ ok: z.boolean() }),
  }),
  probes: z.object({ probesVersion: z.literal(PROBES_VERSION), spanTokens: z.string(), questions: list }),
  lensScores: z.object({ lensVersion: z.literal(LENS_VERSION), states: list, unread: list, questions: list }),
  simulation: z.object({ simulationVersion: z.literal(SIMULATION_VERSION), questions: list }),
  insideResults: z.object({
    insideVersion: z.literal(INSIDE_VERSION),
    attribution: list,
    heads: list,
    subspace: list,
    patchscope: list,
  }),
  injection: z.object({ injectionVersion: z.literal(INJECTION_VERSION), results: list }),
  shifts: z.object({ shiftsVersion: z.literal(SHIFTS_VERSION), changes: list }),
  experiments: z.object({ experimentsVersion: z.literal(EXPERIMENTS_VERSION), experiments: list }),
};

/**
 * @param adapter whose file it is, where every adapter has one
 * @throws STORE_INCOMPLETE when its stage is not done, STORE_CORRUPT when it was changed since or is no such file
 */
export async function readLines<Name extends keyof Lines>(
  run: RunFolder,
  name: Name,
  adapter?: string,
): Promise<Lines[Name][]> {
  const path = await unchanged(run, name, adapter);
  return (await readJsonLines<Lines[Name]>(path, LINES[name], undefined, withoutAlternatives)).rows;
}

/** The same answers with the likely tokens of each position, where the run has them. @throws as readLines */
export async function readWholeAnswers(run: RunFolder, name: AnswerFile): Promise<Answer[]> {
  return (await readJsonLines<Answer>(await unchanged(run, name, undefined), LINES[name])).rows;
}

/** They are for people who look at one answer: those of all would be most of a process's memory, and no number rests on them. */
function withoutAlternatives<Row extends object>(row: Row): Row {
  if (!("reply" in row) || row.reply === null || typeof row.reply !== "object" || !("positions" in row.reply))
    return row;
  const { positions: _, ...reply } = row.reply;
  return { ...row, reply };
}

/** Files whose lines are answers. */
type AnswerFile = { [Name in keyof Lines]: Lines[Name] extends Answer ? Name : never }[keyof Lines];

/** Lines of one model state alone: of a large run others' are passed over unread. @throws as readLines */
export async function readLinesOf<Name extends AnswerFile>(
  run: RunFolder,
  name: Name,
  state: string,
): Promise<Lines[Name][]> {
  const path = await unchanged(run, name, undefined);
  const named = `"state":${JSON.stringify(state)}`;
  const { rows } = await readJsonLines<Lines[Name]>(
    path,
    LINES[name],
    (line) => line.includes(named),
    withoutAlternatives,
  );
  return rows.filter((row) => row.state === state);
}

/** @throws as readLines */
export async function readContent<Name extends keyof Contents>(
  run: RunFolder,
  name: Name,
  adapter?: string,
): Promise<Contents[Name]> {
  return await readJson<Contents[Name]>(await unchanged(run, name, adapter), CONTENTS[name]);
}

async function unchanged(run: RunFolder, name: string, adapter: string | undefined): Promise<string> {
  const file = (adapter === undefined ? name : `${name}/${adapter}`) as RunFile;
  await run.requireUnchanged(file);
  return run.file(file);
}
