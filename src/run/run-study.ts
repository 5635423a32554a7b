/** A study as one call: its models found, its plan made, its run folder opened, its stages run, and all of it closed again. */

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { z } from "zod";
import { AnswerCache } from "../ask/answer-cache.js";
import type { StoreFaults } from "../ask/answer-store.js";
import { hashOf } from "../base/files.js";
import { settleEngine } from "../model/engines/settings.js";
import { requirePlannedFile } from "../model/model-file.js";
import { resolveModel } from "../model/resolve-model.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import type { CalibrationScores } from "../score/calibration/score-calibration.js";
import type { Scores } from "../score/scores.js";
import { loadStudy, parseStudy } from "../study/load-study.js";
import type { ModelFile, Plan } from "../study/plan.js";
import type { studySchema } from "../study/schema.js";
import { withJudges } from "../study/judges.js";
import type { Study } from "../study/study.js";
import { EventLog, RUN_FILES, RunFolder } from "./folder.js";
import { OneModel, openState, type StageContext } from "./open-models.js";
import { modelProgress, type WorkOptions, wornInStudy } from "./open-model.js";
import type { GivenReplies } from "../study/elsewhere.js";
import { statesOf } from "../study/states.js";
import { type EarlierRun, planRunAndReplies, runsThatAskedTheSame } from "./planning.js";
import { readContent } from "./records.js";
import { runStages, runStagesAgain } from "./run-stages.js";
import { CALIBRATING, isWritten, REPORTING, SCORING } from "./stages.js";

/** A study as its author writes it: the content of a study file as an object. Paths in it start at the current folder. */
export type AuthoredStudy = z.input<typeof studySchema>;

export interface StudyOptions extends WorkOptions {
  /** Run folder. Default `runs/<study>-<first eight hex digits of the plan's hash>` under the current folder. */
  readonly out?: string;
  /**
   * Changes of the study, made before it is read so that they stand in the plan: `{ seed: 3, "engine.device": "cpu" }`, or as on
   * the command line `["seed=3"]`.
   */
  readonly set?: Readonly<Record<string, unknown>> | readonly string[];
  /** Called once the plan stands and before anything is asked. */
  readonly onPlanned?: (planned: PlannedStudy) => void;
  /** Called at the end where the answer cache held what cannot be believed, or could not be written. */
  readonly onCacheFaults?: (faults: StoreFaults) => void;
}

export interface PlannedStudy {
  readonly plan: Plan;
  /** sha256 of the plan, hex: results depend on nothing else. */
  readonly planHash: string;
  /** The file of each model of the plan. */
  readonly models: Readonly<Record<string, ModelFile>>;
  /** What was said elsewhere to its questions, by `<state>|<key>`; empty where everybody is asked here. */
  readonly given: GivenReplies;
  /** By name, the files of lenses of the plan that others made. */
  readonly lensPaths: Readonly<Record<string, string>>;
  /** By concept, the files of directions that the plan injects. */
  readonly vectorPaths: Readonly<Record<string, string>>;
  /** Absolute path of where its run is, or will be. */
  readonly folder: string;
  /** Whether answers may come from the answer cache. */
  readonly cache: boolean;
  /** Runs beside it that have put the same object-level questions: they are asked again. Absent where there are none. */
  readonly earlier?: readonly EarlierRun[];
}

/** Absolute paths of a run's files that are there, by the names of `RUN_FILES`. */
export type RunFiles = Readonly<Partial<Record<keyof typeof RUN_FILES, string>>>;

/** A run that was scored. */
export interface FinishedRun {
  /** Absolute path of the run folder. */
  readonly folder: string;
  readonly plan: Plan;
  /** 08-scores.json: accuracies and baselines as shares from 0 to 1, with intervals. */
  readonly scores: Scores;
  /** 08-experiments.json: what each experiment of the study found. Absent for plans that are older than experiments. */
  readonly experiments?: ExperimentResults;
  readonly files: RunFiles;
}

/** @throws InwardError STUDY_NOT_FOUND, STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE (set) */
export async function readStudy(study: string | AuthoredStudy, set?: StudyOptions["set"]): Promise<Study> {
  const overrides = asOverrides(set);
  if (typeof study === "string") return loadStudy(study, overrides);
  return parseStudy(JSON.stringify(study), "the study", overrides);
}

function asOverrides(set: StudyOptions["set"] = []): readonly string[] {
  const isList = (changes: typeof set): changes is readonly string[] => Array.isArray(changes);
  return isList(set) ? set : Object.entries(set).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
}

