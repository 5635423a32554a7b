// From a source's file to the file that runs: layers taken out, weights rounded, weights encoded, each step a copy of its own.
import type { ModelFile } from "../records/model-state.js";
import type { StudyModel } from "../records/study.js";
import type { FetchedModel } from "./fetch-model.js";
import { ensureReencoded, type ReencodedRequest } from "./reencoded.js";
import { ensureShallower } from "./shallower.js";

export interface DerivedModel {
  readonly file: FetchedModel;
  /** What the record of the file says of how it came to be. */
  readonly made: Pick<ModelFile, "reencodedFrom" | "roundedTo" | "layersRemoved">;
}

/**
 * @param request the source's file, and the id that its copies are called after
 * @throws InwardError what ensureShallower and ensureReencoded throw
 */
export async function deriveModel(
  request: Omit<ReencodedRequest, "encoding">,
  { encoding, roundedTo, dropLayers }: Omit<StudyModel, "source">,
): Promise<DerivedModel> {
  // First, so that what is quantized or written out is the smaller network.
  const net =
    dropLayers === undefined
      ? { ...request.base, id: request.id }
      : await ensureShallower({ ...request, share: dropLayers });
  const rounded =
    roundedTo === undefined ? net : await ensureReencoded({ ...request, base: net, id: net.id, encoding: roundedTo });
  // A file that was quantized so when it came is its own rounding.
  const id = rounded.path === net.path ? net.id : `${net.id}.${roundedTo}`;
  const file = encoding === "as_shipped" ? rounded : await ensureReencoded({ ...request, base: rounded, id, encoding });
  const { layersRemoved } = file.summary;
  return {
    file,
    made: {
      ...(file.path === net.path ? {} : { reencodedFrom: { sha256: net.sha256, encoding: net.summary.encoding } }),
      ...(roundedTo === undefined ? {} : { roundedTo: { fileType: roundedTo, sha256: rounded.sha256 } }),
      ...(layersRemoved === undefined ? {} : { layersRemoved }),
    },
  };
}
