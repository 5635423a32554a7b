/** inward calibrate: what a model holds likely that it would do, against how likely it is; of a study, or of one model at once. */

import { Command } from "commander";
import { calibrationQuestions, type MeasuredDistribution } from "../ask/measure-distribution.js";
import { readJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import { startEngine } from "../model/engines/start-engine.js";
import { settleEngine } from "../model/engines/settings.js";
import { resolveModel } from "../model/resolve-model.js";
import { runCalibration } from "../run/corridor.js";
import { measureQuestions } from "../run/measure-stages.js";
import { type CalibrationScores, scoreDistributions } from "../score/calibration/score-calibration.js";
import { loadStudy, parseStudy } from "../study/load-study.js";
import { type EngineManifest, makePlan, type Plan } from "../study/plan.js";
import type { Study } from "../study/study.js";
import { type AdapterOptions, adapterOptions, chooseAdapter, type ModelOptions, modelOptions } from "./options.js";
import { abortOnInterrupt, note, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";
import { planStudy, type StudyOptions, studyOptions, workInRun } from "./study-run.js";
import { calibrationText, distributionsText } from "./summary.js";

// One model's calibration on some strings of a task, without a study and without a run folder.

interface QuickOptions extends ModelOptions, AdapterOptions {
  readonly task?: string;
  readonly property?: readonly string[];
  readonly strings: string;
  readonly variant: string;
  readonly examples: boolean;
  readonly system: string;
  readonly set: readonly string[];
  readonly offline?: boolean;
  readonly json?: boolean;
}

/** The one state that is asked. */
const STATE = "model";

async function calibrateModel(options: QuickOptions & { readonly task: string }): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = quickStudy(options);
  const { source, encoding } = study.models[STATE] as Study["models"][string];
  const file = await resolveModel(source, {
    encoding,
    signal,
    onProgress: (step) => progress.update(step.stage, step.doneBytes, step.totalBytes ?? step.doneBytes),
    ...(options.offline ? { offline: true } : {}),
  });
  const plan = await makePlan(
    { ...study, engine: await settleEngine(study.engine, [file.path]) },
    { [STATE]: file },
    ".",
  );
  const chosen = await chooseAdapter(options, file.sha256);
  const model = await startEngine(file.path, plan.engine, chosen ? { adapter: chosen.choice } : {});
  let measured: MeasuredDistribution[];
  try {
    const questions = calibrationQuestions(plan);
    progress.update("distributions", 0, questions.length);
    measured = await measureQuestions(model, questions, plan, {
      onMeasured: (done) => progress.update("distributions", done, questions.length),
      signal,
    });
  } finally {
    progress.end();
    await model.dispose();
  }
  const kind = chosen ? "self" : "untrained";
  const scores = scoreDistributions(measured, [{ predictor: STATE, target: STATE, kind }], {
    ...plan.score,
    bootstrapSeed: plan.seed,
  });
  if (options.json) {
    const adapter = chosen ? { ...chosen.choice, ...model.manifest.adapter, base: chosen.base } : undefined;
    printJson({ plan, ...(adapter ? { adapter } : {}), manifest: model.manifest, distributions: measured, scores });
    return;
  }
  print(`${title(file.source, plan, model.manifest)}\n`);
  for (const text of stringTexts(plan, measured)) print(`${text}\n`);
  print(calibrationText(scores));
}

/** What the options say, as a study: the schema's defaults and checks, and --set, hold here too. */
function quickStudy(options: QuickOptions & { readonly task: string }): Study {
  const strings = Number(options.strings);
  if (!Number.isInteger(strings) || strings < 1) {
    throw new InwardError("USAGE", `--strings wants a whole number from 1 on, not "${options.strings}".`);
  }
  const study = {
    study: "calibrate",
    models: { [STATE]: { source: options.model, encoding: options.encoding } },
    tasks: [
      {
        task: options.task,
        trainStrings: 0,
        heldOutStrings: strings,
        examples: options.examples,
        ...(options.property ? { properties: options.property } : {}),
      },
    ],
    system: options.system,
    hypothetical: { variants: [options.variant] },
    engine: { device: options.device },
    calibration: { strings },
  };
  return parseStudy(JSON.stringify(study), "the command line", options.set);
}

function title(source: string, plan: Plan, { adapter, engine }: EngineManifest): string {
  const file = plan.models[STATE];
  const worn = adapter ? ` with adapter ${adapter.sha256.slice(0, 12)}…, scale ${adapter.scale}` : "";
  return `${source}, ${file?.encoding}, sha256 ${file?.sha256.slice(0, 12)}…${worn}, asked by the ${engine} engine at temperature 1`;
}

/** String by string, property by property: p object-level beside p hypothetical. */
function stringTexts(plan: Plan, measured: readonly MeasuredDistribution[]): string[] {
  const strings = new Map(plan.tasks.flatMap(({ heldOut }) => heldOut.map(({ id, text }) => [id, text] as const)));
  const predictions = measured.filter(({ side }) => side === "hypothetical");
  return measured
    .filter(({ side }) => side === "object_level")
    .flatMap((behavior) => {
      const { item, property } = behavior;
      const prediction = predictions.find((one) => one.item === item && one.property === property);
      if (!prediction) return [];
      return [`--- ${item}: ${JSON.stringify(strings.get(item))}\n${distributionsText(behavior, prediction)}`];
    });
}

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
