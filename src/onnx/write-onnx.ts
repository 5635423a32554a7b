/** Writes a model as a folder that onnxruntime and transformers.js read: graph, weights, tokenizer and settings. */

import { constants } from "node:fs";
import { copyFile, link, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writeError, writeJson, writeWhole } from "../base/files.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import { type GgufFile, readGguf } from "../gguf/read-gguf.js";
import { type Decoder, readDecoder } from "./decoder.js";
import { decoderGraph, type GraphOptions } from "./decoder-graph.js";
import {
  COPIES,
  copiedBytes,
  FileWeights,
  type MatrixCounts,
  type OnnxQuantization,
  partName,
} from "./graph-weights.js";
import { encodeModel } from "./model-proto.js";
import { type WrittenTokenizer, type TokenizerSource, tokenizerFiles } from "./tokenizer-files.js";

export interface WriteOnnxOptions extends GraphOptions {
  /** Default `none`: the weights as floats. */
  readonly quantization?: OnnxQuantization;
  /** Of MatMulNBits: 4 rounds activations to 8 bits by blocks, 0 (the default) keeps them. */
  readonly accuracyLevel?: 0 | 4;
  /** Whether a second graph stands beside it over the same weights that gives out every layer's hidden states too. Default false. */
  readonly statesBeside?: boolean;
  /** What transformers.js is to have of tokenizer and template; without it the folder holds the graph alone. */
  readonly tokenizer?: TokenizerSource;
}

export interface WrittenOnnx {
  readonly folder: string;
  /** The graph's path. */
  readonly path: string;
  /** With `statesBeside`. */
  readonly statesPath?: string;
  readonly decoder: Decoder;
  /** Graph and weights, wherever the weights lie. */
  readonly bytes: number;
  /** Of the weights alone. */
  readonly weightBytes: number;
  /** By what they are in the graph, such as `4 bits in blocks of 32`. */
  readonly weights: Readonly<Record<string, number>>;
  /** Of weights that had to be decoded or rounded, and of a model's file that could not be linked. */
  readonly copiedBytes: number;
  readonly matrices: MatrixCounts;
  /** Why there are no tokenizer files though they were wanted. */
  readonly withoutTokenizer?: string;
}

/**
 * @param path a GGUF, or the first of a split one
 * @param folder made where it is missing; the graph comes last, so that a folder with one is whole
 * @throws ONNX_MODEL what is not written, with the reason · STORE_DISK_FULL, STORE_UNWRITABLE · MODEL_*
 */
export async function writeOnnx(path: string, folder: string, options: WriteOnnxOptions = {}): Promise<WrittenOnnx> {
  const { tokenizer, statesBeside } = options;
  const file = await readGguf(path);
  const { decoder, weights, graph } = await graphOf(file, options);
  const inside = join(folder, "onnx");
  const graphPath = join(inside, "model.onnx");
  let linkedCopies = 0;
  try {
    makeFolder(inside);
    await rm(graphPath, { force: true });
    for (const part of weights.parts) {
      const from = (file.parts[part] as { path: string }).path;
      if (!(await linkOrCopy(from, join(inside, partName(part))))) linkedCopies += (await stat(from)).size;
    }
  } catch (error) {
    throw writeError(error, inside);
  }
  if (weights.copies.length > 0) await writeWhole(join(inside, COPIES), copiedBytes(file, weights.copies));
  const { files = {}, why } = tokenizer ? filesOrReason(() => tokenizerFiles(file, decoder, tokenizer)) : {};
  for (const [name, content] of Object.entries(files)) await writeJson(join(folder, name), content);
  const statesPath = join(inside, "hidden_states.onnx");
  if (statesBeside) await writeWhole(statesPath, (await graphOf(file, { ...options, hiddenStates: true })).graph);
  await writeWhole(graphPath, graph);
  return {
    folder,
    path: graphPath,
    ...(statesBeside ? { statesPath } : {}),
    decoder,
    bytes: graph.length + weights.bytes,
    weightBytes: weights.bytes,
    weights: weights.kinds,
    copiedBytes: weights.copiedBytes + linkedCopies,
    matrices: weights.matrices,
    ...(why === undefined ? {} : { withoutTokenizer: why }),
  };
}

async function graphOf(
  file: GgufFile,
  { quantization = "none", accuracyLevel = 0, hiddenStates }: WriteOnnxOptions,
  asIf: GgufFile = file,
): Promise<{ readonly decoder: Decoder; readonly weights: FileWeights; readonly graph: Uint8Array }> {
  const decoder = await readDecoder(file);
  const weights = new FileWeights(asIf, decoder, quantization, accuracyLevel);
  const graph = encodeModel(decoderGraph(decoder, weights, { hiddenStates }), `inward ${INWARD_VERSION}`);
  return { decoder, weights, graph };
}

/**
 * What a graph of the file's weights as floats comes to, graph and weights, bytes; nothing is written, no weight is read.
 * @throws ONNX_MODEL
 */
export async function onnxBytes(file: GgufFile, options: WriteOnnxOptions = {}): Promise<number> {
  const tensors = file.tensors.map((tensor) => ({ ...tensor, type: "F32" as const }));
  const { graph, weights } = await graphOf(file, options, { ...file, tensors });
  return graph.length + weights.bytes;
}

/** A graph is of use without a tokenizer. */
function filesOrReason(make: () => WrittenTokenizer): { readonly files?: WrittenTokenizer; readonly why?: string } {
  try {
    return { files: make() };
  } catch (error) {
    if (error instanceof InwardError && error.code === "ONNX_MODEL") return { why: error.message };
    throw error;
  }
}

/**
 * onnxruntime follows no symbolic link out of the graph's folder, so the file gets a second name in there; on another disk it is copied.
 * @returns whether it is the same file
 */
async function linkOrCopy(from: string, to: string): Promise<boolean> {
  await rm(to, { force: true });
  try {
    await link(from, to);
    return true;
  } catch {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return false;
  }
}
