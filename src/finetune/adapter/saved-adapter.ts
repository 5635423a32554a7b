/**
 * Writes an adapter with its card and its README so that a crash leaves no adapter that looks finished without its card.
 *
 * The card holds the adapter's sha256, so the adapter has to be written first; it must appear last. So everything is written under
 * names that end in `.saving`, while the old files stand (a full disk costs nothing). Then, with renames only: the old adapter goes,
 * card and README come, and the adapter under its own name comes last. Whatever is killed in between, under the adapter's name there
 * is the old one with its own card, nothing, or the new one with its own card. The next save replaces what was left.
 */

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { writeJson, writeWhole } from "../../base/files.js";
import { shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import { canDequantize, dequantize } from "../../gguf/encodings.js";
import { type GgufFile, type GgufTensor, openGguf, readFully, readGguf } from "../../gguf/read-gguf.js";
import { writeFailure, type WriteGgufOptions } from "../../gguf/write-gguf.js";
import { type AdapterCard, adapterReadme, checkCard, type ReadmeFacts } from "./card.js";
import {
  adapterFailure,
  type AdapterFiles,
  adapterFiles,
  checkPairs,
  evenPairs,
  type LoraAdapter,
  type LoraMatrix,
  writeAdapter,
} from "./adapter.js";

interface SavedAdapter {
  readonly files: AdapterFiles;
  readonly card: AdapterCard;
}

/**
 * @param path of the adapter; an adapter of this name is replaced
 * @param card all but what only the written file can tell
 * @throws InwardError ADAPTER_INVALID (see writeAdapter, checkCard) · STORE_DISK_FULL · STORE_UNWRITABLE · INTERRUPTED
 */
export async function saveAdapter(
  path: string,
  adapter: LoraAdapter,
  card: Omit<AdapterCard, "adapter">,
  facts: Pick<ReadmeFacts, "baseLicence">,
  options: WriteGgufOptions = {},
): Promise<SavedAdapter> {
  if (!path.endsWith(".gguf")) throw new InwardError("STORE_UNWRITABLE", `${path}: an adapter's name ends in .gguf`);
  const files = adapterFiles(path);
  const staged = Object.values(files).map((file) => `${file}.saving`);
  try {
    const written = await writeAdapter(`${files.adapter}.saving`, adapter, options);
    const whole = checkCard({ ...card, adapter: written }, files.card);
    await writeJson(`${files.card}.saving`, whole);
    const readme = adapterReadme(whole, { ...facts, name: basename(path, ".gguf") });
    await writeWhole(`${files.readme}.saving`, readme);
    await putInPlace(files);
    return { files, card: whole };
  } catch (error) {
    for (const file of staged) await rm(file, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** The folder is synced between the steps, or a power cut could undo them in another order. */
async function putInPlace(files: AdapterFiles): Promise<void> {
  try {
    await rm(files.adapter, { force: true });
    await syncFolder(files.adapter);
    await rename(`${files.card}.saving`, files.card);
    await rename(`${files.readme}.saving`, files.readme);
    await syncFolder(files.adapter);
    await rename(`${files.adapter}.saving`, files.adapter);
    await syncFolder(files.adapter);
  } catch (error) {
    throw writeFailure(error, files.adapter);
  }
}

/** Where folders cannot be synced, the order holds against a killed process still. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), "r").catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close().catch(() => undefined);
}

// Reads a LoRA adapter's GGUF, ours or llama.cpp's converter's, and refuses what llama.cpp would refuse or abort on.

/**
 * @returns every value as float32, whatever the file's type, pairs of one rank (evenPairs); an alpha that is absent or 0 as the rank, for llama.cpp then scales by 1
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID
 */
export async function readAdapter(path: string): Promise<LoraAdapter> {
  try {
    const file = await readGguf(path);
    const architecture = checkKind(file);
    const alpha = alphaOf(file);
    // llama.cpp divides alpha by each pair's own rank; without one nothing is divided, and pairs are scaled by 1.
    const scaleOf = (_: string, rank: number) => (alpha > 0 ? alpha / rank : 1);
    const tensors = evenPairs(await readTensors(file), scaleOf, (rank) => scaleOf("", rank));
    const rank = checkPairs(tensors, path);
    const skipped = file.tensors.filter(isSkipped).map((tensor) => tensor.name);
    return {
      architecture,
      name: text(file, "general.name"),
      baseName: text(file, "general.base_model.0.name"),
      alpha: alpha || rank,
      rank,
      tensors,
      skipped: skipped.length > 0 ? skipped : undefined,
    };
  } catch (error) {
    throw adapterFailure(error);
  }
}

const isSkipped = (tensor: GgufTensor) => tensor.name.endsWith("_norm.weight");

/** @returns the architecture of its base */
function checkKind(file: GgufFile): string {
  const wanted = [
    ["general.type", "adapter"],
    ["adapter.type", "lora"],
  ] as const;
  for (const [key, value] of wanted) {
    const found = text(file, key);
    if (found !== value)
      throw invalid(file, `${key} is ${found === undefined ? "missing" : shown(found)}, not "${value}"`);
  }
  if (file.parts.length > 1) throw invalid(file, "it is split over several files");
  // Works only after certain tokens: as a plain LoRA it would be another adapter.
  if (file.metadata.has("adapter.alora.invocation_tokens")) throw invalid(file, "it is an activated LoRA (aLoRA)");
  const architecture = text(file, "general.architecture");
  if (architecture === undefined) throw invalid(file, "general.architecture is missing");
  return architecture;
}

function alphaOf(file: GgufFile): number {
  const found = file.metadata.get("adapter.lora.alpha");
  if (found === undefined) return 0;
  if (found.type !== "f32") throw invalid(file, `adapter.lora.alpha is of type ${found.type}, not f32`);
  if (!(found.value >= 0 && found.value < Number.POSITIVE_INFINITY))
    throw invalid(file, `adapter.lora.alpha is ${found.value}`);
  return found.value;
}

async function readTensors(file: GgufFile): Promise<Map<string, LoraMatrix>> {
  const tensors = new Map<string, LoraMatrix>();
  const handle = await openGguf(file.path);
  try {
    for (const tensor of file.tensors) {
      if (!isSkipped(tensor)) tensors.set(tensor.name, await readMatrix(handle, file, tensor));
    }
  } finally {
    await handle.close();
  }
  return tensors;
}

async function readMatrix(handle: FileHandle, file: GgufFile, tensor: GgufTensor): Promise<LoraMatrix> {
  // ggml drops trailing dimensions of 1 when it writes: an A of rank 1 has one dimension in the file.
  const [columns = 1, rows = 1, ...rest] = tensor.dimensions;
  if (rest.some((size) => size !== 1))
    throw invalid(file, `tensor ${tensor.name} has dimensions [${tensor.dimensions.join(", ")}], not a matrix`);
  if (!canDequantize(tensor.type))
    throw invalid(file, `tensor ${tensor.name} is of type ${tensor.type}, which inward does not decode`);
  const bytes = new Uint8Array(tensor.byteLength);
  if ((await readFully(handle, bytes, file.dataOffset + tensor.offset)) < bytes.length)
    throw invalid(file, `it became shorter while tensor ${tensor.name} was read`);
  return { dimensions: [columns, rows], values: dequantize(tensor.type, bytes, tensor.elements) };
}

function text(file: GgufFile, key: string): string | undefined {
  const found = file.metadata.get(key);
  return found?.type === "string" ? found.value : undefined;
}

function invalid(file: GgufFile, what: string): InwardError {
  return new InwardError("ADAPTER_INVALID", `${file.path} is no LoRA adapter: ${what}`);
}

// Whether an adapter may be put on a base.

/** Callers say `no_card` to whoever asked: nothing but the shapes could be verified. */
export type BaseCheck =
  | { readonly base: "verified"; readonly card: AdapterCard }
  | { readonly base: "forced"; readonly card: AdapterCard }
  | { readonly base: "no_card" };

/**
 * @param card undefined for an adapter without one
 * @param baseSha256 of the base's file, hex
 * @returns with `force`, for another base: the card with that base in `forcedOnto`, to be written back
 * @throws InwardError ADAPTER_BASE for another base than the card's, unless forced. An earlier force is a record, not a permission
 */
export function checkAdapterBase(
  card: AdapterCard | undefined,
  baseSha256: string,
  options: { readonly force?: boolean } = {},
): BaseCheck {
  if (card === undefined) return { base: "no_card" };
  if (card.base.sha256 === baseSha256) return { base: "verified", card };
  if (!options.force)
    throw new InwardError(
      "ADAPTER_BASE",
      `The adapter was trained on ${card.base.source} (${card.base.encoding}, sha256 ${card.base.sha256}); this base has sha256 ${baseSha256}.`,
    );
  const earlier = card.forcedOnto ?? [];
  const known = earlier.some(({ sha256 }) => sha256 === baseSha256);
  return { base: "forced", card: { ...card, forcedOnto: known ? earlier : [...earlier, { sha256: baseSha256 }] } };
}
