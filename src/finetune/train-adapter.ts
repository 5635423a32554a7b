/** Trains a LoRA adapter from a GGUF: from encoded examples to the adapter's file, its card and its README. */

import { rmdir } from "node:fs/promises";
import { cpus } from "node:os";
import type { NativeDescription, NativeState } from "../../native/index.js";
import { hashOf, makeFolder } from "../base/files.js";
import { takeRunLock } from "../base/lock.js";
import { shown } from "../base/untrusted.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { type GgufSummary, inspectGguf } from "../gguf/inspect-gguf.js";
import { requireExactTraining, trainingArithmetic } from "../model/arithmetic.js";
import { type ResolvedDevice, resolveDevice } from "../model/device.js";
import { cpuFlags } from "../model/engines/settings.js";
import { findAddon } from "../model/native/addon.js";
import type { StudyEngine, LoraSettings, TrainingSettings } from "../study/study.js";
import type { EncodedExample } from "../model/language-model.js";
import { trainingSettingsSchema } from "../study/schema.js";
import type { AdapterCard } from "./adapter/card.js";
import { adapterIntoState, adapterToState, type LoraAdapter, stateToAdapter } from "./adapter/adapter.js";
import { saveAdapter } from "./adapter/saved-adapter.js";
import { type PlannedWork, planTrainingWork, splitValidation, type ValidationSplit } from "./batches.js";
import { requireExamples } from "./chat-jsonl.js";
import {
  readCheckpoint,
  removeCheckpoint,
  requireSameRun,
  requireReachable,
  type TrainingCheckpoint,
  type TrainingIdentity,
  writeCheckpoint,
} from "./checkpoint.js";
import { type InitialAdapter, initialParameters, readInitialAdapter } from "./initial-adapter.js";
import { runTraining, type StepReport, type TrainingProgress } from "./loop.js";
import { hashExamples } from "./set.js";
import { type NativeTrainer, openNativeTrainer, trainerOn } from "./trainer.js";

/** @throws TRAIN_SETTINGS, which names the first setting that is out of range and its value */
export function requireSettings(settings: TrainingSettings): void {
  const issue = trainingSettingsSchema.safeParse(settings).error?.issues[0];
  if (!issue) return;
  const [first, second] = issue.path as [keyof TrainingSettings, keyof LoraSettings];
  const [key, value] = first === "lora" ? [`lora.${second}`, settings.lora[second]] : [first, settings[first]];
  // JSON has no word for a number that is none.
  const given = typeof value === "number" ? String(value) : shown(value);
  throw new InwardError("TRAIN_SETTINGS", `${key} is ${given}: ${issue.message}.`);
}

export interface TrainingRequest {
  readonly modelPath: string;
  readonly base: AdapterCard["base"];
  readonly examples: readonly EncodedExample[];
  /** [examples] what each prompt is about, where that is known: examples of one subject are learnt, or held back, together. */
  readonly subjects?: readonly string[];
  /** Examples to watch the loss on, instead of a share of `examples`; validationShare must then be 0. */
  readonly validationExamples?: readonly EncodedExample[];
  readonly settings: TrainingSettings;
  readonly device: StudyEngine["device"];
  readonly gpuLayers?: StudyEngine["gpuLayers"];
  readonly split?: StudyEngine["split"];
  readonly threads: number;
  /** Products of floats stay in single precision on a GPU too. Default false. */
  readonly exact?: boolean;
  /** Ends in .gguf; card and README come beside it, the checkpoint folder too as long as training goes on. */
  readonly outPath: string;
  /** A GGUF or a PEFT folder to go on from. */
  readonly initAdapter?: string;
  /** The settings may give pairs that the initial adapter lacks, or a larger rank: what it does not fill begins as in a fresh training. */
  readonly widen?: boolean;
  /** Take the initial adapter though its card names another base; the new card then says so. */
  readonly forceBase?: boolean;
  /** Kernels of another training (its card has them), so that it is repeated bit for bit; measured when absent. */
  readonly kernels?: Readonly<Record<string, string>>;
  readonly onProgress?: (progress: StepReport) => void;
  /** What happens, for a log: training_opened, _resumed, _step, _validation, _checkpoint; data is plain JSON. */
  readonly onEvent?: (kind: string, data: object) => void;
  readonly signal?: AbortSignal;
}

/** Everything that is known before native code is loaded. */
interface Preparation {
  readonly summary: GgufSummary;
  readonly split: ValidationSplit;
  readonly work: PlannedWork;
  readonly device: ResolvedDevice;
  readonly initial: InitialAdapter | undefined;
  readonly identity: TrainingIdentity;
}

