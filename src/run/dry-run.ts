/** A study as it would be run, and what it comes to. Needs no model's file; downloads nothing and makes no copy. */

import { dirname } from "node:path";
import { judgeQuestion, judgesOf } from "../ask/judge-questions.js";
import { answerFolder, answerFolderSize } from "../ask/answer-store.js";
import { calibrationQuestions } from "../ask/measure-distribution.js";
import {
  adaptedObjectLevelQuestions,
  askedHere,
  hypotheticalQuestions,
  objectLevelQuestions,
  type Question,
} from "../ask/questions.js";
import { hashOf } from "../base/files.js";
import { InwardError } from "../errors.js";
import { settleEngine } from "../model/engines/settings.js";
import { type LocatedModel, locateModel } from "../model/locate-model.js";
import { loadRegistry } from "../model/registry.js";
import { chatSentences } from "../study/forms.js";
import { withJudges } from "../study/judges.js";
import { stringNotes } from "../study/choose-strings.js";
import type { GivenReplies } from "../study/elsewhere.js";
import type { ModelFile, Plan, PlannedLog } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { estimatePlan, type PlanEstimate } from "./estimate/estimate.js";
import { type ProbeCost, probeCost } from "./estimate/probe-cost.js";
import type { MeasurableModel } from "./estimate/rates.js";
import { modelProgress, wornInStudy } from "./open-model.js";
import { estimatePatched } from "./patch-estimate.js";
import { estimateInjections } from "./injection-stages.js";
import { estimateInside } from "./inside-stages.js";
import { estimateProbed } from "./probe-states-stage.js";
import { probeFits } from "./probe-scores-stage.js";
import { type EarlierRun, planRunAndReplies, runsThatAskedTheSame } from "./planning.js";
import { type PowerAsked, powerAssumed, powerFromPilot, type PrimaryPower } from "./primary-power.js";
import { type AuthoredStudy, folderOf, readStudy, runFolderOf, type StudyOptions } from "./run-study.js";

const WHOLE_PROMPTS =
  "each prompt is evaluated whole: it keeps a state of a text, of which prompts that begin alike cannot share a part";

export interface DryRun extends PlanEstimate {
  /** Where the run is, or will be; null when a model is not here: its checksum is part of the plan. */
  readonly folder: string | null;
  readonly planHash: string | null;
  readonly folderUnknown?: string;
  readonly study: string;
  readonly tasks: number;
  /** Runs beside it that have put the same object-level questions: they would be asked again. Absent where there are none. */
  readonly earlier?: readonly EarlierRun[];
  /** How each model is spoken to, in sentences; those that are here, and base models. */
  readonly chats: Readonly<Record<string, string>>;
  /** What a reader must know of the strings that were chosen, in sentences; absent where there is nothing. */
  readonly strings?: readonly string[];
  /** What llama.cpp warns of in the models' files, by model; absent where it warns of nothing. */
  readonly warnings?: Readonly<Record<string, readonly string[]>>;
  /** What is special about asking a model, by model, in a sentence; absent where nothing is. */
  readonly asking?: Readonly<Record<string, string>>;
  /** The adapter that a model wears, by model, in a sentence; absent where none does. */
  readonly worn?: Readonly<Record<string, string>>;
  /** Who judges judged properties, and a labelled answer as the judge reads it; absent where nothing is judged. */
  readonly judges?: readonly { readonly property: string; readonly by: string; readonly reads: string }[];
  /** States whose answers other programs asked for, with their logs; absent where there are none. */
  readonly elsewhere?: readonly LoggedState[];
  /** Set where answers may come from the answer cache, which no count here is lessened by. */
  readonly answerCache?: { readonly folder: string; readonly bytes: number };
  /** Questions that are asked here. */
  readonly objectLevel: number;
  readonly hypothetical: number;
  readonly distributions?: number;
  readonly adapters?: readonly string[];
  /** Of a study that looks inside: what states, lenses and probes take; absent where nothing is looked into. */
  readonly probe?: ProbeCost;
  /** Of a study that writes inside, by state; absent where nothing is written. */
  readonly patching?: Awaited<ReturnType<typeof estimatePatched>>;
  /** Of a study that takes answers apart, by state; absent where none are. */
  readonly inside?: Awaited<ReturnType<typeof estimateInside>>;
  /** Of a study that injects concepts, by state; absent where none are. */
  readonly injection?: Awaited<ReturnType<typeof estimateInjections>>;
  /** Of a study that names its primary contrast: what its strings can show of it. */
  readonly primary?: PrimaryPower;
}

/** One side of a study, as its stages are called. */
type LoggedSide = "object_level" | "hypothetical";

