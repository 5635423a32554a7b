/** inward run: a whole study, from its YAML to its report. */
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import { settleEngine } from "../model/engine/settle-engine.js";
import { resolveModel } from "../model/resolve-model.js";
import { loadStudy } from "../plan/load-study.js";
import { makePlan } from "../plan/make-plan.js";
import type { ModelFile } from "../records/model-state.js";
import type { Plan } from "../records/plan.js";
import type { Study } from "../records/study.js";
import { runStudy } from "../run-study.js";
import { OneModel } from "../stages/one-model.js";
import { openState } from "../stages/open-state.js";
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
      "Asks every question of the study, takes the behaviors, trains the adapters that the study wants, scores the\n" +
        "predictions and writes the report.\n" +
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
  const engine = await settleEngine(study.engine);
  const plan = await makePlan({ ...study, engine }, files, dirname(resolve(studyPath)));
  const folder = options.out ?? join("runs", `${study.study}-${hashOf(plan).slice(0, 8)}`);
  if (options.dryRun) {
    printDryRun(plan, folder, options.json === true);
    return;
  }
  const run = await RunFolder.create(folder, plan);
  const events = new EventLog(run.file("events"));
  const modelPath = (model: string) => (files[model] as ModelFile).path;
  const models = new OneModel(run, openState(run, modelPath));
  try {
    for (const [name, file] of Object.entries(files)) {
      note(
        `${name}: ${file.source}, ${file.encoding}${file.reencodedFrom ? ` re-encoded from ${file.reencodedFrom.encoding}` : ""}, sha256 ${file.sha256.slice(0, 12)}…`,
      );
    }
    note(`run folder: ${run.path}`);
    events.add("run_begun", { pid: process.pid });
    await runStudy({
      run,
      events,
      modelFor: models.modelFor,
      closeModel: () => models.close(),
      modelPath,
      onProgress: progress.update,
      signal,
    });
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

function printDryRun(plan: Plan, folder: string, json: boolean): void {
  const adapters = Object.keys(plan.adapters ?? {});
  const size = {
    folder,
    planHash: hashOf(plan),
    tasks: plan.tasks.length,
    objectLevel: objectLevelQuestions(plan).length + adaptedObjectLevelQuestions(plan).length,
    hypothetical: hypotheticalQuestions(plan).length,
    ...(adapters.length > 0 ? { adapters } : {}),
  };
  if (json) printJson(size);
  else {
    const trained = adapters.length > 0 ? `\nadapters to train: ${adapters.join(", ")}` : "";
    print(
      `${folder}\n${size.tasks} tasks, ${size.objectLevel} object-level and ${size.hypothetical} hypothetical questions${trained}`,
    );
  }
}
