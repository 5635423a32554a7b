/** Writes an adapter as a folder that PEFT loads: adapter_model.safetensors and adapter_config.json. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { InwardError } from "../../../errors.js";
import { LORA_TARGETS } from "../../../records/training.js";
import { writeError } from "../../../store/file-errors.js";
import { writeWhole } from "../../../store/write-whole.js";
import { checkPairs } from "../check-pairs.js";
import type { LoraAdapter } from "../lora-adapter.js";
import { loraName, loraPlace } from "../lora-names.js";
import { type BaseHeads, reorderRows } from "./base-heads.js";
import { formatPeftConfig } from "./peft-config.js";
import { peftModule, peftModulePath, peftName } from "./peft-names.js";
import type { SafeTensor } from "./read-safetensors.js";
import { writeSafetensors } from "./write-safetensors.js";

export interface PeftBase extends BaseHeads {
  readonly layers: number;
  /** What PEFT shall load the base from: a Hugging Face name or a folder. The GGUF does not say it. */
  readonly name?: string;
}

export interface ExportPeftOptions {
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
    ...(baseModel !== undefined ? { baseModel } : {}),
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
