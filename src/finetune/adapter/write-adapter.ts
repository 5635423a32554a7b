/** Writes an adapter as a GGUF that stock llama.cpp loads (`--lora`). */
import { InwardError } from "../../errors.js";
import type { GgufValue } from "../../model/gguf/gguf-file.js";
import { type WriteGgufOptions, type WrittenGguf, writeGguf } from "../../model/gguf/write-gguf.js";
import { checkPairs } from "./check-pairs.js";
import type { LoraAdapter } from "./lora-adapter.js";

/**
 * All tensors F32. The file is there whole or not at all, and the same adapter gives the same bytes.
 * @throws InwardError ADAPTER_INVALID for what no reader would take back (a half pair, two ranks, NaN, an alpha that is not above 0)
 * · STORE_DISK_FULL · STORE_UNWRITABLE · INTERRUPTED
 */
export async function writeAdapter(
  path: string,
  adapter: LoraAdapter,
  options: WriteGgufOptions = {},
): Promise<WrittenGguf> {
  const rank = checkPairs(adapter.tensors, path);
  if (rank !== adapter.rank)
    throw new InwardError("ADAPTER_INVALID", `${path}: its tensors have rank ${rank}, not ${adapter.rank}`);
  // llama.cpp reads an alpha of 0 as "not scaled", the opposite of what it says.
  const alpha = Math.fround(adapter.alpha);
  if (!(alpha > 0 && alpha < Number.POSITIVE_INFINITY))
    throw new InwardError("ADAPTER_INVALID", `${path}: alpha is ${adapter.alpha}, not a positive number`);
  const tensors = [...adapter.tensors].map(([name, { dimensions, values }]) => ({
    name,
    dimensions,
    type: "F32" as const,
    chunks: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  }));
  return writeGguf(path, metadata(adapter), tensors, options);
}

function metadata({ alpha, name, baseName }: LoraAdapter): Map<string, GgufValue> {
  const string = (value: string): GgufValue => ({ type: "string", value });
  const entries: [string, GgufValue][] = [
    ["general.type", string("adapter")],
    ["general.architecture", string("llama")],
    ["general.name", string(name ?? `LoRA for ${baseName ?? "an unnamed base"}`)],
    ["adapter.type", string("lora")],
    // Single precision: llama.cpp aborts the process on any other type.
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ];
  if (baseName !== undefined) {
    entries.push(["general.base_model.count", { type: "u32", value: 1 }]);
    entries.push(["general.base_model.0.name", string(baseName)]);
  }
  return new Map(entries);
}
