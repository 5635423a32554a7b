/** A study as it would be run, and what it comes to. Needs no model's file; downloads nothing and makes no copy. */

import { dirname } from "node:path";
import { calibrationQuestions } from "../ask/measure-distribution.js";
import { adaptedObjectLevelQuestions, hypotheticalQuestions, objectLevelQuestions } from "../ask/questions.js";
import { hashOf } from "../base/files.js";
import { settleEngine } from "../model/engines/settings.js";
import { type LocatedModel, locateModel } from "../model/locate-model.js";
import { loadRegistry } from "../model/registry.js";
import type { ModelFile } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { estimatePlan, type PlanEstimate } from "./estimate/estimate.js";
import type { MeasurableModel } from "./estimate/rates.js";
import { modelProgress } from "./open-model.js";
import { planRun } from "./planning.js";
import { type AuthoredStudy, folderOf, readStudy, runFolderOf, type StudyOptions } from "./run-study.js";

export interface DryRun extends PlanEstimate {
  /** Where the run is, or will be; null when a model is not here: its checksum is part of the plan. */
  readonly folder: string | null;
  readonly planHash: string | null;
  readonly folderUnknown?: string;
  readonly study: string;
  readonly tasks: number;
  /** Questions. */
  readonly objectLevel: number;
  readonly hypothetical: number;
  readonly distributions?: number;
  readonly adapters?: readonly string[];
}

export interface DryRunOptions extends Omit<StudyOptions, "onPlanned"> {
  /** Time a few questions on the models that are here, so that hours can be told. Default true. */
  readonly measure?: boolean;
}

/**
 * Counts what a study asks, trains and stores, and estimates its time (seconds), memory and disk (bytes).
 * @param study path of a study file, or its content
 * @throws InwardError STUDY_*, TASK_*, PROPERTY_*, MODEL_*, ENGINE_*, INTERRUPTED
 */
export async function dryRun(authored: string | AuthoredStudy, options: DryRunOptions = {}): Promise<DryRun> {
  const { measure = true, out, onProgress, signal } = options;
  const study = await readStudy(authored, options.set);
  const located: Record<string, LocatedModel> = {};
  for (const [name, model] of Object.entries(study.models)) {
    located[name] = await locateModel(model, { signal, onProgress: modelProgress(onProgress, name) });
  }
  const files = Object.fromEntries(Object.entries(located).map(([name, one]) => [name, one.file ?? notHere(one)]));
  const here = Object.values(located).flatMap(({ file }) => (file ? [file.path] : []));
  // What evaluates depends on every model: with one that is not here the plan's hash is not known either.
  const engine = await settleEngine(study.engine, here.length === Object.keys(located).length ? here : []);
  const plan = await planRun({ ...study, engine }, files, folderOf(authored));
  const missing = Object.values(located).flatMap((one) => one.missing ?? []);
  const planHash = hashOf(plan);
  const folder = out ?? runFolderOf(study.study, planHash);
  const standIn = measure && missing.length > 0 ? await defaultModel() : undefined;
  const estimate = await estimatePlan(plan, {
    located,
    measure,
    ...(standIn ? { standIn } : {}),
    runs: dirname(folder),
    onProgress: (stage) => onProgress?.({ stage, done: 0, unit: "questions" }),
    signal,
  });
  const distributions = calibrationQuestions(plan).length;
  const adapters = statesOf(plan).trained.map(({ name }) => name);
  return {
    ...(missing.length === 0
      ? { folder, planHash }
      : { folder: null, planHash: null, folderUnknown: [...new Set(missing)].join("; ") }),
    study: study.study,
    tasks: plan.tasks.length,
    objectLevel: objectLevelQuestions(plan).length + adaptedObjectLevelQuestions(plan).length,
    hypothetical: hypotheticalQuestions(plan).length,
    ...(distributions > 0 ? { distributions } : {}),
    ...(adapters.length > 0 ? { adapters } : {}),
    ...estimate,
  };
}

/** Fills a model's place in a plan that is only counted: it is never written, hashed for a reader, or run. */
function notHere({ source }: LocatedModel): ModelFile {
  return { source, path: "", sha256: "", bytes: 0, encoding: "", licence: "" };
}

async function defaultModel(): Promise<MeasurableModel | undefined> {
  const name = loadRegistry().default;
  const { basePath, shape } = await locateModel({ source: name, encoding: "as_shipped" });
  return basePath === undefined ? undefined : { name, path: basePath, ...(shape ? { shape } : {}) };
}