/** A state that nobody here asks: what its logs are, and what they have of the questions of the plan. */
export interface LoggedState {
  readonly state: string;
  readonly logs: readonly (Pick<PlannedLog, "source" | "sha256" | "bytes" | "format" | "task"> & {
    readonly side: LoggedSide;
    /** In the log, one for each sample and epoch; those of them that the run takes. */
    readonly samples: number;
    readonly taken: number;
    /** Reason -> samples of the log that show no answer, taken or not. */
    readonly unanswered: Readonly<Record<string, number>>;
  })[];
  /** By side and task: questions of the plan, those with an answer, those that failed where they were asked, those in no log. */
  readonly questions: readonly {
    readonly side: LoggedSide;
    readonly task: string;
    readonly questions: number;
    readonly answered: number;
    readonly failedElsewhere: number;
    readonly notInLog: number;
  }[];
  /** Strings of the study's tasks that no log is about: never chosen. */
  readonly stringsLeftOut: number;
}

export interface DryRunOptions extends Omit<StudyOptions, "onPlanned" | "onCacheFaults"> {
  /** Run folder, relative to the current folder, whose scatter the power of the primary contrast is calculated from. */
  readonly pilot?: string;
  /** Without a pilot: share of trials in which just one of two that are compared is right, in (0, 1]. Default 0.5. */
  readonly discordance?: number;
  /** True differences that the power is told for. */
  readonly power?: PowerAsked;
  /** Time a few questions on the models that are here, so that hours can be told. Default true. */
  readonly measure?: boolean;
}

/**
 * Counts what a study asks, trains and stores, and estimates its time (seconds), memory and disk (bytes).
 * @param study path of a study file, or its content
 * @throws InwardError STUDY_*, TASK_*, PROPERTY_*, MODEL_*, TRAIN_MODEL and TRAIN_SETTINGS of a base that cannot be trained as wanted, ENGINE_*, INTERRUPTED
 */
export async function dryRun(authored: string | AuthoredStudy, options: DryRunOptions = {}): Promise<DryRun> {
  const { measure = true, out, onProgress, signal } = options;
  const study = await withJudges(await readStudy(authored, options.set), folderOf(authored));
  const located: Record<string, LocatedModel> = {};
  for (const [name, model] of Object.entries(study.models)) {
    located[name] = await locateModel(model, { signal, onProgress: modelProgress(onProgress, name) });
  }
  const files: Record<string, ModelFile> = {};
  for (const [name, { adapter }] of Object.entries(study.models)) {
    const one = located[name] as LocatedModel;
    files[name] = one.file && adapter !== undefined ? await wornInStudy(one.file, adapter) : (one.file ?? notHere(one));
  }
  const here = Object.values(located).flatMap(({ file }) => (file ? [file.path] : []));
  // What evaluates depends on every model: with one that is not here the plan's hash is not known either.
  const engine = await settleEngine(study.engine, here.length === Object.keys(located).length ? here : []);
  const { plan, given } = await planRunAndReplies({ ...study, engine }, files, folderOf(authored));
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
  const earlier = missing.length === 0 ? await runsThatAskedTheSame(plan, folder) : [];
  const strings = stringNotes(plan);
  const warned = Object.entries(plan.models).flatMap(([name, { warnings }]) => (warnings ? [[name, warnings]] : []));
  const whole = Object.entries(plan.models).flatMap(([name, { wholePrompts }]) => (wholePrompts ? [name] : []));
  const worn = Object.entries(plan.models).flatMap(([name, { adapter }]) =>
    adapter ? [[name, `it wears the adapter ${adapter.source}, sha256 ${adapter.sha256.slice(0, 12)}…`]] : [],
  );
  const judges = judgesOf(plan).flatMap(({ property, rule, labels: [label] }) => {
    const question = label && judgeQuestion(plan, property, rule, label);
    return question ? [{ property, by: question.state, reads: question.messages.at(-1)?.content ?? "" }] : [];
  });
  const elsewhere = loggedStates(plan, given);
  const cache = (study.engine.cache ?? true) && Object.keys(located).length > 0 ? answerFolder() : undefined;
  const adapters = statesOf(plan).trained.map(({ name }) => name);
  return {
    ...(missing.length === 0
      ? { folder, planHash }
      : { folder: null, planHash: null, folderUnknown: [...new Set(missing)].join("; ") }),
    study: study.study,
    tasks: plan.tasks.length,
    chats: Object.fromEntries(Object.entries(plan.chats ?? {}).map(([name, chat]) => [name, chatSentences(chat)])),
    ...(earlier.length > 0 ? { earlier } : {}),
    ...(judges.length > 0 ? { judges } : {}),
    ...(strings.length > 0 ? { strings } : {}),
    ...(warned.length > 0 ? { warnings: Object.fromEntries(warned) } : {}),
    ...(whole.length > 0 ? { asking: Object.fromEntries(whole.map((name) => [name, WHOLE_PROMPTS])) } : {}),
    ...(worn.length > 0 ? { worn: Object.fromEntries(worn) } : {}),
    ...(elsewhere.length > 0 ? { elsewhere } : {}),
    ...(cache === undefined ? {} : { answerCache: { folder: cache, bytes: answerFolderSize(cache).bytes } }),
    objectLevel: askedHere(plan, [...objectLevelQuestions(plan), ...adaptedObjectLevelQuestions(plan)]).length,
    hypothetical: askedHere(plan, hypotheticalQuestions(plan)).length,
    ...(distributions > 0 ? { distributions } : {}),
    ...(adapters.length > 0 ? { adapters } : {}),
    ...(plan.patching ? { patching: await estimatePatched(plan, (model) => located[model]?.file?.path) } : {}),
    ...(plan.inside ? { inside: await estimateInside(plan, (model) => located[model]?.file?.path) } : {}),
    ...(plan.injection ? { injection: await estimateInjections(plan, (model) => located[model]?.file?.path) } : {}),
    ...(await primaryPowerOf(plan, options)),
    ...estimate,
    ...(await probeOf(plan, located, estimate, measure)),
  };
}

