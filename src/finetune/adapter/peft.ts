/** Reads a PEFT folder (adapter_config.json and adapter_model.safetensors) as an adapter with llama.cpp's names and order of rows. */

import { statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeError, writeWhole } from "../../base/files.js";
import { decodeUtf8, parseStrictJson, readPlainFile, shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import { LORA_TARGETS, type LoraTarget } from "../../study/schema.js";
import { checkPairs, type LoraAdapter, type LoraMatrix, loraName, type LoraPlace, loraPlace } from "./adapter.js";
import { readSafetensors, type SafeTensor, writeSafetensors } from "./safetensors.js";

// The order of the query and key rows. Hugging Face's Llama rotates a head's first half against its second (row p with row
// p + width / 2); llama.cpp's rotates neighbours (rows 2p and 2p + 1), and its converter puts the rows of W_q and W_k in that order.
// An adapter adds B·A to W, so the rows of B move as those of W do; A, on the input's side, stays as it is.

/** Hugging Face's order to llama.cpp's. @param values [rows × columns], rows a multiple of 2 · heads */
export function toInterleavedRows(values: Float32Array, columns: number, heads: number): Float32Array {
  return moveRows(values, columns, heads, (interleaved, halved) => [halved, interleaved]);
}

/** llama.cpp's order to Hugging Face's: the inverse. */
export function toHalvedRows(values: Float32Array, columns: number, heads: number): Float32Array {
  return moveRows(values, columns, heads, (interleaved, halved) => [interleaved, halved]);
}

function moveRows(
  values: Float32Array,
  columns: number,
  heads: number,
  fromTo: (interleaved: number, halved: number) => readonly [number, number],
): Float32Array {
  const width = values.length / columns / heads;
  const moved = new Float32Array(values.length);
  for (let head = 0; head < heads; head++) {
    for (let pair = 0; pair < width / 2; pair++) {
      for (let half = 0; half < 2; half++) {
        const [from, to] = fromTo(head * width + 2 * pair + half, head * width + half * (width / 2) + pair);
        moved.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
      }
    }
  }
  return moved;
}

// What must be known of a base to move query and key rows between PEFT's order and llama.cpp's.

/** As `NativeDescription` and a GGUF's header name them. */
interface BaseHeads {
  readonly heads: number;
  readonly keyValueHeads: number;
}

/**
 * @returns the matrix in the other side's order of rows; itself unless it is B of q or k
 * @throws InwardError ADAPTER_SHAPE when its rows are not whole heads of even width
 */
function reorderRows(
  matrix: LoraMatrix,
  place: LoraPlace,
  base: BaseHeads,
  to: "llama.cpp" | "peft",
  name: string,
): LoraMatrix {
  if (place.half === "a" || (place.target !== "q" && place.target !== "k")) return matrix;
  const heads = place.target === "q" ? base.heads : base.keyValueHeads;
  const [rank, rows] = matrix.dimensions;
  if (!Number.isInteger(heads) || heads < 1 || rows % (2 * heads) !== 0)
    throw new InwardError("ADAPTER_SHAPE", `${name} has ${rows} rows, which are not ${heads} heads of even width.`);
  const move = to === "peft" ? toHalvedRows : toInterleavedRows;
  return { ...matrix, values: move(matrix.values, rank, heads) };
}

// adapter_config.json, as PEFT 0.21's LoraConfig reads and writes it.

interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** base_model_name_or_path: what the adapter says its base is. */
  readonly baseModel?: string;
  /** Names, or ends of names, of the modules that carry a pair; only written, the tensors themselves say where they belong. */
  readonly targetModules: readonly string[];
}

const nothing = z.union([z.null(), z.literal(false), z.literal(""), z.tuple([]), z.strictObject({})]);
/** How A and B began does not matter later, but pissa, olora, corda and loftq also change the base's own weights. */
const harmlessInit = z.union([z.boolean(), z.null(), z.enum(["gaussian", "orthogonal", "eva"])]);

const anything = z.unknown().optional();

