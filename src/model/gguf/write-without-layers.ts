/** A smaller network made of a model's: some layers are taken out, the others move up, every weight that stays is as it was. */
import { type GgufFile, type GgufValue, REMOVED_LAYERS_KEYS } from "./gguf-file.js";
import { copyTensor } from "./copy-tensor.js";
import { openModel, readGguf } from "./read-gguf.js";
import { type ReencodeOptions, requireWholeModel } from "./reencode.js";
import { type TensorSource, type WrittenGguf, writeGguf } from "./write-gguf.js";

const LAYER_TENSOR = /^blk\.(\d+)\.(.+)$/;
/** Keys that may have a value for each layer instead of one for all. */
const BY_LAYER = ["attention.head_count", "attention.head_count_kv", "feed_forward_length"];

/**
 * Metadata stay as they are, byte for byte, but for the number of layers and general.name; three keys say what was removed of what.
 * @param layers numbers from 0 of those to remove
 * @throws InwardError MODEL_TENSOR_TYPE (one part of a split model), and what readGguf and writeGguf throw
 */
export async function writeWithoutLayers(
  sourcePath: string,
  targetPath: string,
  layers: readonly number[],
  options: ReencodeOptions,
): Promise<WrittenGguf> {
  const source = await readGguf(sourcePath);
  requireWholeModel(source);
  const file = await openModel(sourcePath);
  try {
    const tensors = source.tensors.flatMap((tensor): TensorSource[] => {
      const name = newName(tensor.name, layers);
      return name === undefined ? [] : [{ ...tensor, name, chunks: () => copyTensor(file, source, tensor) }];
    });
    const metadata = metadataWithout(source, layers, options.sourceSha256);
    return await writeGguf(targetPath, metadata, tensors, { ...options, alignment: source.alignment });
  } finally {
    await file.close();
  }
}

/** Undefined for a tensor of a removed layer. */
function newName(name: string, layers: readonly number[]): string | undefined {
  const [, number, rest] = LAYER_TENSOR.exec(name) ?? [];
  if (number === undefined) return name;
  if (layers.includes(Number(number))) return undefined;
  return `blk.${Number(number) - layers.filter((removed) => removed < Number(number)).length}.${rest}`;
}

function metadataWithout(
  { metadata, encodedMetadata }: GgufFile,
  layers: readonly number[],
  sourceSha256: string,
): Map<string, GgufValue | Uint8Array> {
  const architecture = String(metadata.get("general.architecture")?.value);
  const of = Number(metadata.get(`${architecture}.block_count`)?.value);
  const name = metadata.get("general.name")?.value ?? "a model";
  const changed = new Map<string, GgufValue | Uint8Array>(encodedMetadata);
  for (const key of BY_LAYER.map((one) => `${architecture}.${one}`)) {
    const found = metadata.get(key);
    if (found?.type !== "array") continue;
    changed.set(key, { ...found, value: found.value.filter((_, layer) => !layers.includes(layer)) });
  }
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const string = (value: string): GgufValue => ({ type: "string", value });
  changed.set("general.name", string(`${name} without ${layers.length} of ${of} layers`));
  changed.set(`${architecture}.block_count`, u32(of - layers.length));
  changed.set(REMOVED_LAYERS_KEYS.sourceSha256, string(sourceSha256));
  changed.set(REMOVED_LAYERS_KEYS.of, u32(of));
  changed.set(REMOVED_LAYERS_KEYS.layers, { type: "array", elementType: "u32", value: layers });
  return changed;
}