async function probeOf(
  plan: Plan,
  located: Readonly<Record<string, LocatedModel>>,
  { models, disk }: PlanEstimate,
  measure: boolean,
): Promise<Pick<DryRun, "probe"> & Partial<Pick<DryRun, "disk">>> {
  if (!plan.probe) return {};
  const states = await estimateProbed(plan, (model) => located[model]?.file?.path);
  const probe = probeCost(plan, states, probeFits(plan, states), models, measure);
  const { bytes, randomWeightBytes, wholeBytes, lens } = probe;
  return {
    probe,
    disk: {
      ...disk,
      states: bytes,
      ...(randomWeightBytes > 0 ? { randomWeights: randomWeightBytes } : {}),
      ...(wholeBytes > 0 ? { lensTokens: lens?.readingBytes ?? 0, lensStates: wholeBytes } : {}),
    },
  };
}

function loggedStates(plan: Plan, given: GivenReplies): LoggedState[] {
  const asked: readonly (readonly [LoggedSide, readonly Question[]])[] = [
    ["object_level", objectLevelQuestions(plan)],
    ["hypothetical", hypotheticalQuestions(plan)],
  ];
  return statesOf(plan).all.flatMap(({ name: state, elsewhere }): LoggedState[] => {
    if (!elsewhere) return [];
    const logs = { object_level: elsewhere.answers ?? [], hypothetical: elsewhere.predictions ?? [] };
    return [
      {
        state,
        logs: asked.flatMap(([side]) =>
          logs[side].map(({ source, sha256, bytes, format, task, answers, taken, missing }) => {
            return { side, source, sha256, bytes, format, task, samples: answers, taken, unanswered: missing };
          }),
        ),
        questions: asked.flatMap(([side, all]) => {
          const own = all.filter((question) => question.state === state);
          return plan.tasks.flatMap(({ definition: { name: task } }) => {
            const said = own.filter((one) => one.task === task).map(({ key }) => given.get(`${state}|${key}`));
            if (said.length === 0) return [];
            const notInLog = said.filter((one) => one === undefined).length;
            const failedElsewhere = said.filter((one) => typeof one === "string").length;
            const answered = said.length - notInLog - failedElsewhere;
            return [{ side, task, questions: said.length, answered, failedElsewhere, notInLog }];
          });
        }),
        stringsLeftOut: elsewhere.stringsLeftOut,
      },
    ];
  });
}

async function primaryPowerOf(
  plan: Plan,
  { pilot, discordance, power }: DryRunOptions,
): Promise<Pick<DryRun, "primary">> {
  const { primary } = plan;
  if (primary) {
    const judged = { ...plan, primary };
    return {
      primary:
        pilot === undefined ? powerAssumed(judged, discordance, power) : await powerFromPilot(judged, pilot, power),
    };
  }
  if (pilot === undefined && discordance === undefined && power?.differences === undefined) return {};
  throw new InwardError(
    "USAGE",
    `The study ${plan.study} names no primary contrast, so there is no power to be told: add primary to it.`,
  );
}

/** Fills a model's place in a plan that is only counted: it is never written, hashed for a reader, or run. */
function notHere({ source, wholePrompts }: LocatedModel): ModelFile {
  const file = { source, path: "", sha256: "", bytes: 0, encoding: "", licence: "" };
  return wholePrompts ? { ...file, wholePrompts } : file;
}

async function defaultModel(): Promise<MeasurableModel | undefined> {
  const name = loadRegistry().default;
  const { basePath, shape } = await locateModel({ source: name, encoding: "as_shipped" });
  return basePath === undefined ? undefined : { name, path: basePath, ...(shape ? { shape } : {}) };
}
