/** Reads a PEFT folder (adapter_config.json and adapter_model.safetensors) as an adapter with llama.cpp's names and order of rows. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InwardError } from "../../../errors.js";
import { checkPairs } from "../check-pairs.js";
import type { LoraAdapter, LoraMatrix } from "../lora-adapter.js";
import { loraName } from "../lora-names.js";
import { type BaseHeads, reorderRows } from "./base-heads.js";
import { parsePeftConfig } from "./peft-config.js";
import { peftPlace } from "./peft-names.js";
import { readSafetensors, type SafeTensor } from "./read-safetensors.js";

/**
 * @param base the model that the adapter is for; its head counts decide where q's and k's rows go
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID (names the field or the tensor) · ADAPTER_SHAPE
 */
export async function importPeft(folder: string, base: BaseHeads): Promise<LoraAdapter> {
  const configPath = join(folder, "adapter_config.json");
  const config = parsePeftConfig(await readConfig(folder, configPath), configPath);
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
    ...(config.baseModel !== undefined ? { baseName: config.baseModel } : {}),
    alpha: config.alpha,
    rank,
    tensors,
  };
}

async function readConfig(folder: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const there = await stat(folder).catch(() => undefined);
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw there?.isDirectory()
      ? new InwardError("ADAPTER_INVALID", `${folder} is no PEFT folder: adapter_config.json cannot be read (${code}).`)
      : new InwardError("ADAPTER_NOT_FOUND", `${folder}: no such folder.`);
  }
}

/** PyTorch's [rows, columns] and ggml's [columns, rows] are the same bytes. */
function toMatrix(name: string, { shape, values }: SafeTensor, path: string): LoraMatrix {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined)
    throw new InwardError("ADAPTER_INVALID", `${path}: tensor ${name} has shape [${shape.join(", ")}], not a matrix.`);
  return { dimensions: [columns, rows], values };
}