/** A field that is not here must be null, false or empty: it may change what the adapter computes. */
const fields = z
  .object({
    peft_type: z.literal("LORA"),
    r: z.int().min(1),
    lora_alpha: z.number().positive(),
    lora_dropout: z.number().min(0).lt(1).default(0),
    base_model_name_or_path: z.string().nullish(),
    target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
    task_type: z.literal("CAUSAL_LM").nullish(),
    bias: z.literal("none").default("none"),
    init_lora_weights: harmlessInit.optional(),
    inference_mode: z.boolean().optional(),
    // Where it was made and by which release; which of the base's modules it covers, which the tensors themselves say too.
    auto_mapping: anything,
    revision: anything,
    peft_version: anything,
    exclude_modules: anything,
    layers_to_transform: anything,
    layers_pattern: anything,
    // Settings of other settings, without effect while those are off.
    megatron_core: anything,
    qalora_group_size: anything,
    eva_config: anything,
    runtime_config: anything,
  })
  .catchall(nothing);

/**
 * @param source what to call the file in messages
 * @throws InwardError ADAPTER_INVALID naming the field: rsLoRA, DoRA, rank and alpha patterns, modules_to_save, biases and whatever
 * else a plain pair of matrices cannot express
 */
function parsePeftConfig(json: string, source: string): PeftConfig {
  const parsed = parseStrictJson(json, { code: "ADAPTER_INVALID", place: source });
  const checked = fields.safeParse(parsed);
  if (!checked.success) {
    const path = checked.error.issues[0]?.path ?? [];
    if (path.length === 0) throw new InwardError("ADAPTER_INVALID", `${source} is not a JSON object.`);
    const value = shown((parsed as Record<string, unknown>)[String(path[0])]);
    throw new InwardError(
      "ADAPTER_INVALID",
      `${source}: ${String(path[0])} is ${value}, which is not the plain LoRA that inward reads.`,
    );
  }
  const { r, lora_alpha, lora_dropout, base_model_name_or_path, target_modules } = checked.data;
  return {
    rank: r,
    alpha: lora_alpha,
    dropout: lora_dropout,
    baseModel: base_model_name_or_path || undefined,
    targetModules: typeof target_modules === "string" ? [target_modules] : (target_modules ?? []),
  };
}

/** The file's text. Only fields that every PEFT since 2024 knows, so that older releases read it too. */
function formatPeftConfig(config: PeftConfig): string {
  const written = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: config.baseModel ?? null,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: config.rank,
    rank_pattern: {},
    revision: null,
    target_modules: config.targetModules,
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  };
  return `${JSON.stringify(written, null, 2)}\n`;
}

// What PEFT calls an adapter's tensors and modules.

const MODULE: Record<LoraTarget, string> = {
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};
const TARGET_OF = new Map(LORA_TARGETS.map((target) => [MODULE[target], target]));

/** e.g. `q_proj` */
function peftModule(target: LoraTarget): string {
  return MODULE[target].split(".")[1] as string;
}

/** e.g. `model.layers.0.self_attn.q_proj` */
function peftModulePath(layer: number, target: LoraTarget): string {
  return `model.layers.${layer}.${MODULE[target]}`;
}

/** e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` */
function peftName({ layer, target, half }: LoraPlace): string {
  return `base_model.model.${peftModulePath(layer, target)}.lora_${half.toUpperCase()}.weight`;
}

/** Where a tensor of this name belongs, or undefined when it is no LoRA weight of one of the seven projections. */
function peftPlace(name: string): LoraPlace | undefined {
  const match = /^base_model\.model\.model\.layers\.(0|[1-9]\d{0,5})\.(\w+\.\w+)\.lora_([AB])\.weight$/.exec(name);
  const target = TARGET_OF.get(match?.[2] ?? "");
  return match && target ? { layer: Number(match[1]), target, half: match[3] === "A" ? "a" : "b" } : undefined;
}

/**
 * @param base the model that the adapter is for; its head counts decide where q's and k's rows go
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID (names the field or the tensor) · ADAPTER_SHAPE
 */
