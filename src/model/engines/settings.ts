/** Takes what a study leaves to the machine and decides it, so that it can stand in the plan. */

import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { InwardError } from "../../errors.js";
import { type Architecture, hasOwnForward } from "../../gguf/architectures.js";
import { holdsFloats } from "../../gguf/encodings.js";
import { type GgufHeader, readGguf } from "../../gguf/read-gguf.js";
import type { EngineManifest } from "../../study/plan.js";
import type { SettledEngine, StudyEngine } from "../../study/study.js";
import { exactRows } from "../arithmetic.js";
import { deviceKind, type DeviceName, type ResolvedDevice, resolveDevice } from "../device.js";
import type { AdapterChoice } from "../language-model.js";
import { sha256OfFile } from "../model-file.js";
import { type ModelShape, shapeOfFile } from "../model-shape.js";
import { askingNeed, type Placement, placeForAsking, type WeightParts, weightParts } from "../placement.js";
import { engineReleases, findAddon } from "../native/addon.js";

// Decides who evaluates, llama.cpp or our own forward pass, from what the study says and from the models' headers.

type Forward = NonNullable<SettledEngine["forward"]>;

/** Of the machine's memory, for weights: the rest is for caches, and for whatever else runs. */
const MOST_MEMORY = 0.5;

/** @throws ENGINE_UNAVAILABLE where a study asks for ours and for something that only llama.cpp has */
export async function settleForward(
  settings: StudyEngine,
  engine: SettledEngine["engine"],
  modelPaths: readonly string[],
): Promise<Forward> {
  const { forward = "llama.cpp" } = settings;
  const against = objection(settings, engine);
  if (forward === "own" && against !== undefined) {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.forward own and ${against} do not go together`);
  }
  if (forward !== "auto") return forward;
  if (against !== undefined || modelPaths.length === 0) return "llama.cpp";
  const headers = await Promise.all(modelPaths.map((path) => readGguf(path)));
  if (!headers.every(takesOwnForward)) return "llama.cpp";
  return (await gpuOf(settings.device)) === undefined ? "own" : "llama.cpp";
}

function objection(settings: StudyEngine, engine: SettledEngine["engine"]): string | undefined {
  if (engine !== "native") return `engine ${engine}`;
  if (settings.device !== "cpu" && settings.device !== "auto") return `device ${settings.device}`;
  if (settings.flashAttention) return "flashAttention";
  return settings.blas ? "blas" : undefined;
}

/** Whether our own forward pass can evaluate this file in this machine's memory, where weights stay encoded as they are. */
export function takesOwnForward(file: Pick<GgufHeader, "metadata" | "tensors">): boolean {
  const weights = file.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return hasOwnForward(file) && weights <= totalmem() * MOST_MEMORY;
}

/** @throws ENGINE_UNAVAILABLE where llama.cpp would compute another model than the file's, or pass over the setting */
export function requireFlashAttention({ name, flashAttention }: Architecture, set: boolean): void {
  if (flashAttention === undefined || (flashAttention === "needed") === set) return;
  const why =
    flashAttention === "needed"
      ? "llama.cpp computes its sparse attention with flash attention only, and another model without"
      : "llama.cpp does not compute it with flash attention";
  const advice = set
    ? "set engine.flashAttention to false"
    : "set engine.flashAttention to true and engine.strict to false";
  throw new InwardError("ENGINE_UNAVAILABLE", `${name}: ${why}; ${advice}`);
}

/** With as many answers in the making at once as llama.cpp can make of this architecture. */
export function withSequencesOf({ oneAtATime }: Architecture, settings: SettledEngine): SettledEngine {
  return oneAtATime ? { ...settings, sequences: 1 } : settings;
}

/**
 * Of a study that names no number. Products of our own forward pass are fast from some 30 rows on, and what it masks costs nothing; a
 * GPU reads its weights as fast for many rows as for one.
 */
const SEQUENCES = { gpu: 64, own: 32, "llama.cpp": 16, "node-llama-cpp": 8 } as const;

/**
 * @param modelPaths of all models that are to be asked; without them, none is known to suit our own forward pass
 * @param buildFolder where the addon would be; native/build unless given
 * @throws ENGINE_UNAVAILABLE · MODEL_* of a model whose header had to be read
 */
export async function settleEngine(
  { cache: _, ...settings }: StudyEngine,
  modelPaths: readonly string[] = [],
  buildFolder?: string,
): Promise<SettledEngine> {
  const engine = settings.engine === "auto" ? await bestEngine(buildFolder) : settings.engine;
  await requireDevices(settings, engine);
  const forward = await settleForward(settings, engine, modelPaths);
  refuseTogether(settings, engine);
  const gpu = engine === "native" && forward !== "own" ? await gpuOf(settings.device) : undefined;
  // Each answer in the making is a row, and one more fills up.
  const most = settings.exact && gpu ? (exactRows(gpu).most ?? Number.POSITIVE_INFINITY) - 2 : Number.POSITIVE_INFINITY;
  const usual = gpu ? SEQUENCES.gpu : SEQUENCES[engine === "native" ? forward : engine];
  const sequences = settings.sequences ?? Math.min(usual, most);
  if (sequences > most && !settings.strict) {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `engine.exact on ${gpu} evaluates ${most + 2} rows at once at most, and engine.sequences is ${sequences}; set it to ${most}`,
    );
  }
  const flashAttention =
    settings.flashAttention ?? (gpu !== undefined && (await suitsFlashAttention(settings, modelPaths)));
  return { ...settings, engine, forward, sequences, flashAttention };
}

/** @throws ENGINE_UNAVAILABLE */
function refuseTogether(settings: StudyEngine, engine: SettledEngine["engine"]): void {
  const { exact, invariant, flashAttention } = settings;
  const refuse = (one: string, other: string, remedy: string) => {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.${one} and ${other} do not go together; ${remedy}`);
  };
  const one = exact ? "exact" : invariant ? "invariant" : undefined;
  if (one === undefined) return;
  if (engine !== "native") refuse(one, `engine ${engine}`, "build the native engine: node scripts/build-native.mjs");
  if (flashAttention) refuse(one, "engine.flashAttention", "leave one of them out");
}

