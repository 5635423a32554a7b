/** inward slurm: a study's units on a cluster. */

import { Command } from "commander";
import {
  cancelSlurm,
  mergeWave,
  prepareSlurm,
  type SlurmRun,
  slurmStatus,
  submitSlurm,
  type QueuedJob,
} from "../cluster/slurm-run.js";
import { InwardError } from "../errors.js";
import { dryRun } from "../run/dry-run.js";
import { planStudy } from "../run/run-study.js";
import { jsonOption, type JsonOption, number, type StudyCommandOptions, studyOptions } from "./options.js";
import { abortOnInterrupt, notice, print, printJson, readableBytes, table } from "./output.js";
import { showProgress } from "./progress.js";
import { stagesTable } from "./run-units.js";

interface SlurmCommandOptions extends StudyCommandOptions, JsonOption {
  readonly submit?: boolean;
  readonly partition?: string;
  readonly account?: string;
  readonly qos?: string;
  readonly time?: string;
  readonly memory?: string;
  readonly gpus?: string;
  readonly sbatch?: readonly string[];
  readonly source?: string;
  readonly unitsPerTask?: string;
  readonly unitQuestions?: string;
  readonly atOnce?: string;
  readonly warning?: string;
}

const collected = (value: string, before: readonly string[] = []) => [...before, value];

export function slurmCommand(): Command {
  const command = new Command("slurm")
    .summary("run a study's units on a Slurm cluster: write scripts, submit, look, resume, cancel, merge")
    .description(
      "Writes an sbatch script for each kind of unit into the run folder, and says what would be submitted; --submit does it. Units of one\n" +
        "wave are arrays, a merge waits for them, the next wave for the merge. Every node must see the run folder and this checkout\n" +
        "(docs/clusters.md). The same command again submits what is still to be done.",
    )
    .argument("<study>", "path of a study's YAML");
  studyOptions(command)
    .option("--submit", "hand them to Slurm")
    .option("--partition <name>", "partition of every job")
    .option("--account <name>", "account of every job")
    .option("--qos <name>", "quality of service of every job")
    .option("--time <time>", "time limit of every job, as sbatch takes it: 30, 4:00:00, 1-12")
    .option("--memory <size>", "memory of every job, as sbatch takes it: 12G (default: what the dry run expects)")
    .option("--gpus <n>", "GPUs of every job that opens a model (default: 1 where the study's device is a GPU)")
    .option(
      "--sbatch <option>",
      "a further option of sbatch, such as --sbatch=--constraint=a100; may be repeated",
      collected,
    )
    .option("--source <file>", "a shell file that every job reads first, such as one that loads modules")
    .option("--units-per-task <n>", "units that a task of an array does, one after another (default: 1)")
    .option("--unit-questions <n>", "questions of a unit, about (default: 512)")
    .option("--at-once <n>", "tasks of an array that run at once, at most")
    .option(
      "--warning <seconds>",
      "how long before its time limit a job is told, so that it finishes what is under way (default: 120)",
    );
  jsonOption(command, "print one JSON object about what is to be submitted, or was").action(prepare);
  command.addCommand(
    jsonOption(
      new Command("status")
        .description("what of a run is done, and what is in the queue")
        .argument("<run>", "run folder"),
    ).action(status),
  );
  command.addCommand(
    jsonOption(
      new Command("resume")
        .description("submit what a run still lacks: units that failed or were lost, and everything behind them")
        .argument("<run>", "run folder"),
    ).action(resume),
  );
  command.addCommand(
    jsonOption(
      new Command("cancel")
        .description("take a run's jobs out of the queue; what is done stays done")
        .argument("<run>", "run folder"),
    ).action(cancel),
  );
  command.addCommand(
    jsonOption(
      new Command("merge")
        .description("put together what units have made, and score what can be scored")
        .argument("<run>", "run folder")
        .option("--wave <n>", "fail where a unit of this wave or of one before is missing"),
    ).action(merge),
  );
  return command;
}

async function prepare(study: string, options: SlurmCommandOptions): Promise<void> {
  const { json, submit, gpus, unitsPerTask, unitQuestions, atOnce, warning, out, set, offline, ...texts } = options;
  const counted = (name: string, text: string | undefined) =>
    text === undefined ? undefined : number(`--${name}`, text);
  const progress = showProgress();
  const common = { out, set, offline, signal: abortOnInterrupt(), onProgress: progress.update };
  const planned = await planStudy(study, common).finally(progress.end);
  const estimate = await dryRun(study, { ...common, measure: false }).finally(progress.end);
  const run = await prepareSlurm(planned, {
    ...texts,
    gpus: counted("gpus", gpus),
    unitsPerTask: counted("units-per-task", unitsPerTask),
    unitQuestions: counted("unit-questions", unitQuestions),
    atOnce: counted("at-once", atOnce),
    warningSeconds: counted("warning", warning),
    estimate,
  });
  const done = submit ? await submitSlurm(run.folder) : undefined;
  if (json) return printJson(done ? { ...run, jobs: done.jobs } : run);
  print(preparedText(run, done?.jobs));
}