export async function importPeft(folder: string, base: BaseHeads): Promise<LoraAdapter> {
  const configPath = join(folder, "adapter_config.json");
  const config = parsePeftConfig(readConfig(folder, configPath), configPath);
  const path = join(folder, "adapter_model.safetensors");
  const tensors = new Map<string, LoraMatrix>();
  for (const [name, tensor] of await readSafetensors(path)) {
    const place = peftPlace(name);
    if (place === undefined)
      throw new InwardError(
        "ADAPTER_INVALID",
        `${path}: tensor ${name} is no LoRA weight of q, k, v, o, gate, up or down.`,
      );
    tensors.set(loraName(place), reorderRows(toMatrix(name, tensor, path), place, base, "llama.cpp", name));
  }
  const rank = checkPairs(tensors, path);
  if (rank !== config.rank)
    throw new InwardError("ADAPTER_INVALID", `${configPath}: r is ${config.rank}, its tensors have rank ${rank}.`);
  return {
    baseName: config.baseModel,
    alpha: config.alpha,
    rank,
    tensors,
  };
}

const MOST_CONFIG_BYTES = 1_000_000;

function readConfig(folder: string, path: string): string {
  const bytes = readPlainFile(path, MOST_CONFIG_BYTES, (why) =>
    statSync(folder, { throwIfNoEntry: false })?.isDirectory()
      ? new InwardError("ADAPTER_INVALID", `${folder} is no PEFT folder: adapter_config.json cannot be read (${why}).`)
      : new InwardError("ADAPTER_NOT_FOUND", `${folder}: no such folder.`),
  );
  return decodeUtf8(bytes, { code: "ADAPTER_INVALID", place: path });
}

/** PyTorch's [rows, columns] and ggml's [columns, rows] are the same bytes. */
function toMatrix(name: string, { shape, values }: SafeTensor, path: string): LoraMatrix {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined)
    throw new InwardError("ADAPTER_INVALID", `${path}: tensor ${name} has shape [${shape.join(", ")}], not a matrix.`);
  return { dimensions: [columns, rows], values };
}

// Writes an adapter as a folder that PEFT loads: adapter_model.safetensors and adapter_config.json.

interface PeftBase extends BaseHeads {
  readonly layers: number;
  /** What PEFT shall load the base from: a Hugging Face name or a folder. The GGUF does not say it. */
  readonly name?: string;
}

interface ExportPeftOptions {
  /** Recorded for those who train on; loading for inference ignores it. Default 0. */
  readonly dropout?: number;
  /** Text of the folder's README.md. */
  readonly readme?: string;
}

/**
 * The configuration is written last: without it PEFT finds no adapter, so that a folder is loadable only once it is whole.
 * @throws InwardError ADAPTER_INVALID (a tensor that PEFT's Llama has no module for, a half pair) · ADAPTER_SHAPE · STORE_DISK_FULL ·
 * STORE_UNWRITABLE
 */
export async function exportPeft(
  folder: string,
  adapter: LoraAdapter,
  base: PeftBase,
  options: ExportPeftOptions = {},
): Promise<void> {
  checkPairs(adapter.tensors, folder);
  const tensors = new Map<string, SafeTensor>();
  for (const [name, matrix] of adapter.tensors) {
    const place = loraPlace(name);
    if (place === undefined || place.layer >= base.layers)
      throw new InwardError(
        "ADAPTER_INVALID",
        `${name} has no place in a PEFT adapter of a Llama with ${base.layers} layers.`,
      );
    const { dimensions, values } = reorderRows(matrix, place, base, "peft", name);
    tensors.set(peftName(place), { shape: [dimensions[1], dimensions[0]], values });
  }
  const configPath = join(folder, "adapter_config.json");
  const baseModel = base.name ?? adapter.baseName;
  const config = formatPeftConfig({
    rank: adapter.rank,
    alpha: adapter.alpha,
    dropout: options.dropout ?? 0,
    baseModel,
    targetModules: targetModules(adapter, base.layers),
  });
  try {
    await mkdir(folder, { recursive: true });
    await rm(configPath, { force: true });
  } catch (error) {
    throw writeError(error, folder);
  }
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
  if (options.readme !== undefined) await writeWhole(join(folder, "README.md"), options.readme);
  await writeWhole(configPath, config);
}

/** `q_proj` names every layer's; where only some layers have the pair, each is named, or PEFT would add pairs to the others. */
function targetModules(adapter: LoraAdapter, layers: number): string[] {
  return LORA_TARGETS.flatMap((target) => {
    const present = Array.from({ length: layers }, (_, layer) => layer).filter((layer) =>
      adapter.tensors.has(loraName({ layer, target, half: "a" })),
    );
    return present.length === layers ? [peftModule(target)] : present.map((layer) => peftModulePath(layer, target));
  });
}