/**
 * The same request after an interruption or a kill goes on from its last checkpoint and gives the adapter that an undisturbed
 * run gives: bit for bit on the CPU. An adapter at outPath is replaced only at the end.
 * @throws TRAIN_* · MODEL_* · ADAPTER_* · ENGINE_UNAVAILABLE · STORE_LOCKED another process trains to outPath · STORE_DISK_FULL ·
 * STORE_UNWRITABLE · INTERRUPTED after the checkpoint was written
 */
export async function trainAdapter(request: TrainingRequest): Promise<AdapterCard> {
  const preparation = await prepare(request);
  const folder = request.outPath.replace(/\.gguf$/, ".checkpoint");
  makeFolder(folder);
  const lock = await takeRunLock(folder);
  try {
    const card = await trainInFolder(request, preparation, folder);
    await removeCheckpoint(folder);
    return card;
  } finally {
    await lock.release();
    // Empty unless there is something to go on from, or something that is not ours.
    await rmdir(folder).catch(() => {});
  }
}

async function prepare(request: TrainingRequest): Promise<Preparation> {
  const { settings, examples, validationExamples, subjects, modelPath, threads } = request;
  requireSettings(settings);
  if (!request.outPath.endsWith(".gguf")) {
    throw new InwardError("TRAIN_SETTINGS", `The adapter's path is ${request.outPath}; it must end in .gguf.`);
  }
  if (validationExamples && settings.validationShare > 0) {
    throw new InwardError(
      "TRAIN_SETTINGS",
      `validationShare is ${settings.validationShare}; it must be 0 where validation examples are given.`,
    );
  }
  const summary = await inspectGguf(modelPath);
  // A file without a token list is one that only tests have; the addon knows its size then.
  const { vocabularySize = Number.POSITIVE_INFINITY, contextLength } = summary;
  requireExamples(examples, vocabularySize, contextLength);
  if (validationExamples) requireExamples(validationExamples, vocabularySize, contextLength);
  const { llamaCpp } = await findAddon();
  const initial = request.initAdapter
    ? await readInitialAdapter(
        request.initAdapter,
        { modelPath, sha256: request.base.sha256 },
        { force: request.forceBase === true },
      )
    : undefined;
  const device = await resolveDevice(request);
  if (request.exact) requireExactTraining(device.name);
  const split = validationExamples
    ? { training: examples, validation: validationExamples, ...(subjects ? { trainingSubjects: subjects } : {}) }
    : splitValidation(examples, settings.validationShare, settings.seed, subjects);
  const identity: TrainingIdentity = {
    settings,
    data: hashExamples(examples),
    subjects: subjects ? hashOf(subjects) : null,
    validationData: validationExamples ? hashExamples(validationExamples) : null,
    base: request.base.sha256,
    initialAdapter: initial?.sha256 ?? null,
    device: device.list,
    threads,
    ...(request.exact ? { exact: true as const } : {}),
    llamaCpp,
  };
  return { summary, split, work: planTrainingWork(split, settings), device, initial, identity };
}

async function trainInFolder(request: TrainingRequest, preparation: Preparation, folder: string): Promise<AdapterCard> {
  const { work, identity } = preparation;
  const { onEvent, onProgress, signal } = request;
  const saved = await readCheckpoint(folder);
  if (saved) {
    requireSameRun(folder, saved.identity, identity);
    requireReachable(folder, saved, work.totalSteps);
  }
  const trainer = await openTrainer(request, preparation, saved?.kernels ?? request.kernels);
  let progress: TrainingProgress;
  let state: NativeState;
  try {
    const { tensors: _, ...described } = trainer.description;
    onEvent?.("training_opened", { ...described, totalSteps: work.totalSteps });
    const { kernels } = trainer.description;
    await trainer.setState(saved?.state ?? firstState(trainer.description, request, preparation.initial));
    if (saved) onEvent?.("training_resumed", { step: saved.step });
    progress = await runTraining(trainer, work, saved ?? { step: 0, losses: [], validation: [] }, {
      save: (reached, at) => writeCheckpoint(folder, { identity, ...reached, kernels, state: at }),
      ...(onProgress ? { onProgress } : {}),
      ...(onEvent ? { onEvent } : {}),
      ...(signal ? { signal } : {}),
    });
    state = await trainer.state();
  } finally {
    await trainer.dispose();
  }
  return save(request, preparation, trainer.description, progress, state);
}