/** The kind of GPU that evaluates; undefined where the processor does. */
export async function gpuOf(device: StudyEngine["device"]): Promise<Exclude<DeviceName, "cpu"> | undefined> {
  const kind = await deviceKind(device);
  return kind === "cpu" ? undefined : kind;
}

/** What quantized weights say is rounded anyhow; half-precision keys and values move it less. */
async function suitsFlashAttention(
  { strict, exact, invariant }: StudyEngine,
  modelPaths: readonly string[],
): Promise<boolean> {
  if (strict || exact || invariant || modelPaths.length === 0) return false;
  const headers = await Promise.all(modelPaths.map((path) => readGguf(path)));
  return headers.every(({ tensors }) => tensors.some(({ type }) => !holdsFloats(type)));
}

/** @throws ENGINE_UNAVAILABLE where GPUs are to hold layers, or are chosen among, and there is nothing that can */
async function requireDevices(settings: StudyEngine, engine: SettledEngine["engine"]): Promise<void> {
  const { gpuLayers = "auto", split = "layer", device } = settings;
  if (engine === "node-llama-cpp" && (device.includes(":") || split === "none")) {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `engine.device ${device} with engine.split ${split} chooses among GPUs, which the engine node-llama-cpp cannot; build the native ` +
        "engine (node scripts/build-native.mjs), or set CUDA_VISIBLE_DEVICES or GGML_VK_VISIBLE_DEVICES and name the kind alone",
    );
  }
  if (typeof gpuLayers !== "number" || gpuLayers === 0 || (await resolveDevice(settings)).name !== "cpu") return;
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    `engine.gpuLayers is ${gpuLayers}, and the device is the CPU; leave it auto, or name a GPU in engine.device`,
  );
}

// How many layers of a model lie on the GPUs. What is computed where changes last bits, so it is settled once, in the plan.

