/** inward calibrate: what a model holds likely that it would do, against how likely it is; of a study, or of one model at once. */
import { Command } from "commander";
import { InwardError } from "../errors.js";
import { loadStudy } from "../plan/load-study.js";
import type { CalibrationScores } from "../records/calibration-scores.js";
import type { Study } from "../records/study.js";
import { runCalibration } from "../run-calibration.js";
import { readJson } from "../store/read-records.js";
import { adapterOptions } from "./adapter-options.js";
import { calibrateModel, type QuickOptions } from "./calibrate-model.js";
import { calibrationText } from "./calibration-text.js";
import { abortOnInterrupt } from "./interrupt.js";
import { modelOptions } from "./model-options.js";
import { note, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";
import { planStudy, type StudyOptions, studyOptions, workInRun } from "./study-run.js";

type CalibrateOptions = StudyOptions & QuickOptions;

/** A study says these itself. */
const WITHOUT_STUDY = [
  "model",
  "encoding",
  "device",
  "adapter",
  "adapterScale",
  "forceAdapter",
  "task",
  "property",
  "strings",
  "variant",
  "examples",
  "system",
];

export function calibrateCommand(): Command {
  const command = new Command("calibrate")
    .summary("compare what a model says that it would do with how likely it does it, at temperature 1")
    .description(
      "Measures how a model answers at temperature 1, as whole distributions over a property's values: of its answers, and of\n" +
        "its predictions of them. With STUDY, the calibration of a study and what that needs, in the study's own run folder; a\n" +
        "study without a calibration section gets the defaults, as by --set calibration={}. Without one, some strings of --task,\n" +
        "shown one by one; --set then changes what a study would say, e.g. --set calibration.samples=500.",
    )
    .argument("[study]", "path of a study file");
  return adapterOptions(modelOptions(studyOptions(command)))
    .option("-t, --task <task>", "without a study: the task to take strings of")
    .option("-p, --property <property>", "a property to compare (repeatable; the task's own when absent)", collect)
    .option("-n, --strings <n>", "how many held-out strings", "10")
    .option("--variant <variant>", "wording of the hypothetical question", "minimal")
    .option("--no-examples", "without the task's solved examples")
    .option("--system <text>", "system message", "")
    .option("--json", "print one JSON object")
    .action(calibrate);
}

function collect(value: string, all: string[] = []): string[] {
  return [...all, value];
}

async function calibrate(path: string | undefined, options: CalibrateOptions, command: Command): Promise<void> {
  if (path === undefined) {
    if (options.task === undefined) throw new InwardError("USAGE", "inward calibrate wants a study file, or --task.");
    if (options.out !== undefined) throw new InwardError("USAGE", "--out goes with a study: nothing else is stored.");
    await calibrateModel({ ...options, task: options.task });
    return;
  }
  const stray = WITHOUT_STUDY.find((name) => command.getOptionValueSource(name) === "cli");
  if (stray !== undefined) {
    const flag = command.options.find((option) => option.attributeName() === stray)?.long;
    throw new InwardError("USAGE", `${flag} does not go with a study, which says that itself; --set changes a study.`);
  }
  await calibrateStudy(path, options);
}

async function calibrateStudy(path: string, options: CalibrateOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = await loadCalibrated(path, options.set);
  const planned = await planStudy(study, path, options, progress, signal);
  const run = await workInRun(planned, progress, signal, runCalibration);
  const files = { distributions: run.file("distributions"), calibration: run.file("calibration") };
  const scores = await readJson<CalibrationScores>(files.calibration);
  if (options.json) printJson({ folder: run.path, ...files, scores });
  else print(`${calibrationText(scores)}\n\n${files.calibration}`);
}

async function loadCalibrated(path: string, overrides: readonly string[]): Promise<Study> {
  const study = await loadStudy(path, overrides);
  if (study.calibration) return study;
  note(`${path} has no calibration section: the defaults are taken, as by --set calibration={}; that is another plan.`);
  return await loadStudy(path, [...overrides, "calibration={}"]);
}
