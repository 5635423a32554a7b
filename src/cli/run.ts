/** inward run: a whole study, from its YAML to its report. */
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { openModel } from "../model/engine/open-model.js";
import { resolveModel } from "../model/resolve-model.js";
import { loadStudy } from "../plan/load-study.js";
import { makePlan } from "../plan/make-plan.js";
import type { ModelFile } from "../records/model-state.js";
import type { Study } from "../records/study.js";
import { runStudy } from "../run-study.js";
import { OneModel } from "../stages/one-model.js";
import { hashOf } from "../store/canonical-json.js";
import { EventLog } from "../store/event-log.js";
import { RUN_FILES, RunFolder } from "../store/run-folder.js";
import { abortOnInterrupt } from "./interrupt.js";
import { note, print, printJson } from "./output.js";
import { type Progress, showProgress } from "./progress.js";
import { summarize } from "./summary.js";

interface RunOptions {
  readonly out?: string;
  readonly set: string[];
  readonly offline?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  return new Command("run")
    .summary("run a study from its YAML to its report; run it again to go on where it stopped")
    .description(
      "Asks every question of the study, takes the behaviors, scores the predictions and writes the report.\n" +
        "The run folder is runs/<study>-<plan hash>: the same study finds its folder again and goes on from the last\n" +
        "finished group of questions, after Ctrl-C or kill -9 alike. Results depend only on the plan (01-plan.json).",
    )
    .argument("<study>", "path of a study file (scripts/studies has examples)")
    .option("-o, --out <folder>", "run folder, instead of runs/<study>-<plan hash>")
    .option(
      "--set <key=value>",
      "change a key of the study, e.g. --set seed=3 (repeatable; stands in the plan)",
      collect,
      [],
    )
    .option("--offline", "never use the network: models must be on this machine")
    .option("--dry-run", "print the plan's size and folder, ask nothing")
    .option("--json", "print one JSON object about the finished run")
    .action(run);
}

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}

async function run(studyPath: string, options: RunOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = await loadStudy(studyPath, options.set);
  const files = await resolveFiles(study, options, progress, signal);
  const plan = await makePlan(study, files, dirname(resolve(studyPath)));
  const folder = options.out ?? join("runs", `${study.study}-${hashOf(plan).slice(0, 8)}`);
  if (options.dryRun) {
    printDryRun(plan, folder, options.json === true);
    return;
  }
  const run = await RunFolder.create(folder, plan);
  const events = new EventLog(run.file("events"));
  const models = new OneModel(run, (state) => openModel((files[state] as ModelFile).path, plan.engine));
  try {
    for (const [name, file] of Object.entries(files)) {
      note(
        `${name}: ${file.source}, ${file.encoding}${file.reencodedFrom ? ` re-encoded from ${file.reencodedFrom.encoding}` : ""}, sha256 ${file.sha256.slice(0, 12)}…`,
      );
    }
    note(`run folder: ${run.path}`);
    events.add("run_begun", { pid: process.pid });
    await runStudy({ run, events, modelFor: models.modelFor, onProgress: progress.update, signal });
    events.add("run_done");
  } finally {
    progress.end();
    await models.close();
    await run.close();
  }
  const summary = await summarize(run);
  if (options.json) printJson(summary);
  else print(`${summary.text}\n\nReport: ${join(run.path, RUN_FILES.report)}`);
}

async function resolveFiles(
  study: Study,
  options: RunOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Record<string, ModelFile>> {
  const files: Record<string, ModelFile> = {};
  for (const [name, { source, encoding }] of Object.entries(study.models)) {
    files[name] = await resolveModel(source, {
      encoding,
      signal,
      onProgress: (step) =>
        progress.update(`${name}: ${step.stage}`, step.doneBytes, step.totalBytes ?? step.doneBytes),
      ...(options.offline ? { offline: true } : {}),
    });
  }
  return files;
}

function printDryRun(plan: Awaited<ReturnType<typeof makePlan>>, folder: string, json: boolean): void {
  const targets = new Set(plan.predictions.map((prediction) => prediction.target)).size;
  const predictors = new Set(plan.predictions.map((prediction) => prediction.predictor)).size;
  const objectLevel = targets * plan.tasks.reduce((sum, task) => sum + task.train.length + task.heldOut.length, 0);
  const hypothetical =
    predictors *
    plan.hypothetical.variants.length *
    plan.tasks.reduce((sum, task) => sum + task.heldOut.length * task.properties.length, 0);
  const size = { folder, planHash: hashOf(plan), tasks: plan.tasks.length, objectLevel, hypothetical };
  if (json) printJson(size);
  else
    print(
      `${folder}\n${plan.tasks.length} tasks, ${objectLevel} object-level and ${hypothetical} hypothetical questions`,
    );
}
