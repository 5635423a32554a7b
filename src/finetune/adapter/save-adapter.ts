/**
 * Writes an adapter with its card and its README so that a crash leaves no adapter that looks finished without its card.
 *
 * The card holds the adapter's sha256, so the adapter has to be written first; it must appear last. So everything is written under
 * names that end in `.saving`, while the old files stand (a full disk costs nothing). Then, with renames only: the old adapter goes,
 * card and README come, and the adapter under its own name comes last. Whatever is killed in between, under the adapter's name there
 * is the old one with its own card, nothing, or the new one with its own card. The next save replaces what was left.
 */
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { InwardError } from "../../errors.js";
import { type WriteGgufOptions, writeFailure } from "../../model/gguf/write-gguf.js";
import type { AdapterCard } from "../../records/training.js";
import { writeJson, writeWhole } from "../../store/write-whole.js";
import { checkCard } from "./adapter-card.js";
import { type AdapterFiles, adapterFiles } from "./adapter-files.js";
import { adapterReadme, type ReadmeFacts } from "./adapter-readme.js";
import type { LoraAdapter } from "./lora-adapter.js";
import { writeAdapter } from "./write-adapter.js";

export interface SavedAdapter {
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