function preparedText(run: SlurmRun, jobs: readonly string[] | undefined): string {
  const needs = Object.entries(run.needs).map(([kind, own]) => [
    kind,
    String(own.cpus),
    own.memoryBytes === undefined ? "the site's default" : readableBytes(own.memoryBytes),
    String(own.gpus),
  ]);
  return [
    `${run.folder}: ${run.scripts.length} scripts under units/slurm`,
    ...(needs.length > 0 ? [table(["units", "CPUs", "memory", "GPUs"], needs)] : []),
    ...run.notes,
    run.submissions.length === 0 ? "Nothing is left to be submitted." : submissionsText(run, jobs),
    jobs
      ? `Submitted. npx inward slurm status ${run.folder}`
      : "Nothing was submitted; --submit does it, in this order.",
  ].join("\n\n");
}

function submissionsText({ submissions }: SlurmRun, jobs: readonly string[] | undefined): string {
  const rows = submissions.map(({ wave, what, kind, tasks, units, command }, at) => [
    jobs?.[at] ?? `J${at}`,
    String(wave),
    kind ?? what,
    tasks === undefined ? "" : String(tasks),
    units === undefined ? "" : String(units),
    command,
  ]);
  return table(["job", "wave", "what", "tasks", "units", "command"], rows);
}

// The command above has --json too, and takes it wherever it stands.

async function status(run: string, _: JsonOption, command: Command): Promise<void> {
  const { json } = command.optsWithGlobals<JsonOption>();
  const found = await slurmStatus(run);
  if (json) return printJson(found);
  const { queue, progress, folder } = found;
  const failures = progress.units.flatMap(({ id, failure, by }) =>
    failure ? [`${id}: ${failure.code} on ${by?.host}: ${failure.message}`] : [],
  );
  print(
    [
      folder,
      stagesTable(progress.stages),
      "unknown" in queue ? `The queue is not known: ${queue.unknown}` : queueText(queue, folder),
      ...failures,
    ].join("\n\n"),
  );
}

function queueText(queue: readonly QueuedJob[], folder: string): string {
  if (queue.length === 0) return "No job of this run is in the queue.";
  const counts = new Map<string, number>();
  let stuck = 0;
  for (const job of queue) {
    const what = job.reason === "None" ? job.state : `${job.state} (${job.reason})`;
    counts.set(what, (counts.get(what) ?? 0) + job.tasks);
    if (job.stuck) stuck += job.tasks;
  }
  const rows = table(
    ["in the queue", "tasks"],
    [...counts].map(([what, tasks]) => [what, String(tasks)]),
  );
  if (stuck === 0) return rows;
  return `${rows}\n\n${stuck} of them never begin by themselves. npx inward slurm resume ${folder} takes them out and submits what is left.`;
}

async function resume(run: string, _: JsonOption, command: Command): Promise<void> {
  const { json } = command.optsWithGlobals<JsonOption>();
  const done = await submitSlurm(run);
  if (json) return printJson(done);
  print(done.submissions.length === 0 ? "Nothing is left to be submitted." : submissionsText(done, done.jobs));
}

async function cancel(run: string, _: JsonOption, command: Command): Promise<void> {
  const { json } = command.optsWithGlobals<JsonOption>();
  const done = await cancelSlurm(run);
  if (json) return printJson(done);
  print(
    `${done.tasks} tasks were taken out of the queue. npx inward slurm resume ${done.folder} submits what is left.`,
  );
}

async function merge(run: string, _: JsonOption, command: Command): Promise<void> {
  const { json, wave } = command.optsWithGlobals<JsonOption & { readonly wave?: string }>();
  if (wave !== undefined && !/^\d+$/.test(wave))
    throw new InwardError("USAGE", `--wave wants a whole number, not ${JSON.stringify(wave)}.`);
  const merged = await mergeWave(run, wave === undefined ? undefined : Number(wave));
  if (json) return printJson(merged);
  notice(
    merged.finished ? "The run is finished." : `${merged.waiting.length} units of wave ${merged.wave} are waited for.`,
  );
  print([...merged.merged, ...merged.refused.map(({ unit, why }) => `refused: ${unit}: ${why}`)].join("\n"));
}
