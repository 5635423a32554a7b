/** inward run --dry-run: the plan as it would be, and what it comes to. Needs no model's file; downloads nothing and makes no copy. */
import { dirname, join, resolve } from "node:path";
import { calibrationQuestions } from "../ask/calibration-questions.js";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import { estimatePlan } from "../estimate/estimate-plan.js";
import type { PlanEstimate } from "../estimate/plan-estimate.js";
import type { MeasurableModel } from "../estimate/rate-models.js";
import { settleEngine } from "../model/engine/settle-engine.js";
import { type LocatedModel, locateModel } from "../model/locate-model.js";
import { loadRegistry } from "../model/registry.js";
import { makePlan } from "../plan/make-plan.js";
import type { ModelFile } from "../records/model-state.js";
import type { Study } from "../records/study.js";
import { hashOf } from "../store/canonical-json.js";
import { note } from "./output.js";
import type { Progress } from "./progress.js";
import type { StudyOptions } from "./study-run.js";

export interface DryRun extends PlanEstimate {
  /** Where the run is, or will be; null when a model is not here: its checksum is part of the plan. */
  readonly folder: string | null;
  readonly planHash: string | null;
  readonly folderUnknown?: string;
  readonly study: string;
  readonly tasks: number;
  readonly objectLevel: number;
  readonly hypothetical: number;
  readonly distributions?: number;
  readonly adapters?: readonly string[];
}

/** @param path of the study's file: task paths start there */
export async function dryRun(
  study: Study,
  path: string,
  options: StudyOptions & { readonly measure: boolean },
  progress: Progress,
  signal: AbortSignal,
): Promise<DryRun> {
  const located: Record<string, LocatedModel> = {};
  for (const [name, model] of Object.entries(study.models)) {
    located[name] = await locateModel(model, {
      signal,
      onProgress: ({ stage, doneBytes, totalBytes }) =>
        progress.update(`${name}: ${stage}`, doneBytes, totalBytes ?? doneBytes),
    });
  }
  progress.end();
  const files = Object.fromEntries(Object.entries(located).map(([name, one]) => [name, one.file ?? notHere(one)]));
  const here = Object.values(located).flatMap(({ file }) => (file ? [file.path] : []));
  // What evaluates depends on every model: with one that is not here the plan's hash is not known either.
  const engine = await settleEngine(study.engine, here.length === Object.keys(located).length ? here : []);
  const plan = await makePlan({ ...study, engine }, files, dirname(resolve(path)));
  const missing = Object.values(located).flatMap((one) => one.missing ?? []);
  const planHash = hashOf(plan);
  const folder = options.out ?? join("runs", `${study.study}-${planHash.slice(0, 8)}`);
  const standIn = options.measure && missing.length > 0 ? await defaultModel() : undefined;
  const estimate = await estimatePlan(plan, {
    located,
    measure: options.measure,
    ...(standIn ? { standIn } : {}),
    runs: dirname(folder),
    onProgress: note,
    signal,
  });
  const distributions = calibrationQuestions(plan).length;
  const adapters = Object.keys(plan.adapters ?? {});
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
