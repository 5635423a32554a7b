/** The files of a benchmark: a source of floats, what llama.cpp's quantizer makes of it, and files that were made elsewhere. */

import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { hashOf } from "../base/files.js";
import { InwardError } from "../errors.js";
import {
  GGML_TYPES,
  type GgmlTypeName,
  holdsFloats,
  needsImatrix,
  VARIANT_TYPES,
  type VariantTypeName,
} from "../gguf/encodings.js";
import { type ImportanceMatrix, requireFits } from "../gguf/imatrix.js";
import { weightsByType } from "../gguf/inspect-gguf.js";
import { type GgufFile, readGguf } from "../gguf/read-gguf.js";
import { ensureCopy } from "../model/derived-models.js";
import { makeModelFolder, modelFolder, type OnModelProgress } from "../model/model-file.js";
import { findAddon } from "../model/native/addon.js";
import { requantizeGguf } from "../model/requantize.js";
import { ONNX_RUNTIME } from "../onnx/onnx-packages.js";
import { resolveModel } from "../model/resolve-model.js";
import type { ModelFile } from "../study/plan.js";
import type { GraphFile } from "./compare-logits.js";
import { ensureGraph, isOnnxKind, ONNX_KINDS, type OnnxKindName, requireGraphs } from "./onnx-variants.js";

/** One file of a benchmark: a row of its table. */
export interface Variant {
  /** Unique: `source`, the type that was made, or the name that a file of the user's has. */
  readonly name: string;
  /** `source` what the others are held against · `made` here, of it · `given` made elsewhere. */
  readonly kind: "source" | "made" | "given";
  /** What evaluates it: inward, a GGUF; onnxruntime, an ONNX graph. */
  readonly engine: "inward" | "onnxruntime";
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly parameters: number;
  /** Of the tensors, without the header; of a graph, for each weight of the source. */
  readonly bitsPerWeight: number;
  /** Weights by the type of their tensors, most first; of a graph by what they are there, an embedding that makes logits too perhaps twice. */
  readonly weights: Readonly<Record<string, number>>;
  /**
   * Share of the matrices' weights that have another type than most of a file of this kind, such as those whose rows are no whole
   * superblocks; mixtures have such weights by design. Absent for a given file.
   */
  readonly otherTypes?: number;
  /** `llama.cpp <release>`, or of a graph the release that evaluates it; absent for a file that was not made here. */
  readonly by?: string;
  /** Of a graph alone. */
  readonly graph?: Omit<GraphFile, "path">;
  /** Of a graph alone: matrices that are floats though its kind rounds them, because their rows are no whole blocks. */
  readonly floatMatrices?: number;
  readonly imatrix?: UsedImatrix;
}

export interface UsedImatrix {
  readonly sha256: string;
  /** Texts that it was made from, as it names them. */
  readonly datasets: readonly string[];
  readonly chunks?: number;
  /** Matrices that it says nothing of. */
  readonly without: readonly string[];
}

