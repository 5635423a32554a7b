/** Reads a LoRA adapter's GGUF, ours or llama.cpp's converter's, and refuses what llama.cpp would refuse or abort on. */
import type { FileHandle } from "node:fs/promises";
import { InwardError } from "../../errors.js";
import { canDequantize, dequantize } from "../../model/gguf/dequantize.js";
import type { GgufFile, GgufTensor } from "../../model/gguf/gguf-file.js";
import { openModel, readFully, readGguf } from "../../model/gguf/read-gguf.js";
import { adapterFailure } from "./adapter-failure.js";
import { checkPairs } from "./check-pairs.js";
import type { LoraAdapter, LoraMatrix } from "./lora-adapter.js";

/**
 * @returns every value as float32, whatever the file's type; an alpha that is absent or 0 as the rank, for llama.cpp then scales by 1
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID
 */
export async function readAdapter(path: string): Promise<LoraAdapter> {
  try {
    const file = await readGguf(path);
    checkKind(file);
    const tensors = await readTensors(file);
    const rank = checkPairs(tensors, path);
    const skipped = file.tensors.filter(isSkipped).map((tensor) => tensor.name);
    return {
      ...(text(file, "general.name") !== undefined ? { name: text(file, "general.name") as string } : {}),
      ...(text(file, "general.base_model.0.name") !== undefined
        ? { baseName: text(file, "general.base_model.0.name") as string }
        : {}),
      alpha: alphaOf(file) || rank,
      rank,
      tensors,
      ...(skipped.length > 0 ? { skipped } : {}),
    };
  } catch (error) {
    throw adapterFailure(error);
  }
}

const isSkipped = (tensor: GgufTensor) => tensor.name.endsWith("_norm.weight");

function checkKind(file: GgufFile): void {
  const wanted = [
    ["general.type", "adapter"],
    ["general.architecture", "llama"],
    ["adapter.type", "lora"],
  ] as const;
  for (const [key, value] of wanted) {
    const found = text(file, key);
    if (found !== value)
      throw invalid(file, `${key} is ${found === undefined ? "missing" : JSON.stringify(found)}, not "${value}"`);
  }
  // Works only after certain tokens: as a plain LoRA it would be another adapter.
  if (file.metadata.has("adapter.alora.invocation_tokens")) throw invalid(file, "it is an activated LoRA (aLoRA)");
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
  const handle = await openModel(file.path);
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
  return new InwardError("ADAPTER_INVALID", `${file.path} is no LoRA adapter for llama models: ${what}`);
}
