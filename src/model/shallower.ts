// The copy of a model without some of its layers: another network, so that a predictor on it has its own weights to learn with.
import { InwardError } from "../errors.js";
import type { FetchedModel } from "./fetch-model.js";
import { layersToDrop, shallowerId } from "./gguf/layers-to-drop.js";
import { writeWithoutLayers } from "./gguf/write-without-layers.js";
import { ensureCopy } from "./model-copy.js";
import type { ReencodedRequest } from "./reencoded.js";

export interface ShallowerRequest extends Omit<ReencodedRequest, "encoding"> {
  /** Share of the layers that are removed. */
  readonly share: number;
}

/**
 * @returns the copy, `<id>.gguf` in the model folder, and its id: `<base's id>.without-layers-12-to-17-of-30`
 * @throws InwardError STUDY_INVALID as layersToDrop · MODEL_NOT_GGUF (no number of layers) · MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt
 * copy, set aside) · MODEL_TENSOR_TYPE · MODEL_FOLDER · INTERRUPTED
 */
export async function ensureShallower(request: ShallowerRequest): Promise<FetchedModel & { readonly id: string }> {
  const { base, share, folder, onProgress, signal } = request;
  const { summary } = base;
  if (summary.blockCount === undefined) {
    throw new InwardError("MODEL_NOT_GGUF", `${base.path} does not say how many layers it has`);
  }
  const layers = layersToDrop(summary.blockCount, share);
  const id = shallowerId(request.id, layers, summary.blockCount);
  const copy = await ensureCopy({
    base: { ...base, encoding: summary.encoding },
    folder,
    fileName: `${id}.gguf`,
    what: id,
    origin: `layers ${layers.join(", ")} of 0 to ${summary.blockCount - 1} removed by inward`,
    write: (from, to, options) => writeWithoutLayers(from, to, layers, options),
    onProgress,
    signal,
  });
  return { ...copy, id };
}
