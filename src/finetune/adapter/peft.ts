/** Reads a PEFT folder (adapter_config.json and adapter_model.safetensors) as an adapter with llama.cpp's names and order of rows. */

import { existsSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeFolder, writeError, writeWhole } from "../../base/files.js";
import { decodeUtf8, readPlainFile, shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import type { GgufFile } from "../../gguf/read-gguf.js";
import type { LoraTarget } from "../../study/schema.js";
import { checkPairs, evenPairs, type LoraAdapter, type LoraMatrix } from "./adapter.js";
import { formatPeftConfig, parsePeftConfig, type PeftConfig, type PeftPair } from "./peft-config.js";
import {
  loraName,
  type LoraPlace,
  loraPlace,
  PEFT_ARCHITECTURES,
  type PeftBaseKind,
  peftBaseKind,
  type ProjectionMatrix,
  projectionMatrices,
} from "./projections.js";
import { readSafetensors, type SafeTensor, writeSafetensors } from "./safetensors.js";

// The order of the query and key rows, where the two sides have another one (PeftBaseKind).

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

// What must be known of a base to name an adapter's matrices and to move query and key rows.

/** As `NativeDescription` and a GGUF's header name them. */
interface PeftBase {
  readonly architecture: string;
  readonly heads: number;
  readonly keyValueHeads: number;
}

/** @throws InwardError ADAPTER_INVALID for an architecture whose names and rows in transformers are not known here */
function kindOf({ architecture }: Pick<PeftBase, "architecture">, source: string): PeftBaseKind {
  const kind = peftBaseKind(architecture);
  if (kind) return kind;
  throw new InwardError(
    "ADAPTER_INVALID",
    `${source}: PEFT folders are read and written for models of ${PEFT_ARCHITECTURES.join(", ")}, not ${shown(architecture)}; llama.cpp's convert_lora_to_gguf.py may convert it.`,
  );
}

/**
 * @returns the matrix in the other side's order of rows; itself unless it is B of a q or k whose rows are moved
 * @throws InwardError ADAPTER_SHAPE when its rows are not whole heads of even width
 */
function reorderRows(
  matrix: LoraMatrix,
  place: LoraPlace,
  base: PeftBase,
  to: "llama.cpp" | "peft",
  name: string,
): LoraMatrix {
  const [target, ...others] = place.matrix.targets;
  if (place.half === "a" || others.length > 0 || (target !== "q" && target !== "k")) return matrix;
  const heads = target === "q" ? base.heads : base.keyValueHeads;
  const [rank, rows] = matrix.dimensions;
  if (!Number.isInteger(heads) || heads < 1 || rows % (2 * heads) !== 0)
    throw new InwardError("ADAPTER_SHAPE", `${name} has ${rows} rows, which are not ${heads} heads of even width.`);
  if (kindOf(base, name).rowsOfHeads === "same") return matrix;
  const move = to === "peft" ? toHalvedRows : toInterleavedRows;
  return { ...matrix, values: move(matrix.values, rank, heads) };
}

// What PEFT calls an adapter's tensors and modules.

/** e.g. `q_proj` */
function peftModule({ module }: ProjectionMatrix): string {
  return module.split(".")[1] as string;
}

/** e.g. `model.layers.0.self_attn.q_proj` */
function peftModulePath(layer: number, { module }: ProjectionMatrix): string {
  return `model.layers.${layer}.${module}`;
}

/** e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` */
function peftName({ layer, matrix, half }: LoraPlace): string {
  return `base_model.model.${peftModulePath(layer, matrix)}.lora_${half.toUpperCase()}.weight`;
}

interface PeftTensor extends LoraPlace {
  /** The module's whole name, as the configuration's patterns see it. */
  readonly module: string;
  /** The adapter's name, which files have that were not written by save_pretrained; undefined in PEFT's own. */
  readonly adapter?: string;
}

/** `language_model` where the base is the language part of a network that sees images, too. */
const TENSOR =
  /^base_model\.model\.((?:model\.|model\.language_model\.|language_model\.model\.)layers\.(0|[1-9]\d{0,5})\.(\w+\.\w+))\.lora_([AB])(?:\.(\w+))?\.weight$/;

/** Undefined for a name that is no LoRA weight of one of the architecture's projections. */
function peftTensor(name: string, architecture: string): PeftTensor | undefined {
  const [, module, layer, path, half, adapter] = TENSOR.exec(name) ?? [];
  const matrix = projectionMatrices(architecture).find((one) => one.module === path);
  if (module === undefined || matrix === undefined) return undefined;
  return { module, adapter, layer: Number(layer), matrix, half: half === "A" ? "a" : "b" };
}

/** The two files of a PEFT folder. */
export interface PeftFiles {
  readonly config: string;
  readonly weights: string;
}

/**
 * @param path a folder, or the .safetensors in it
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID no folder of PEFT's, or one with pickled weights
 */
export function peftFiles(path: string): PeftFiles {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new InwardError("ADAPTER_NOT_FOUND", `${path}: no such folder.`);
  const folder = found.isDirectory() ? path : dirname(path);
  const config = join(folder, "adapter_config.json");
  if (!existsSync(config)) {
    throw new InwardError("ADAPTER_INVALID", `${folder} is no PEFT folder: it has no adapter_config.json.`);
  }
  const weights = found.isDirectory() ? join(folder, "adapter_model.safetensors") : path;
  if (!existsSync(weights)) {
    if (!existsSync(join(folder, "adapter_model.bin"))) {
      throw new InwardError("ADAPTER_NOT_FOUND", `${folder} has no adapter_model.safetensors.`);
    }
    throw new InwardError(
      "ADAPTER_INVALID",
      `${folder} has its weights in adapter_model.bin, a pickle, which may run code: load it in PEFT and save_pretrained it again, which writes adapter_model.safetensors.`,
    );
  }
  for (const file of [config, weights]) {
    if (!statSync(file).isFile()) throw new InwardError("ADAPTER_INVALID", `${file} is not a file.`);
  }
  return { config, weights };
}

/**
 * All pairs get one rank and one scale, as our trainer has them: a pair of a lower rank (rank_pattern) is filled up with rows and
 * columns of zeros, and another scale (alpha_pattern) goes into its B. What the adapter computes stays what it was.
 * @param path a folder, or the .safetensors in it
 * @param base the model that the adapter is for: its architecture says which matrices it has, its heads where q's and k's rows go
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID (names the field or the tensor) · ADAPTER_SHAPE
 */
export async function importPeft(path: string, base: PeftBase): Promise<LoraAdapter> {
  const files = peftFiles(path);
  const { weights } = files;
  const { architecture } = base;
  const kind = kindOf(base, dirname(weights));
  const config = parsePeftConfig(readConfig(files.config), files.config, kind.usualModules);
  const places = new Map<string, PeftTensor>();
  const tensors = new Map<string, LoraMatrix>();
  for (const [name, tensor] of await readSafetensors(weights)) {
    const place = peftTensor(name, architecture);
    if (place === undefined)
      throw new InwardError(
        "ADAPTER_INVALID",
        `${weights}: tensor ${name} is no LoRA weight of ${projectionMatrices(architecture).map(peftModule).join(", ")}, which a ${architecture} model has: what target_modules names beyond these is not read.`,
      );
    const ours = loraName(place);
    const [other] = places.values();
    if (tensors.has(ours) || (other && other.adapter !== place.adapter))
      throw new InwardError("ADAPTER_INVALID", `${weights}: tensor ${name} is of a second adapter in one file.`);
    places.set(ours, place);
    tensors.set(ours, reorderRows(toMatrix(name, tensor, weights), place, base, "llama.cpp", name));
  }
  return { architecture, baseName: config.baseModel, ...withConfig(tensors, places, config, files) };
}

/** @throws InwardError ADAPTER_INVALID half a pair, another rank than the configuration's, a scale that single precision does not hold */
function withConfig(
  tensors: ReadonlyMap<string, LoraMatrix>,
  places: ReadonlyMap<string, PeftTensor>,
  config: PeftConfig,
  files: PeftFiles,
): Pick<LoraAdapter, "alpha" | "rank" | "tensors"> {
  const { plain } = config;
  const names = [...tensors.keys()].filter((name) => name.endsWith(".lora_a"));
  const moduleOf = (name: string) => (places.get(name) as PeftTensor).module;
  const said = config.pairsOf(names.map(moduleOf));
  const pairs = new Map(names.map((name, at) => [name, said[at] as PeftPair]));
  for (const [name, { rank }] of pairs) {
    const found = tensors.get(name)?.dimensions[1];
    if (found === rank) continue;
    const where = rank === plain.rank ? `r is ${rank}` : `rank_pattern says ${rank}`;
    throw new InwardError(
      "ADAPTER_INVALID",
      `${files.config}: ${where}, its tensors have rank ${found} (${moduleOf(name)}).`,
    );
  }
  const scaleOf = ({ alpha, rank }: PeftPair) => alpha / rank;
  const even = evenPairs(
    tensors,
    (name) => scaleOf(pairs.get(name) as PeftPair),
    () => scaleOf(plain),
  );
  const rank = checkPairs(even, files.weights);
  const alpha = plain.rank === rank ? plain.alpha : scaleOf(plain) * rank;
  const single = Math.fround(alpha);
  if (!(single > 0 && single < Number.POSITIVE_INFINITY)) {
    throw new InwardError(
      "ADAPTER_INVALID",
      `${files.config}: lora_alpha makes an alpha of ${alpha}, which single precision does not hold.`,
    );
  }
  return { alpha, rank, tensors: even };
}

const MOST_CONFIG_BYTES = 1_000_000;

function readConfig(path: string): string {
  const bytes = readPlainFile(
    path,
    MOST_CONFIG_BYTES,
    (why) => new InwardError("ADAPTER_INVALID", `${path} cannot be read (${why}).`),
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

interface ExportBase extends PeftBase {
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
 * Found out before a training of hours: of a base whose file joins or parts what transformers does not, some pairs have no module there.
 * @throws InwardError ADAPTER_INVALID naming the first such matrix that these targets train
 */
export function requirePeftPlaces(
  { path, metadata, tensors }: Pick<GgufFile, "path" | "metadata" | "tensors">,
  targets: readonly LoraTarget[],
): void {
  const architecture = String(metadata.get("general.architecture")?.value);
  kindOf({ architecture }, path);
  for (const { name } of tensors) {
    const place = loraPlace(`${name}.lora_a`, architecture);
    if (place === undefined || hasModule(place, architecture)) continue;
    if (!place.matrix.targets.some((target) => targets.includes(target))) continue;
    throw new InwardError(
      "ADAPTER_INVALID",
      `--peft: ${path} has ${name}, for which transformers' ${architecture} has no module: a pair beside it has no place in a PEFT folder. Leave --peft out, or ${place.matrix.targets.join(", ")} out of --targets.`,
    );
  }
}

function hasModule({ matrix }: LoraPlace, architecture: string): boolean {
  return projectionMatrices(architecture).includes(matrix);
}

/**
 * The configuration is written last: without it PEFT finds no adapter, so that a folder is loadable only once it is whole.
 * @throws InwardError ADAPTER_INVALID (a tensor that PEFT's model has no module for, a half pair) · ADAPTER_SHAPE · STORE_DISK_FULL ·
 * STORE_UNWRITABLE
 */
export async function exportPeft(
  folder: string,
  adapter: LoraAdapter,
  base: ExportBase,
  options: ExportPeftOptions = {},
): Promise<void> {
  checkPairs(adapter.tensors, folder);
  kindOf(base, folder);
  const tensors = new Map<string, SafeTensor>();
  for (const [name, matrix] of adapter.tensors) {
    const place = loraPlace(name, base.architecture);
    if (!place || !hasModule(place, base.architecture) || place.layer >= base.layers)
      throw new InwardError(
        "ADAPTER_INVALID",
        `${name} has no place in a PEFT adapter of a ${base.architecture} model with ${base.layers} layers.`,
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
    targetModules: targetModules(adapter, base),
  });
  try {
    makeFolder(folder);
    await rm(configPath, { force: true });
  } catch (error) {
    throw writeError(error, folder);
  }
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
  if (options.readme !== undefined) await writeWhole(join(folder, "README.md"), options.readme);
  await writeWhole(configPath, config);
}

/** `q_proj` names every layer's; where only some layers have the pair, each is named, or PEFT would add pairs to the others. */
function targetModules(adapter: LoraAdapter, { architecture, layers }: ExportBase): string[] {
  return projectionMatrices(architecture).flatMap((matrix) => {
    const present = Array.from({ length: layers }, (_, layer) => layer).filter((layer) =>
      adapter.tensors.has(loraName({ layer, matrix, half: "a" })),
    );
    return present.length === layers ? [peftModule(matrix)] : present.map((layer) => peftModulePath(layer, matrix));
  });
}
