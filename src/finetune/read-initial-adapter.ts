/** The adapter that a training goes on from: a GGUF, ours or llama.cpp's converter's, or a PEFT folder. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { sha256OfFile } from "../model/checksum.js";
import { inspectGguf } from "../model/gguf/inspect-gguf.js";
import { readAdapterCard } from "./adapter/adapter-card.js";
import { type BaseCheck, checkAdapterBase } from "./adapter/check-base.js";
import type { LoraAdapter } from "./adapter/lora-adapter.js";
import { importPeft } from "./adapter/peft/import-peft.js";
import { readAdapter } from "./adapter/read-adapter.js";

export interface InitialAdapter {
  readonly adapter: LoraAdapter;
  /** Of the file that holds the weights, hex. */
  readonly sha256: string;
  /** `no_card`: nothing but shapes says that it is this base's. `forced`: its card names another base. */
  readonly base: BaseCheck["base"];
}

export interface Base {
  readonly modelPath: string;
  readonly sha256: string;
}

/**
 * @param path a GGUF, or a folder with adapter_config.json and adapter_model.safetensors
 * @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID · ADAPTER_SHAPE · ADAPTER_BASE another base than its card's, unless forced · MODEL_*
 */
export async function readInitialAdapter(
  path: string,
  base: Base,
  options: { readonly force?: boolean } = {},
): Promise<InitialAdapter> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new InwardError("ADAPTER_NOT_FOUND", `${path} is not there.`);
  if (found.isDirectory()) return readPeftFolder(path, base.modelPath);
  const card = await readAdapterCard(path);
  return {
    base: checkAdapterBase(card, base.sha256, options).base,
    adapter: await readAdapter(path),
    sha256: card?.adapter.sha256 ?? (await sha256OfFile(path)),
  };
}

async function readPeftFolder(folder: string, modelPath: string): Promise<InitialAdapter> {
  const { headCount, headCountKv = headCount } = await inspectGguf(modelPath);
  if (headCount === undefined || headCountKv === undefined) {
    throw new InwardError("TRAIN_MODEL", `${modelPath} does not say how many heads it has.`);
  }
  return {
    base: "no_card",
    // Where the rows of PEFT's q and k go depends on the heads.
    adapter: await importPeft(folder, { heads: headCount, keyValueHeads: headCountKv }),
    sha256: await sha256OfFile(join(folder, "adapter_model.safetensors")),
  };
}
