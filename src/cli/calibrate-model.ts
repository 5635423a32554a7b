/** One model's calibration on some strings of a task, without a study and without a run folder. */
import { calibrationQuestions } from "../ask/calibration-questions.js";
import { InwardError } from "../errors.js";
import { openModel } from "../model/engine/open-model.js";
import { settleEngine } from "../model/engine/settle-engine.js";
import { resolveModel } from "../model/resolve-model.js";
import { parseStudy } from "../plan/load-study.js";
import { makePlan } from "../plan/make-plan.js";
import type { MeasuredDistribution } from "../records/calibration.js";
import type { EngineManifest } from "../records/model-state.js";
import type { Plan } from "../records/plan.js";
import type { Study } from "../records/study.js";
import { scoreCalibration } from "../score/calibration/score-calibration.js";
import { measureQuestions } from "../stages/measure-questions.js";
import { type AdapterOptions, chooseAdapter } from "./adapter-options.js";
import { calibrationText } from "./calibration-text.js";
import { distributionsText } from "./distributions-text.js";
import { abortOnInterrupt } from "./interrupt.js";
import type { ModelOptions } from "./model-options.js";
import { print, printJson } from "./output.js";
import { showProgress } from "./progress.js";

export interface QuickOptions extends ModelOptions, AdapterOptions {
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

export async function calibrateModel(options: QuickOptions & { readonly task: string }): Promise<void> {
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
  const model = await openModel(file.path, plan.engine, chosen ? { adapter: chosen.choice } : {});
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
  const scores = scoreCalibration(measured, [{ predictor: STATE, target: STATE, kind }], {
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
