/**
 * Control vectors as llama.cpp reads them from a GGUF: tensors `direction.N`, each added to what layer N ends with, at every token. N
 * counts layers from 0, and llama.cpp takes none of layer 0.
 */

import { InwardError } from "../errors.js";
import type { GgufTensor, GgufValue } from "../gguf/read-gguf.js";
import { openGguf, readFully, readGguf } from "../gguf/read-gguf.js";
import { type WrittenGguf, writeGguf } from "../gguf/write-gguf.js";
import type { Intervention } from "../model/interventions.js";

export interface ControlVector {
  readonly width: number;
  /** By layer, from 1 on: [width] what is added to residual_after of that layer. */
  readonly directions: ReadonlyMap<number, Float32Array>;
  /** Architecture that its maker names. */
  readonly modelHint?: string;
}

const NAME = /^direction\.([1-9]\d{0,5})$/;
const BYTES_OF_FLOAT = 4;

/**
 * @throws MODEL_NOT_FOUND, MODEL_NOT_GGUF, MODEL_TRUNCATED · PROBE_INVALID where llama.cpp would refuse it, would read another number
 * than is written there, or where a number is not finite
 */
export async function readControlVector(path: string): Promise<ControlVector> {
  const file = await readGguf(path);
  const directions = new Map<number, Float32Array>();
  const handle = await openGguf(path);
  try {
    for (const tensor of file.tensors) {
      const layer = Number(NAME.exec(tensor.name)?.[1]);
      if (!Number.isInteger(layer)) {
        throw refused(path, `the tensor ${JSON.stringify(tensor.name)}; they are direction.N, N from 1 on`);
      }
      if (directions.has(layer)) throw refused(path, `direction.${layer} twice`);
      const values = await readDirection(tensor, async (bytes) => {
        await readFully(handle, bytes, file.dataOffset + tensor.offset);
      });
      if (typeof values === "string") throw refused(path, `${tensor.name} ${values}`);
      directions.set(layer, values);
    }
  } finally {
    await handle.close();
  }
  const width = [...directions.values()][0]?.length;
  if (width === undefined) throw refused(path, "no direction.N");
  for (const [layer, { length }] of directions) {
    if (length !== width) throw refused(path, `directions of ${width} numbers, and direction.${layer} of ${length}`);
  }
  const hint = file.metadata.get("controlvector.model_hint");
  return { width, directions, ...(hint?.type === "string" ? { modelHint: hint.value } : {}) };
}

/** @returns what is wrong with it, in words */
async function readDirection(
  { type, dimensions, byteLength }: GgufTensor,
  read: (bytes: Uint8Array) => Promise<void>,
): Promise<Float32Array | string> {
  if (type !== "F32") return `of ${type}; llama.cpp reads F32`;
  if (dimensions.slice(1).some((one) => one !== 1)) return `of ${dimensions.join(" × ")} numbers; it should be one row`;
  const values = new Float32Array(byteLength / BYTES_OF_FLOAT);
  await read(new Uint8Array(values.buffer));
  const bad = values.findIndex((one) => !Number.isFinite(one));
  return bad < 0 ? values : `whose number ${bad + 1} is ${values[bad]}`;
}

function refused(path: string, what: string): InwardError {
  return new InwardError("PROBE_INVALID", `${path} is no control vector: it has ${what}.`);
}

/** Writes a file that llama.cpp and inward read. @throws PROBE_INVALID · STORE_* */
export async function writeControlVector(path: string, vector: ControlVector): Promise<WrittenGguf> {
  const { width, directions, modelHint } = vector;
  const layers = [...directions.keys()].sort((a, b) => a - b);
  if (layers.length === 0) throw new InwardError("PROBE_INVALID", "A control vector of no layer says nothing.");
  for (const layer of layers) {
    const values = directions.get(layer) as Float32Array;
    if (!NAME.test(`direction.${layer}`)) {
      throw new InwardError("PROBE_INVALID", `llama.cpp adds nothing to layer ${layer}: layers are 1, 2, …`);
    }
    if (values.length !== width || values.some((one) => !Number.isFinite(one))) {
      throw new InwardError(
        "PROBE_INVALID",
        `The direction of layer ${layer} has ${values.length} numbers; ${width} finite ones are needed.`,
      );
    }
  }
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "controlvector" }],
    ...(modelHint === undefined
      ? []
      : [["controlvector.model_hint", { type: "string", value: modelHint }] as [string, GgufValue]]),
    ["controlvector.layer_count", { type: "i32", value: layers.length }],
  ]);
  return writeGguf(
    path,
    metadata,
    layers.map((layer) => {
      const { buffer, byteOffset, byteLength } = directions.get(layer) as Float32Array;
      return {
        name: `direction.${layer}`,
        dimensions: [width],
        type: "F32" as const,
        chunks: () => [new Uint8Array(buffer, byteOffset, byteLength)],
      };
    }),
  );
}

export interface SteeringOptions {
  /** What the vector is multiplied by; below 0 it steers the other way. Default 1. */
  readonly strength?: number;
  /** Default: every token, as llama.cpp does it. */
  readonly tokens?: Intervention["tokens"];
  /** Of these layers alone. */
  readonly layers?: readonly number[];
}

/**
 * What a control vector does, as interventions; a model of another width or of fewer layers refuses them.
 * @throws PROBE_INVALID a layer that the vector has not
 */
export function controlInterventions(
  { directions }: ControlVector,
  { strength = 1, tokens = { from: 0 }, layers = [...directions.keys()] }: SteeringOptions = {},
): Intervention[] {
  return [...layers]
    .sort((a, b) => a - b)
    .map((layer): Intervention => {
      const values = directions.get(layer);
      if (values === undefined) throw new InwardError("PROBE_INVALID", `The control vector has no layer ${layer}.`);
      return { site: { part: "residual_after", layer }, tokens, operation: "add", values, factor: strength };
    });
}
