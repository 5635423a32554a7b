/** An adapter with some of its layers switched off: a file with the pairs of the others, byte for byte. */

import { OpenWeights } from "../../gguf/split-model.js";
import { readGguf } from "../../gguf/read-gguf.js";
import { copyTensor, type WriteGgufOptions, type WrittenGguf, writeGguf } from "../../gguf/write-gguf.js";
import { InwardError } from "../../errors.js";
import { readAdapter } from "./saved-adapter.js";

const LAYER = /^blk\.(\d+)\./;

/** @returns layers in which the adapter has pairs, ascending @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID */
export async function adapterLayers(path: string): Promise<number[]> {
  const { tensors } = await readAdapter(path);
  const layers = new Set<number>();
  for (const name of tensors.keys()) {
    const layer = LAYER.exec(name)?.[1];
    if (layer !== undefined) layers.add(Number(layer));
  }
  return [...layers].sort((a, b) => a - b);
}

/**
 * Writes the adapter without the pairs of other layers; pairs of no layer (the output, the embeddings) stay. It has no card: what it is can be told
 * from the whole adapter and the layers alone.
 * @param layers that stay on
 * @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID · PROBE_INVALID a layer in which the adapter has nothing, or nothing that stays · STORE_*
 */
export async function writeAdapterLayers(
  path: string,
  out: string,
  layers: readonly number[],
  options: WriteGgufOptions = {},
): Promise<WrittenGguf> {
  const has = await adapterLayers(path);
  const missing = layers.find((layer) => !has.includes(layer));
  if (missing !== undefined) {
    throw new InwardError(
      "PROBE_INVALID",
      `${path} has nothing in layer ${missing}; it has the layers ${has.join(", ")}.`,
    );
  }
  const file = await readGguf(path);
  const stays = file.tensors.filter(({ name }) => {
    const layer = LAYER.exec(name)?.[1];
    return layer === undefined || layers.includes(Number(layer));
  });
  if (stays.length === 0) {
    throw new InwardError("PROBE_INVALID", `Nothing of ${path} stays on: ask the base without an adapter.`);
  }
  const weights = await OpenWeights.of(file);
  try {
    return await writeGguf(
      out,
      file.encodedMetadata,
      stays.map((tensor) => ({ ...tensor, chunks: () => copyTensor(weights, tensor) })),
      { ...options, alignment: file.alignment },
    );
  } finally {
    await weights.close();
  }
}
