/** An adapter of rank 1 as directions in the residual stream. */

import { InwardError } from "../errors.js";
import { loraPlace } from "../finetune/adapter/projections.js";
import { readAdapter } from "../finetune/adapter/saved-adapter.js";
import { readGguf } from "../gguf/read-gguf.js";
import { siteName, stateShapeOf } from "../model/sites.js";
import { writeDirections } from "./direction-file.js";
import { lengthOfVector } from "../base/vectors.js";

export interface AdapterVector {
  /** Where it is added: `attention_output.3`, `mlp_output.3`. */
  readonly site: string;
  /** alpha · B: what is added where the pair's reading, A times its input, is 1. In the units of the states. */
  readonly values: Float32Array;
  readonly norm: number;
}

export interface AdapterVectors {
  readonly vectors: readonly AdapterVector[];
  /** Matrices of the adapter that write into no residual stream, such as `blk.3.attn_q`: their pairs are no vectors of it. */
  readonly elsewhere: readonly string[];
}

/** Matrices that write into the residual stream, and what they write. */
const WRITERS = { attn_output: "attention_output", ffn_down: "mlp_output" } as const;

/**
 * An adapter of rank 1 as vectors: what each of its pairs adds to the residual stream is one direction, more or less of it by what the pair reads.
 * @param model path of the base: norms behind a matrix would turn the direction
 * @param out safetensors of directions, a tensor a site, as `steer` reads them; nothing is written where absent
 * @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID · MODEL_* · PROBE_INVALID another rank, no pair that writes there, a base of another width or with norms behind
 */
export async function adapterVectors(path: string, model: string, out?: string): Promise<AdapterVectors> {
  const [{ rank, alpha, architecture, tensors }, base] = [await readAdapter(path), await readGguf(model)];
  const refuse = (why: string): never => {
    throw new InwardError("PROBE_INVALID", `${path} is no adapter of vectors: ${why}.`);
  };
  if (rank !== 1)
    refuse(`its rank is ${rank}, and each of its pairs adds ${rank} directions, mixed anew for every input`);
  const shape = stateShapeOf(base, model);
  const names = new Set(base.tensors.map(({ name }) => name));
  const vectors: AdapterVector[] = [];
  const elsewhere: string[] = [];
  for (const [name, { values }] of tensors) {
    const place = loraPlace(name, architecture);
    if (place?.half !== "b") continue;
    const { layer, matrix } = place;
    const part = WRITERS[matrix.tensor as keyof typeof WRITERS];
    if (part === undefined) {
      elsewhere.push(`blk.${layer}.${matrix.tensor}`);
      continue;
    }
    const behind = `blk.${layer}.${part === "mlp_output" ? "post_ffw_norm" : "post_attention_norm"}.weight`;
    if (names.has(behind)) refuse(`${behind} of ${model} norms what ${matrix.tensor} writes`);
    if (values.length !== shape.embedding)
      refuse(`its vectors have ${values.length} numbers, and states of ${model} have ${shape.embedding}`);
    const own = values.map((value) => alpha * value);
    vectors.push({ site: siteName({ part, layer }), values: own, norm: lengthOfVector(own) });
  }
  if (vectors.length === 0)
    refuse(`none of its pairs writes into the residual stream (${elsewhere.join(", ") || "it has none"})`);
  if (out !== undefined) await writeDirections(out, new Map(vectors.map(({ site, values }) => [site, values])));
  return { vectors, elsewhere };
}