/** Where the paths of a study's tasks start. */
export function folderOf(study: string | AuthoredStudy): string {
  return typeof study === "string" ? dirname(resolve(study)) : resolve(".");
}

/** Where a run is kept that is given no folder. */
export function runFolderOf(study: string, planHash: string): string {
  return join("runs", `${study}-${planHash.slice(0, 8)}`);
}

/**
 * Finds a study's models, fetching those that are not here, and makes its plan. Asks nothing, writes no run folder.
 * @param study path of a study file, or its content
 * @throws InwardError STUDY_*, TASK_*, PROPERTY_*, MODEL_*, ENGINE_UNAVAILABLE, INTERRUPTED
 */
export async function planStudy(study: string | AuthoredStudy, options: StudyOptions = {}): Promise<PlannedStudy> {
  return planRead(await readStudy(study, options.set), folderOf(study), options);
}

async function planRead(authored: Study, folder: string, options: StudyOptions): Promise<PlannedStudy> {
  const study = await withJudges(authored, folder);
  const { offline, signal, onProgress } = options;
  const models: Record<string, ModelFile> = {};
  for (const [name, { source, adapter, chat: _, system: __, ...variant }] of Object.entries(study.models)) {
    const file = await resolveModel(source, {
      ...variant,
      offline,
      readWarnings: true,
      signal,
      onProgress: modelProgress(onProgress, name),
    });
    models[name] = adapter === undefined ? file : await wornInStudy(file, adapter);
  }
  const engine = await settleEngine(
    study.engine,
    Object.values(models).map(({ path }) => path),
  );
  const { plan, given, lenses, vectors } = await planRunAndReplies({ ...study, engine }, models, folder);
  const planHash = hashOf(plan);
  const runFolder = resolve(options.out ?? runFolderOf(study.study, planHash));
  const earlier = await runsThatAskedTheSame(plan, runFolder);
  const { cache = true } = study.engine;
  return {
    plan,
    planHash,
    models,
    given,
    lensPaths: pathsOf(lenses),
    vectorPaths: pathsOf(vectors),
    folder: runFolder,
    cache,
    ...(earlier.length > 0 ? { earlier } : {}),
  };
}

function pathsOf(files: Readonly<Record<string, { readonly path: string }>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, { path }]) => [name, path]));
}

/**
 * Runs a whole study: asks, takes behaviors, trains what it trains, scores, reports. A run that was interrupted, by the signal or
 * by a kill, goes on where it stopped when it is called again, and ends with the same bytes.
 * @param study path of a study file, or its content
 * @throws InwardError STUDY_*, TASK_*, MODEL_*, ENGINE_*, TRAIN_*, STORE_* · INTERRUPTED: finished groups of questions are kept
 */
export async function runStudy(study: string | AuthoredStudy, options: StudyOptions = {}): Promise<FinishedRun> {
  return runPlanned(await planStudy(study, options), options);
}

/** The same of a study that was planned already. */
export async function runPlanned(
  planned: PlannedStudy,
  options: WorkOptions & Pick<StudyOptions, "onPlanned" | "onCacheFaults">,
): Promise<FinishedRun> {
  return readFinished(await workInRun(planned, options, runStages));
}

/** What `calibrate` gives. */
export interface CalibratedRun {
  /** Absolute path of the run folder. */
  readonly folder: string;
  readonly plan: Plan;
  /** 08-calibration.json: distances between predicted and measured distributions; MAD in percentage points. */
  readonly scores: CalibrationScores;
  readonly files: RunFiles;
}

/**
 * Of a study, the calibration alone: how likely each value is at temperature 1, and how likely the model says it is, over the
 * full vocabulary. A study without a calibration section gets its defaults, which make another plan. `runStudy` in the same
 * folder goes on from there.
 * @throws InwardError as runStudy
 */
export async function calibrate(study: string | AuthoredStudy, options: StudyOptions = {}): Promise<CalibratedRun> {
  const read = await readStudy(study, options.set);
  const calibrated = read.calibration ? read : await readStudy(study, [...asOverrides(options.set), "calibration={}"]);
  const run = await workInRun(await planRead(calibrated, folderOf(study), options), options, (context) =>
    runStages(context, CALIBRATING),
  );
  const scores = await readContent(run, "calibration");
  return { folder: run.path, plan: run.plan, scores, files: filesOf(run) };
}

/**
 * Takes behaviors and scores predictions again from the answers of a run, with the code of today. Asks no model.
 * @param folder of a run that has asked all its questions
 * @throws InwardError STORE_NOT_A_RUN, STORE_INCOMPLETE, STORE_CORRUPT, STORE_LOCKED
 */
