/** An adapter of the reference as the file that stock llama.cpp loads, written with nothing of ours that knows adapters. */
import type { GgufValue } from "../../../src/gguf/read-gguf.js";
import { writeGguf } from "../../../src/gguf/write-gguf.js";
import type { ReferenceAdapter } from "./adapter.js";

/** @param alpha the adapter's scale times its rank */
export async function writeReferenceAdapter(
  path: string,
  adapter: ReferenceAdapter,
  alpha: number,
  architecture = "llama",
): Promise<void> {
  const metadata = new Map<string, GgufValue>([
    ["general.type", { type: "string", value: "adapter" }],
    ["general.architecture", { type: "string", value: architecture }],
    ["adapter.type", { type: "string", value: "lora" }],
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ]);
  const tensors = [...adapter.tensors].map(([name, { rows, columns, values }]) => ({
    name,
    dimensions: [columns, rows],
    type: "F32" as const,
    chunks: () => [new Uint8Array(Float32Array.from(values).buffer)],
  }));
  await writeGguf(path, metadata, tensors);
}
