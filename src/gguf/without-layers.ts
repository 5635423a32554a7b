/** A smaller network made of a model's: some layers are taken out, the others move up, every weight that stays is as it was. */

import { InwardError } from "../errors.js";
import { type ReencodeOptions, requireWeights } from "./derived-copies.js";
import { type GgufFile, type GgufValue, readGguf, REMOVED_LAYERS_KEYS } from "./read-gguf.js";
import { OpenWeights } from "./split-model.js";
import { copyTensor, type TensorSource, writeGguf, type WrittenGguf } from "./write-gguf.js";

// Some architectures' layers are told apart by their number: moved up, they would compute something else than they did. Either the
// file can say of each layer what it is, or the copy is refused.

interface NumberedLayers {
  /** Layers of which each last of so many is global and the others local, where the file does not list them. */
  readonly usualPeriod?: number;
  /** The model with so many layers scales its queries in another way. */
  readonly layersOfLargest?: number;
  /** Each last of so many has no RoPE; no key says otherwise. */
  readonly withoutRope?: number;
}

const ARCHITECTURES: Readonly<Record<string, NumberedLayers>> = {
  llama: {},
  qwen2: {},
  qwen3: {},
  gemma: {},
  gemma2: { usualPeriod: 2, layersOfLargest: 46 },
  gemma3: { usualPeriod: 6, layersOfLargest: 62 },
  phi3: {},
  granite: {},
  smollm3: { withoutRope: 4 },
  olmo2: { usualPeriod: 4 },
};

/**
 * @param layers numbers from 0 of those to remove
 * @returns metadata that say of the layers which stay what their numbers no longer do
 * @throws InwardError STUDY_INVALID where no metadata can, or it is not known what an architecture's layers are
 */
export function keysOfNumberedLayers(
  { path, metadata }: Pick<GgufFile, "path" | "metadata">,
  layers: readonly number[],
): ReadonlyMap<string, GgufValue> {
  const name = String(metadata.get("general.architecture")?.value);
  const value = (key: string) => metadata.get(`${name}.${key}`)?.value;
  const refused = (why: string) =>
    new InwardError("STUDY_INVALID", `${path}: dropLayers takes no layers out of this ${name} model: ${why}.`);
  const kind = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (kind === undefined) {
    const known = Object.keys(ARCHITECTURES).join(", ");
    throw refused(`it is known of ${known} only what a layer computes under another number`);
  }
  const { usualPeriod, layersOfLargest, withoutRope } = kind;
  const of = Number(value("block_count"));
  const kept = Array.from({ length: of }, (_, layer) => layer).filter((layer) => !layers.includes(layer));
  if (layersOfLargest !== undefined && (of === layersOfLargest) !== (kept.length === layersOfLargest))
    throw refused(`with ${layersOfLargest} layers llama.cpp scales queries in another way than with any other number`);
  const isLast = (layer: number, period: number) => layer % period === period - 1;
  if (withoutRope !== undefined && kept.some((from, to) => isLast(from, withoutRope) !== isLast(to, withoutRope)))
    throw refused(`each ${withoutRope}th layer has no RoPE, so that only whole ${withoutRope}s of layers can go`);
  const window = metadata.get(`${name}.attention.sliding_window`);
  if (usualPeriod === undefined || (window === undefined && name !== "gemma2") || window?.value === 0) return new Map();
  const key = `${name}.attention.sliding_window_pattern`;
  const said = metadata.get(key);
  // A list is cut with the other lists.
  if (said?.type === "array") return new Map();
  const period = said === undefined ? usualPeriod : Number(said.value);
  const local = kept.map((layer) => period === 0 || !isLast(layer, period));
  return new Map([[key, { type: "array", elementType: "bool", value: local }]]);
}

const LAYER_TENSOR = /^blk\.(\d+)\.(.+)$/;
/** Keys that may have a value for each layer instead of one for all. */
const BY_LAYER = [
  "attention.head_count",
  "attention.head_count_kv",
  "attention.sliding_window_pattern",
  "feed_forward_length",
];

/**
 * Metadata stay as they are, byte for byte, but for the number of layers and general.name; three keys say what was removed of what.
 * @param layers numbers from 0 of those to remove
 * @throws InwardError STUDY_INVALID as keysOfNumberedLayers, and what readGguf and writeGguf throw
 */
export async function writeWithoutLayers(
  sourcePath: string,
  targetPath: string,
  layers: readonly number[],
  options: ReencodeOptions,
): Promise<WrittenGguf> {
  const source = await readGguf(sourcePath);
  requireWeights(source);
  const weights = await OpenWeights.of(source);
  try {
    const tensors = source.tensors.flatMap((tensor): TensorSource[] => {
      const name = newName(tensor.name, layers);
      return name === undefined ? [] : [{ ...tensor, name, chunks: () => copyTensor(weights, tensor) }];
    });
    const metadata = metadataWithout(source, layers, options.sourceSha256);
    return await writeGguf(targetPath, metadata, tensors, { ...options, alignment: source.alignment });
  } finally {
    await weights.close();
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
  source: GgufFile,
  layers: readonly number[],
  sourceSha256: string,
): Map<string, GgufValue | Uint8Array> {
  const { metadata, encodedMetadata } = source;
  const architecture = String(metadata.get("general.architecture")?.value);
  const of = Number(metadata.get(`${architecture}.block_count`)?.value);
  const name = metadata.get("general.name")?.value ?? "a model";
  const changed = new Map<string, GgufValue | Uint8Array>(encodedMetadata);
  for (const key of BY_LAYER.map((one) => `${architecture}.${one}`)) {
    const found = metadata.get(key);
    if (found?.type !== "array") continue;
    changed.set(key, { ...found, value: found.value.filter((_, layer) => !layers.includes(layer)) });
  }
  for (const [key, value] of keysOfNumberedLayers(source, layers)) changed.set(key, value);
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const string = (value: string): GgufValue => ({ type: "string", value });
  changed.set("general.name", string(`${name} without ${layers.length} of ${of} layers`));
  changed.set(`${architecture}.block_count`, u32(of - layers.length));
  changed.set(REMOVED_LAYERS_KEYS.sourceSha256, string(sourceSha256));
  changed.set(REMOVED_LAYERS_KEYS.of, u32(of));
  changed.set(REMOVED_LAYERS_KEYS.layers, { type: "array", elementType: "u32", value: layers });
  return changed;
}
