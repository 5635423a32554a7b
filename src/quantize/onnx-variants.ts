/** ONNX graphs as files of a benchmark: which kinds there are, and each made once of the source, beside the models. */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { makeFolder, readJson, removePartials, writeJson } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { readGguf } from "../gguf/read-gguf.js";
import { makeModelFolder, modelFolder, rememberedSha256 } from "../model/model-file.js";
import { readDecoder } from "../onnx/decoder.js";
import { COPIES } from "../onnx/graph-weights.js";
import { ONNX_RUNTIME, requireOnnxRuntime } from "../onnx/onnx-packages.js";
import { type WriteOnnxOptions, writeOnnx, type WrittenOnnx } from "../onnx/write-onnx.js";
import type { ModelFile } from "../study/plan.js";
import type { GraphFile } from "./compare-logits.js";

interface OnnxKind extends Required<Pick<WriteOnnxOptions, "quantization" | "accuracyLevel">> {
  /** What is computed, in words. */
  readonly arithmetic: string;
}

const BLOCKS = (bits: 4 | 8, activations: string) =>
  `MatMulNBits, ${bits} bits a weight in blocks of 32, rounded to the nearest, ${activations}`;
const FLOATS = "activations in single precision";
const ROUNDED = "activations rounded to 8 bits by row and block";

/** By their names in a benchmark. */
export const ONNX_KINDS = {
  onnx_f32: { quantization: "none", accuracyLevel: 0, arithmetic: "the source's weights in single precision" },
  onnx_int8: { quantization: "nbits8", accuracyLevel: 0, arithmetic: BLOCKS(8, FLOATS) },
  onnx_int8_a8: { quantization: "nbits8", accuracyLevel: 4, arithmetic: BLOCKS(8, ROUNDED) },
  onnx_int4: { quantization: "nbits4", accuracyLevel: 0, arithmetic: BLOCKS(4, FLOATS) },
  onnx_int4_a8: { quantization: "nbits4", accuracyLevel: 4, arithmetic: BLOCKS(4, ROUNDED) },
  onnx_dynamic_int8: {
    quantization: "int8",
    accuracyLevel: 0,
    arithmetic:
      "MatMulInteger, 8 bits a weight by output, activations rounded to 8 bits by all rows that are computed together",
  },
} as const satisfies Readonly<Record<string, OnnxKind>>;
export type OnnxKindName = keyof typeof ONNX_KINDS;
export const ONNX_KIND_NAMES = Object.keys(ONNX_KINDS) as [OnnxKindName, ...OnnxKindName[]];

export function isOnnxKind(name: string): name is OnnxKindName {
  return Object.hasOwn(ONNX_KINDS, name);
}

export function onnxArithmetic(kind: OnnxKindName): string {
  return `${ONNX_RUNTIME}: ${ONNX_KINDS[kind].arithmetic}`;
}

/** Said before anything is fetched or computed. @throws ONNX_PACKAGES */
export function requireOnnxFor(types: readonly string[]): void {
  if (types.some(isOnnxKind)) requireOnnxRuntime();
}

/** A graph with its weights, as it lies beside the models. */
export interface MadeGraph extends Pick<WrittenOnnx, "bytes" | "weightBytes" | "weights" | "matrices"> {
  readonly path: string;
  /** Of graph and copied weights; those that lie in the source's file are the source's. */
  readonly sha256: string;
  readonly graph: Omit<GraphFile, "path">;
}

/** What is kept of it beside the graph, last: a folder with it is whole. */
interface GraphRecord extends Omit<MadeGraph, "path"> {
  readonly origin: string;
  readonly source: string;
}

const RECORD = "made.json";

/**
 * Made where it is not there yet: the same source and kind give the same bytes.
 * @throws ONNX_MODEL where no graph is written of the source · MODEL_FOLDER, STORE_* · STORE_CORRUPT for one that was changed
 */
export async function ensureGraph(
  { path, sha256 }: Pick<ModelFile, "path" | "sha256">,
  kind: OnnxKindName,
): Promise<MadeGraph> {
  const models = makeModelFolder(modelFolder());
  const folder = join(models, `${basename(path).replace(/\.gguf$/i, "")}-${sha256.slice(0, 12)}.${kind}`);
  const origin = `written by inward ${INWARD_VERSION} as ${kind}`;
  const { quantization, accuracyLevel } = ONNX_KINDS[kind];
  const record = join(folder, RECORD);
  const graphPath = join(folder, "onnx", "model.onnx");
  const known = existsSync(record) ? await readJson<GraphRecord>(record) : undefined;
  if (known?.origin === origin && known.source === sha256) {
    const found = existsSync(graphPath) ? await sha256Of(models, graphPath) : "nothing";
    if (found === known.sha256) return { ...known, path: graphPath };
    throw new InwardError(
      "STORE_CORRUPT",
      `${folder} was made with the sha256 ${known.sha256} and has ${found}; delete it, and it is made again.`,
    );
  }
  makeFolder(dirname(graphPath));
  await removePartials(dirname(graphPath));
  const { bytes, weightBytes, weights, matrices, decoder } = await writeOnnx(path, folder, {
    quantization,
    accuracyLevel,
  });
  const { keyValueHeads, headWidth, vocabulary } = decoder;
  const made = {
    sha256: await sha256Of(models, graphPath),
    bytes,
    weightBytes,
    weights,
    matrices,
    graph: { cacheShape: [keyValueHeads, headWidth] as const, vocabulary },
  };
  await writeJson(record, { ...made, origin, source: sha256 } satisfies GraphRecord);
  return { ...made, path: graphPath };
}

function sha256Of(models: string, graphPath: string): Promise<string> {
  const copies = join(dirname(graphPath), COPIES);
  return rememberedSha256(models, existsSync(copies) ? [graphPath, copies] : [graphPath]);
}

/** Before anything is made of it. @throws ONNX_MODEL */
export async function requireGraphs(path: string): Promise<void> {
  await readDecoder(await readGguf(path));
}