/** @returns undefined where nothing is known to lie on a GPU: the CPU, or GPUs that only node-llama-cpp sees */
export async function settlePlacement(
  settings: SettledEngine,
  device: Pick<ResolvedDevice, "name" | "gpus">,
  modelPath: string,
): Promise<Placement | undefined> {
  const { forward = "llama.cpp" } = settings;
  if (device.name === "cpu" || device.gpus.length === 0 || forward === "own") return undefined;
  const file = await readGguf(modelPath);
  const [parts, shape] = [weightParts(file), shapeOfFile(file)];
  if (!parts || !shape) return undefined;
  return placementOn(settings, device.gpus, shape, parts);
}

/** Of a model that is known by its size alone, too. */
export function placementOn(
  settings: SettledEngine,
  gpus: ResolvedDevice["gpus"],
  shape: ModelShape,
  parts: WeightParts,
): Placement {
  const { gpuLayers = "auto" } = settings;
  const onCuda = gpus[0]?.name.startsWith("cuda")
    ? parts.output + parts.layers.reduce((all, one) => all + one, 0)
    : undefined;
  return placeForAsking(
    parts,
    askingNeed(shape, { ...settings, ...(onCuda === undefined ? {} : { onCuda }) }),
    gpus,
    gpuLayers === "all" ? parts.layers.length : gpuLayers,
  );
}

/** @returns how many layers have room, where `auto` is asked for and not all have */
export async function roomForLayers(settings: SettledEngine, modelPath: string): Promise<number | undefined> {
  if ((settings.gpuLayers ?? "auto") !== "auto" || settings.forward === "own") return undefined;
  if ((await gpuOf(settings.device)) === undefined) return undefined;
  const placement = await settlePlacement(settings, await resolveDevice(settings), modelPath);
  return placement === undefined || placement.gpuLayers === placement.layers ? undefined : placement.gpuLayers;
}

async function bestEngine(buildFolder: string | undefined): Promise<SettledEngine["engine"]> {
  try {
    await findAddon(buildFolder);
    return "native";
  } catch (error) {
    if (error instanceof InwardError && error.code === "TRAIN_ADDON") return "node-llama-cpp";
    throw error;
  }
}

// SIMD features of the processor: they choose kernels, and kernels choose last bits.

const RELEVANT = /^(sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512\w*|amx\w*|asimd|asimddp|i8mm|sve2?|bf16)$/;

/** @returns flag names as Linux spells them, sorted; empty where the system does not tell */
export async function cpuFlags(): Promise<string[]> {
  const text = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? "";
  return line
    .split(/\s+/)
    .filter((flag) => RELEVANT.test(flag))
    .sort();
}

// What a manifest says of any engine: the releases, the machine, the settings, the adapter.

export type SetUpFacts = Pick<
  EngineManifest,
  | "engine"
  | "nodeLlamaCpp"
  | "llamaCpp"
  | "device"
  | "deviceNames"
  | "placement"
  | "cpu"
  | "cpuFlags"
  | "threads"
  | "sequences"
  | "strict"
  | "adapter"
>;

function wherePlaced({ places }: Placement): NonNullable<EngineManifest["placement"]> {
  return places.flatMap(({ device, layers, output }) =>
    layers || output ? [{ device, ...(layers ? { layers } : {}), output }] : [],
  );
}

export async function setUpFacts(
  device: ResolvedDevice,
  settings: SettledEngine,
  adapter: AdapterChoice | undefined,
  placement?: Placement,
): Promise<SetUpFacts> {
  return {
    engine: settings.engine,
    ...(await engineReleases()),
    device: device.name,
    deviceNames: device.deviceNames,
    ...(placement ? { placement: wherePlaced(placement) } : {}),
    cpu: cpus()[0]?.model ?? "unknown",
    cpuFlags: await cpuFlags(),
    threads: settings.threads,
    sequences: settings.strict ? 1 : settings.sequences,
    strict: settings.strict,
    ...(adapter ? { adapter: { sha256: await sha256OfFile(adapter.path), scale: adapter.scale ?? 1 } } : {}),
  };
}
