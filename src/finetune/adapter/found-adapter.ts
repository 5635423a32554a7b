/** An adapter that a person has, a GGUF or a PEFT folder, as the GGUF that engines load. PEFT's is converted once into the model folder. */

import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { InwardError } from "../../errors.js";
import { inspectGguf } from "../../gguf/inspect-gguf.js";
import { removeLeftovers } from "../../model/derived-models.js";
import {
  makeModelFolder,
  modelFolder,
  recordChecksum,
  recordedChecksums,
  rememberedSha256,
  sha256OfFile,
} from "../../model/model-file.js";
import { type LoraAdapter, writeAdapter } from "./adapter.js";
import { type AdapterCard, readAdapterCard } from "./card.js";
import { importPeft, type PeftFiles, peftFiles } from "./peft.js";

export interface FoundAdapter {
  /** The GGUF that an engine loads. */
  readonly path: string;
  /** Of that GGUF, hex. */
  readonly sha256: string;
  /** sha256 of the two files that it was converted from, where it came from PEFT. */
  readonly convertedFrom?: { readonly config: string; readonly weights: string };
  /** Absent for adapters from elsewhere: nothing but shapes says what they were trained on. */
  readonly card?: AdapterCard;
}

/**
 * @param path a GGUF, a folder with adapter_config.json and adapter_model.safetensors, or the .safetensors in one
 * @param modelPath the base's GGUF: its architecture and heads say how PEFT's matrices become its own
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID (also a card that is not its own) · ADAPTER_SHAPE · MODEL_* · MODEL_FOLDER
 */
export async function findAdapter(path: string, modelPath: string): Promise<FoundAdapter> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new InwardError("ADAPTER_NOT_FOUND", `${path} is not there.`);
  // Hashing a device or a pipe would never end.
  if (!found.isDirectory() && !found.isFile())
    throw new InwardError("ADAPTER_INVALID", `${path} is a device or a pipe, not a file.`);
  if (found.isDirectory() || /\.safetensors$/i.test(path)) return convertedPeft(path, modelPath);
  const card = await readAdapterCard(path);
  return { path, card, sha256: card?.adapter.sha256 ?? (await sha256OfFile(path)) };
}

/** Part of a copy's name: another way of converting makes another copy. */
const CONVERSION = 2;

async function convertedPeft(given: string, modelPath: string): Promise<FoundAdapter> {
  const { architecture, headCount: heads, headCountKv: keyValueHeads = heads } = await inspectGguf(modelPath);
  if (heads === undefined || keyValueHeads === undefined) {
    throw new InwardError("TRAIN_MODEL", `${modelPath} does not say how many heads it has.`);
  }
  const base = { architecture, heads, keyValueHeads };
  const files = peftFiles(given);
  const convertedFrom = await hashesOf(files);
  const folder = makeModelFolder(join(modelFolder(), "adapters"));
  removeLeftovers(folder);
  const id = createHash("sha256").update(JSON.stringify([CONVERSION, convertedFrom, base]));
  const name = `${nameOf(files)}-${id.digest("hex").slice(0, 16)}.gguf`;
  const path = join(folder, name);
  const recorded = recordedChecksums(folder)[name]?.sha256;
  // A copy that is not what was recorded is made again: it costs little.
  if (recorded !== undefined && existsSync(path) && (await rememberedSha256(folder, [path])) === recorded)
    return { path, sha256: recorded, convertedFrom };
  const adapter: LoraAdapter = await importPeft(given, base);
  const after = await hashesOf(files);
  if (after.config !== convertedFrom.config || after.weights !== convertedFrom.weights)
    throw new InwardError("ADAPTER_INVALID", `${given} changed while it was read: try again when it is whole.`);
  const written = await writeAdapter(path, adapter).catch((error: unknown) => {
    if (!(error instanceof InwardError) || !error.code.startsWith("STORE_")) throw error;
    throw new InwardError("MODEL_FOLDER", `cannot convert ${given}: ${error.message}`, { cause: error });
  });
  recordChecksum(folder, name, { ...written, origin: `converted by inward from ${resolve(given)}` });
  return { path, sha256: written.sha256, convertedFrom };
}

async function hashesOf({ config, weights }: PeftFiles): Promise<{ config: string; weights: string }> {
  const hash = (path: string) =>
    sha256OfFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new InwardError("ADAPTER_INVALID", `${path} cannot be read (${error.code ?? error.message}).`, {
        cause: error,
      });
    });
  return { config: await hash(config), weights: await hash(weights) };
}

/** For a reader of the model folder. */
function nameOf({ config }: PeftFiles): string {
  return (
    basename(dirname(resolve(config)))
      .replace(/[^\w.-]+/g, "_")
      .slice(0, 60) || "peft"
  );
}
