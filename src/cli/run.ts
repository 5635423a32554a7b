/** inward run: a whole study, from its YAML to its report. */

import { Command } from "commander";
import { dirname, join, resolve } from "node:path";
import { calibrationQuestions } from "../ask/measure-distribution.js";
import { adaptedObjectLevelQuestions, hypotheticalQuestions, objectLevelQuestions } from "../ask/questions.js";
import { hashOf } from "../base/files.js";
import { settleEngine } from "../model/engines/settings.js";
import { type LocatedModel, locateModel } from "../model/locate-model.js";
import { loadRegistry } from "../model/registry.js";
import { runCorridor } from "../run/corridor.js";
import {
  estimatePlan,
  type ModelEstimate,
  type PlanEstimate,
  type Rated,
  type TimeEstimate,
} from "../run/estimate/estimate.js";
import { type MeasurableModel, sumOfTimes } from "../run/estimate/rates.js";
import { RUN_FILES } from "../run/folder.js";
import { loadStudy } from "../study/load-study.js";
import { makePlan, type ModelFile } from "../study/plan.js";
import type { Study } from "../study/study.js";
import { abortOnInterrupt, note, print, printJson, readableBytes, table } from "./output.js";
import { type Progress, showProgress } from "./progress.js";
import { planStudy, type StudyOptions, studyOptions, workInRun } from "./study-run.js";
import { summarize } from "./summary.js";

// inward run --dry-run: the plan as it would be, and what it comes to. Needs no model's file; downloads nothing and makes no copy.

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
async function dryRun(
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

// A dry run for a person: what is asked and learnt, how long, how much memory and disk.

const STAGE_NAMES = {
  object_level: "object-level",
  object_level_adapted: "object-level, adapted",
  hypothetical: "hypothetical",
  noise_floor: "noise floor",
  distributions: "distributions",
} as const;

function dryRunText(run: DryRun): string {
  return [
    run.folder ?? `${run.study}: the run's folder is not known yet, because ${run.folderUnknown}.`,
    `${run.tasks} tasks, ${whole(run.objectLevel)} object-level and ${whole(run.hypothetical)} hypothetical questions`,
    asking(run),
    ...(run.training.length > 0 ? [training(run)] : []),
    `Together ${words(sumOfTimes([...run.stages, ...run.training].map(({ time }) => time)))}.`,
    ...run.models.map(model),
    disk(run),
    run.assumptions.map((line) => `- ${line}`).join("\n"),
  ].join("\n\n");
}

function asking({ stages }: DryRun): string {
  return table(
    ["stage", "state", "questions", "strings", "prompt tokens", "distinct", "generated at most", "time"],
    stages.map((one) => [
      STAGE_NAMES[one.stage],
      one.state,
      whole(one.questions),
      whole(one.items),
      whole(one.promptTokens),
      whole(one.distinctTokens),
      whole(one.generatedTokensAtMost),
      words(one.time),
    ]),
  );
}

function training({ training }: DryRun): string {
  return table(
    ["adapter", "examples at most", "steps", "tokens", "evaluated", "parameters", "memory", "time"],
    training.map((one) => [
      one.adapter,
      whole(one.examplesAtMost),
      whole(one.steps),
      whole(one.exampleTokens),
      whole(one.evaluatedTokens),
      one.parameters === undefined ? "unknown" : whole(one.parameters),
      one.memory === undefined ? "unknown" : readableBytes(one.memory.total),
      words(one.time),
    ]),
  );
}

function model({ model: name, source, missing, parameters, weights, memory, rates }: ModelEstimate): string {
  const size = [
    ...(parameters === undefined ? [] : [`${whole(parameters)} parameters`]),
    weights ? `${weights.exact ? "" : "about "}${readableBytes(weights.bytes)} of weights` : "size unknown",
  ].join(", ");
  return [
    `${name} (${source}): ${size}${missing === undefined ? "" : `; ${missing}`}`,
    ...(memory
      ? [
          `  memory for asking: ${readableBytes(memory.total)} (weights ${readableBytes(memory.weights)}, keys and values ${readableBytes(memory.cache)}, computing about ${readableBytes(memory.compute)})`,
        ]
      : []),
    `  object-level: ${rateWords(rates.objectLevel)}`,
    `  hypothetical: ${rateWords(rates.hypothetical)}`,
  ].join("\n");
}

function rateWords(rated: Rated): string {
  if (!rated.ok) return `rate unknown: ${rated.reason}`;
  const { basis, tokensPerSecond, of } = rated.rate;
  return `${tokensPerSecond.toPrecision(3)} tokens/s, ${basis} (${of})`;
}

function disk({ disk: need }: DryRun): string {
  const parts = [
    `answers about ${readableBytes(need.answers)}`,
    ...(need.adapters > 0
      ? [`adapters ${readableBytes(need.adapters)}`, `a checkpoint ${readableBytes(need.checkpoint)} while training`]
      : []),
    ...(need.modelsToDownload > 0 ? [`models to download about ${readableBytes(need.modelsToDownload)}`] : []),
    ...(need.modelsToWrite > 0 ? [`re-encoded copies about ${readableBytes(need.modelsToWrite)}`] : []),
    ...need.unknown,
  ];
  return `Disk: ${parts.join(", ")}.`;
}

function words(time: TimeEstimate): string {
  if (!time.ok) return "unknown";
  return `${time.atMost ? "at most " : "about "}${duration(time.seconds)}, ${time.basis}`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  const hours = seconds / 3600;
  return `${hours < 10 ? hours.toFixed(1) : whole(Math.round(hours))} h`;
}

function whole(value: number): string {
  return value.toLocaleString("en-US");
}

interface RunOptions extends StudyOptions {
  readonly dryRun?: boolean;
  readonly measure: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  const command = new Command("run")
    .summary("run a study from its YAML to its report; run it again to go on where it stopped")
    .description(
      "Asks every question of the study, takes the behaviors, trains the adapters that the study wants, scores the\n" +
        "predictions and writes the report.\n" +
        "The run folder is runs/<study>-<plan hash>: the same study finds its folder again and goes on from the last\n" +
        "finished group of questions, after Ctrl-C or kill -9 alike. Results depend only on the plan (01-plan.json).",
    )
    .argument("<study>", "path of a study file (scripts/studies has examples)");
  return studyOptions(command)
    .option(
      "--dry-run",
      "print what the plan comes to: questions, tokens, steps, time, memory, disk; downloads nothing",
    )
    .option("--no-measure", "with --dry-run: do not time a few questions, so that hours stay unknown")
    .option("--json", "print one JSON object about the finished run")
    .action(run);
}

async function run(studyPath: string, options: RunOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = await loadStudy(studyPath, options.set);
  if (options.dryRun) {
    const planned = await dryRun(study, studyPath, options, progress, signal);
    if (options.json) printJson(planned);
    else print(dryRunText(planned));
    return;
  }
  const planned = await planStudy(study, studyPath, options, progress, signal);
  const finished = await workInRun(planned, progress, signal, runCorridor);
  const summary = await summarize(finished);
  if (options.json) printJson(summary);
  else print(`${summary.text}\n\nReport: ${join(finished.path, RUN_FILES.report)}`);
}
