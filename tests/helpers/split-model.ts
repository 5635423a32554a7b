/** Writes a model as several files, as llama.cpp's gguf-split does: all metadata in the first, tensors in all. */
import { join } from "node:path";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { OpenWeights } from "../../src/gguf/split-model.js";
import { copyTensor, writeGguf } from "../../src/gguf/write-gguf.js";

export interface SplitOptions {
  /** Of the metadata of one part, by its number from 0; what it gives is added last. */
  readonly metadata?: (part: number) => Readonly<Record<string, GgufValue>>;
}

/** @returns the paths of the parts, `<folder>/<name>-00001-of-0000N.gguf` and so on */
export async function splitModel(
  source: string,
  folder: string,
  name: string,
  parts: number,
  { metadata = () => ({}) }: SplitOptions = {},
): Promise<string[]> {
  const file = await readGguf(source);
  const weights = await OpenWeights.of(file);
  const pad = (number: number) => String(number).padStart(5, "0");
  const u16 = (value: number): GgufValue => ({ type: "u16", value });
  const paths: string[] = [];
  try {
    for (let part = 0; part < parts; part++) {
      const path = join(folder, `${name}-${pad(part + 1)}-of-${pad(parts)}.gguf`);
      const all = new Map<string, GgufValue | Uint8Array>(part === 0 ? file.encodedMetadata : []);
      all.set("split.no", u16(part)).set("split.count", u16(parts));
      all.set("split.tensors.count", { type: "i32", value: file.tensors.length });
      for (const [key, value] of Object.entries(metadata(part))) all.set(key, value);
      const cut = (at: number) => Math.round((at * file.tensors.length) / parts);
      const tensors = file.tensors
        .slice(cut(part), cut(part + 1))
        .map((tensor) => ({ ...tensor, chunks: () => copyTensor(weights, tensor) }));
      await writeGguf(path, all, tensors);
      paths.push(path);
    }
  } finally {
    await weights.close();
  }
  return paths;
}