export async function score(folder: string): Promise<FinishedRun> {
  return inRun(folder, async (run) => {
    await runStagesAgain(run, SCORING);
    return readFinished(run);
  });
}

/** Absolute paths. */
export interface ReportPaths {
  /** One file that needs nothing else. */
  readonly html: string;
  readonly markdown: string;
  /** Folder of the figures, each an SVG. */
  readonly figures: string;
}

/**
 * Writes the report of a scored run again. Asks no model.
 * @throws InwardError STORE_NOT_A_RUN, STORE_INCOMPLETE, STORE_CORRUPT, STORE_LOCKED, REPORT_FAILED
 */
export async function report(folder: string): Promise<ReportPaths> {
  return inRun(folder, async (run) => {
    await runStagesAgain(run, REPORTING);
    return { html: run.file("report"), markdown: run.file("reportMarkdown"), figures: run.file("figures") };
  });
}

async function inRun<Result>(folder: string, work: (run: RunFolder) => Promise<Result>): Promise<Result> {
  const run = await RunFolder.open(folder);
  try {
    return await work(run);
  } finally {
    await run.close();
  }
}

/** Works in the plan's run folder, locked for this process. @returns the closed folder, for reading */
async function workInRun(
  planned: PlannedStudy,
  { onPlanned, onCacheFaults, onProgress, signal }: StudyOptions,
  work: (context: StageContext) => Promise<void>,
): Promise<RunFolder> {
  const { plan, folder } = planned;
  const run = await RunFolder.create(folder, plan);
  const events = new EventLog(run.file("events"));
  const { open, context } = openContext(run, events, planned, { onProgress, signal });
  try {
    onPlanned?.(planned);
    events.add("run_begun", { pid: process.pid });
    await work(context);
    const faults = await context.answers?.faults();
    if (faults) {
      events.add("answer_cache_faults", { ...faults });
      onCacheFaults?.(faults);
    }
    events.add("run_done");
  } finally {
    await open.close();
    await run.close();
  }
  return run;
}

/** What the stages of a run work with: its models, opened one at a time. @param own of who works: a part of the run has its own */
export function openContext(
  run: RunFolder,
  events: StageContext["events"],
  {
    models,
    given,
    lensPaths,
    vectorPaths,
    cache,
  }: Pick<PlannedStudy, "models" | "given" | "lensPaths" | "vectorPaths" | "cache">,
  {
    onProgress,
    signal,
    soon,
    threads,
    before,
    answers = AnswerCache.open(cache),
  }: Pick<WorkOptions, "onProgress" | "signal"> &
    Pick<StageContext, "soon" | "answers"> & {
      /** Of our own forward pass, in the plan's place. */
      readonly threads?: number;
      /** What is open already. */
      readonly before?: ReturnType<OneModel["take"]>;
    } = {},
): { readonly open: OneModel; readonly context: StageContext } {
  const { plan } = run;
  const modelPath = (model: string) => (models[model] as ModelFile).path;
  const wornBy = (model: string) => models[model]?.adapterPath;
  const open = new OneModel(run, openState(run, modelPath, wornBy, threads), before);
  const context: StageContext = {
    run,
    events,
    modelFor: open.modelFor,
    reopenModel: open.reopen,
    closeModel: () => open.close(),
    ...(answers ? { answers } : {}),
    modelPath,
    requireModels: async (only) => {
      const all = Object.entries(models).filter(([name]) => only === undefined || name === only);
      for (const [name, file] of all) await requirePlannedFile(name, file);
    },
    wornBy,
    lensPath: (lens) => lensPaths[lens] as string,
    vectorPath: (concept) => vectorPaths[concept] as string,
    given: ({ state, key }) => statesOf(plan).of(state).elsewhere && (given.get(`${state}|${key}`) ?? "not_in_log"),
    onProgress: (stage, done, total, detail) =>
      onProgress?.({ stage, done, total, unit: stage.startsWith("training ") ? "steps" : "questions", detail }),
    signal,
    ...(soon ? { soon } : {}),
  };
  return { open, context };
}

export async function readFinished(run: RunFolder): Promise<FinishedRun> {
  return {
    folder: run.path,
    plan: run.plan,
    scores: await readContent(run, "scores"),
    ...(isWritten(run.plan, "experiments") ? { experiments: await readContent(run, "experiments") } : {}),
    files: filesOf(run),
  };
}

function filesOf(run: RunFolder): RunFiles {
  const names = Object.keys(RUN_FILES) as (keyof typeof RUN_FILES)[];
  return Object.fromEntries(
    names.map((name) => [name, run.file(name)]).filter(([, path]) => existsSync(path as string)),
  );
}
