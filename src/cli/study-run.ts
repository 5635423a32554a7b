/** What every command that runs a study needs: its models found, its plan made, its run folder opened, and all of it closed again. */

import type { Command } from "commander";
import { dirname, join, resolve } from "node:path";
import { hashOf } from "../base/files.js";
import { settleEngine } from "../model/engines/settings.js";
import { resolveModel } from "../model/resolve-model.js";
import { EventLog, RunFolder } from "../run/folder.js";
import { OneModel, openState, type StageContext } from "../run/models.js";
import type { ModelFile, Plan } from "../study/plan.js";
import { makePlan } from "../study/make-plan.js";
import type { Study } from "../study/study.js";
import { note } from "./output.js";
import type { Progress } from "./progress.js";

export interface StudyOptions {
  readonly out?: string;
  readonly set: string[];
  readonly offline?: boolean;
}

interface PlannedStudy {
  readonly plan: Plan;
  /** The file of each model of the plan. */
  readonly files: Readonly<Record<string, ModelFile>>;
  /** Where its run is, or will be. */
  readonly folder: string;
}

export function studyOptions(command: Command): Command {
  return command
    .option("-o, --out <folder>", "run folder, instead of runs/<study>-<plan hash>")
    .option(
      "--set <key=value>",
      "change a key of the study, e.g. --set seed=3 (repeatable; stands in the plan)",
      (value: string, all: string[]) => [...all, value],
      [] as string[],
    )
    .option("--offline", "never use the network: models must be on this machine");
}

/** @param path of the study's file: task paths start there */
export async function planStudy(
  study: Study,
  path: string,
  options: StudyOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<PlannedStudy> {
  const files: Record<string, ModelFile> = {};
  for (const [name, { source, ...variant }] of Object.entries(study.models)) {
    files[name] = await resolveModel(source, {
      ...variant,
      signal,
      onProgress: (step) =>
        progress.update(`${name}: ${step.stage}`, step.doneBytes, step.totalBytes ?? step.doneBytes),
      ...(options.offline ? { offline: true } : {}),
    });
  }
  const engine = await settleEngine(
    study.engine,
    Object.values(files).map(({ path }) => path),
  );
  const plan = await makePlan({ ...study, engine }, files, dirname(resolve(path)));
  return { plan, files, folder: options.out ?? join("runs", `${study.study}-${hashOf(plan).slice(0, 8)}`) };
}

/** Works in the plan's run folder, locked for this process. @returns the closed folder, for reading */
export async function workInRun(
  { plan, files, folder }: PlannedStudy,
  progress: Progress,
  signal: AbortSignal,
  work: (context: StageContext) => Promise<void>,
): Promise<RunFolder> {
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
    await work({
      run,
      events,
      modelFor: models.modelFor,
      reopenModel: models.reopen,
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
  return run;
}