export interface VariantsRequest {
  readonly source: ModelFile;
  readonly types: readonly (VariantTypeName | OnnxKindName)[];
  /** Files of the same model that were made elsewhere, by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly imatrix?: ImportanceMatrix | undefined;
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnModelProgress;
}

export const SOURCE = "source";

/**
 * Makes what is not in the model folder yet. The same source, type and importance matrix give the same bytes.
 * @returns the source first, then as the types and files are listed
 * @throws InwardError STUDY_INVALID (a source that is quantized, a file of another vocabulary or shape) · IMATRIX_INVALID · MODEL_* · TRAIN_ADDON ·
 * ONNX_MODEL (before anything is made), STORE_CORRUPT · INTERRUPTED
 */
export async function makeVariants({ source, types, files, ...request }: VariantsRequest): Promise<Variant[]> {
  const { imatrix, offline, signal, onProgress } = request;
  const base = await readGguf(source.path);
  requireFloats(base);
  if (types.some(isOnnxKind)) await requireGraphs(source.path);
  const needing = types.find((type) => !isOnnxKind(type) && needsImatrix(type));
  if (needing !== undefined && imatrix === undefined) {
    throw new InwardError(
      "IMATRIX_INVALID",
      `${needing} is made with an importance matrix only; name its file under imatrix`,
    );
  }
  const fit = imatrix && requireFits(imatrix, base);
  const used: UsedImatrix | undefined = imatrix && {
    sha256: imatrix.sha256,
    datasets: imatrix.datasets,
    ...(imatrix.chunks === undefined ? {} : { chunks: imatrix.chunks }),
    without: fit?.without ?? [],
  };
  const own = { name: SOURCE, kind: "source", ...(await factsOf(source.path, source.sha256)) } as const;
  const all: Variant[] = [own];
  for (const type of types) {
    if (isOnnxKind(type)) {
      all.push(await graphVariant(source, type, own.parameters, request));
      continue;
    }
    const { llamaCpp } = await findAddon();
    const file = await ensureVariant(source, type, { ...request });
    const facts = await factsOf(file.path, file.sha256);
    all.push({
      name: type,
      kind: "made",
      ...facts,
      otherTypes: otherTypes(await readGguf(file.path), VARIANT_TYPES[type]),
      by: `llama.cpp ${llamaCpp}`,
      ...(used ? { imatrix: used } : {}),
    });
  }
  for (const [name, path] of Object.entries(files)) {
    const file = await resolveModel(path, { encoding: "as_shipped", offline, signal, onProgress });
    await requireSameModel(base, await readGguf(file.path));
    all.push({ name, kind: "given", ...(await factsOf(file.path, file.sha256)) });
  }
  return all;
}

/** llama.cpp's quantizer rounds what was rounded before, and then every figure is of two losses. */
function requireFloats({ path, tensors }: GgufFile): void {
  const rounded = tensors.find(({ type }) => !holdsFloats(type));
  if (rounded === undefined) return;
  throw new InwardError(
    "STUDY_INVALID",
    `the source ${path} has weights of type ${rounded.type}; set encoding: f32, so that what its weights are is the source, or take an F16 or BF16 file`,
  );
}

/** @throws STUDY_INVALID */
async function requireSameModel(source: GgufFile, other: GgufFile): Promise<void> {
  const refuse = (what: string): never => {
    throw new InwardError("STUDY_INVALID", `${other.path} is no variant of ${source.path}: ${what}`);
  };
  for (const key of ["general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre", ...VOCABULARY]) {
    if (!sameBytes(source.encodedMetadata.get(key), other.encodedMetadata.get(key))) refuse(`its ${key} is another`);
  }
  const byName = new Map(source.tensors.map(({ name, dimensions }) => [name, dimensions.join(" × ")]));
  for (const { name, dimensions } of other.tensors) {
    const own = byName.get(name);
    // Some files carry factors of RoPE or a copy of the tied embedding that others leave out.
    if (own !== undefined && own !== dimensions.join(" × "))
      refuse(`its ${name} is ${dimensions.join(" × ")}, not ${own}`);
  }
  const lacks = [...byName.keys()].find(
    (name) => name.startsWith("blk.") && !other.tensors.some((one) => one.name === name),
  );
  if (lacks !== undefined) refuse(`it has no ${lacks}`);
}

const VOCABULARY = ["tokenizer.ggml.tokens", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"];

function sameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === undefined || other === undefined ? one === other : Buffer.compare(one, other) === 0;
}

async function ensureVariant(
  { path, sha256, encoding }: ModelFile,
  type: VariantTypeName,
  { imatrix, signal, onProgress }: Pick<VariantsRequest, "imatrix" | "signal" | "onProgress">,
): Promise<{ readonly path: string; readonly sha256: string }> {
  const id = `${basename(path).replace(/\.gguf$/i, "")}-${sha256.slice(0, 12)}`;
  const by = imatrix ? `.imatrix-${imatrix.sha256.slice(0, 12)}` : "";
  return ensureCopy({
    base: { path, sha256, encoding },
    folder: makeModelFolder(modelFolder()),
    fileName: `${id}.${type}${by}.gguf`,
    what: `${id} as ${type}`,
    origin: `quantized by llama.cpp as ${type}${imatrix ? ` with the importance matrix ${imatrix.sha256}` : ""}`,
    write: (from, to, options) =>
      requantizeGguf(from, to, type, { ...options, threads: availableParallelism(), imatrix }),
    onProgress,
    signal,
  });
}

async function graphVariant(
  source: ModelFile,
  kind: OnnxKindName,
  parameters: number,
  { signal, onProgress }: Pick<VariantsRequest, "signal" | "onProgress">,
): Promise<Variant> {
  if (signal?.aborted) throw new InwardError("INTERRUPTED", `Stopped before ${kind} was made.`);
  onProgress?.({ stage: "re-encode", what: kind, doneBytes: 0, totalBytes: 1 });
  const { path, sha256, bytes, weightBytes, weights, matrices, graph } = await ensureGraph(source, kind);
  return {
    name: kind,
    kind: "made",
    engine: "onnxruntime",
    path,
    sha256: hashOf({ graph: sha256, source: source.sha256 }),
    bytes,
    parameters,
    bitsPerWeight: (8 * weightBytes) / parameters,
    weights,
    by: ONNX_RUNTIME,
    graph,
    ...(ONNX_KINDS[kind].quantization === "none" || matrices.float === 0 ? {} : { floatMatrices: matrices.float }),
  };
}

async function factsOf(
  path: string,
  sha256: string,
): Promise<Pick<Variant, "engine" | "path" | "sha256" | "bytes" | "parameters" | "bitsPerWeight" | "weights">> {
  const file = await readGguf(path);
  const parameters = file.tensors.reduce((sum, { elements }) => sum + elements, 0);
  const tensorBytes = file.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return {
    engine: "inward",
    path,
    sha256,
    bytes: file.fileBytes,
    parameters,
    bitsPerWeight: (8 * tensorBytes) / parameters,
    weights: Object.fromEntries(weightsByType(file)),
  };
}

function otherTypes({ tensors }: GgufFile, wanted: GgmlTypeName): number {
  const matrices = tensors.filter(({ dimensions }) => dimensions.length > 1);
  const sum = (these: GgufFile["tensors"]) => these.reduce((all, { elements }) => all + elements, 0);
  const others = matrices.filter(({ type }) => GGML_TYPES[type].id !== GGML_TYPES[wanted].id);
  return matrices.length === 0 ? 0 : sum(others) / sum(matrices);
}