function openTrainer(
  { modelPath, settings, threads, gpuLayers, exact = false }: TrainingRequest,
  { device, work }: Preparation,
  kernels: TrainingCheckpoint["kernels"] | undefined,
): Promise<NativeTrainer> {
  const { rank, alpha, dropout, targets } = settings.lora;
  return openNativeTrainer({
    modelPath,
    ...trainerOn(device, exact),
    ...(typeof gpuLayers === "number" && device.name !== "cpu" ? { deviceLayers: gpuLayers } : {}),
    threads,
    rank,
    alpha,
    dropout,
    targets,
    activationCheckpointing: settings.activationCheckpointing,
    maxMicrobatchTokens: work.maxMicrobatchTokens,
    maxLossRows: work.maxLossRows,
    ...(kernels ? { kernels } : {}),
  });
}

/** What a person should know of where layers lie; undefined where all are on one device and stay there. */
export function placementNote({ devices, streamedBytes }: NativeDescription["memory"]): string | undefined {
  const streamed = devices.reduce((sum, { streamedLayers }) => sum + streamedLayers, 0);
  if (devices.length === 1 && streamed === 0) return undefined;
  const places = devices.map(({ device, layers }) => `${layers} on ${device === "cpu" ? "the processor" : device}`);
  const slow =
    streamed === 0
      ? ""
      : ` There is no room for all weights: those of ${streamed} layers (${Math.ceil(streamedBytes / 2 ** 20)} MiB) stay in the machine's memory and are sent to the device for every microbatch, which is slow; larger microbatches send them less often.`;
  return `Layers: ${places.join(", ")}.${slow}`;
}

function firstState(
  { tensors, parameters }: NativeDescription,
  { settings: { lora, seed }, widen }: TrainingRequest,
  initial: InitialAdapter | undefined,
): NativeState {
  const layout = { tensors, parameters, alpha: lora.alpha };
  const fresh = () => initialParameters(tensors, parameters, seed);
  const gone = initial?.adapter;
  return {
    parameters: !gone ? fresh() : widen ? adapterIntoState(gone, layout, fresh()) : adapterToState(gone, layout),
    firstMoments: new Float32Array(parameters),
    secondMoments: new Float32Array(parameters),
  };
}

/** An adapter on some layers is one still: elsewhere A and B were zero, and training left them so. */
function onPlacesOf(initial: LoraAdapter, trained: LoraAdapter): LoraAdapter {
  const tensors = new Map([...trained.tensors].filter(([name]) => initial.tensors.has(name)));
  const moved = [...trained.tensors].find(
    ([name, { values }]) => !tensors.has(name) && values.some((one) => one !== 0),
  );
  if (moved) throw new InwardError("INTERNAL", `Training moved ${moved[0]}, which the initial adapter does not have.`);
  return { ...trained, tensors };
}

async function save(
  { base, outPath, settings, threads, widen, exact = false }: TrainingRequest,
  { split, identity, initial, summary, device }: Preparation,
  { architecture, tensors, kernels, deviceName, llamaCpp }: NativeDescription,
  { losses, validation }: TrainingProgress,
  { parameters }: NativeState,
): Promise<AdapterCard> {
  const { rank, alpha } = settings.lora;
  const trained = stateToAdapter({ architecture, layout: tensors, parameters, alpha, rank, baseName: base.source });
  const adapter = initial && !widen ? onPlacesOf(initial.adapter, trained) : trained;
  const saved = await saveAdapter(
    outPath,
    adapter,
    {
      cardVersion: 1,
      inwardVersion: INWARD_VERSION,
      llamaCpp,
      base,
      ...(initial?.base === "forced" ? { forcedOnto: [{ sha256: base.sha256 }] } : {}),
      data: {
        sha256: identity.data,
        examples: split.training.length,
        validationExamples: split.validation.length,
        answerTokens: split.training.reduce((sum, { tokenIds, answerStart }) => sum + tokenIds.length - answerStart, 0),
      },
      settings,
      ...(initial ? { initialAdapter: { sha256: initial.sha256 } } : {}),
      machine: {
        device: deviceName,
        cpu: cpus()[0]?.model ?? "unknown",
        cpuFlags: await cpuFlags(),
        threads,
        kernels,
        exact,
        arithmetic: trainingArithmetic(device.name, exact),
      },
      losses,
      validation,
    },
    { baseLicence: summary.licence },
  );
  return saved.card;
}
