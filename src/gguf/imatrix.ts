/** An importance matrix of llama-imatrix: how much each column of a model's matrices matters, as its quantizer takes it. Both formats. */

import { createHash } from "node:crypto";
import { readPlainFile, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { type GgufHeader, type GgufTensor, readGguf } from "./read-gguf.js";
import { OpenWeights } from "./split-model.js";

export interface ImportanceMatrix {
  /** Absolute, or as it was given. */
  readonly path: string;
  /** Of the file, hex. */
  readonly sha256: string;
  /** By tensor: the mean square of the activations that reach each column, [columns × experts]. */
  readonly entries: ReadonlyMap<string, Float32Array>;
  /** The texts that it was made from, as the file names them; empty where it does not say. */
  readonly datasets: readonly string[];
  /** Pieces of text that it was made from, where the file says how many. */
  readonly chunks?: number;
}

/** An importance matrix of a model of 400 billion weights is below that. */
const MOST_BYTES = 2 ** 31;
const SUMS = ".in_sum2";
const COUNTS = ".counts";

/** @throws InwardError IMATRIX_INVALID (no such file, or none that llama-imatrix writes) */
export async function readImatrix(path: string): Promise<ImportanceMatrix> {
  const bytes = readPlainFile(path, MOST_BYTES, (why) => refused(path, why === "ENOENT" ? "no such file" : why));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const isGguf = bytes.toString("latin1", 0, 4) === "GGUF";
  const read = isGguf ? await readNewFormat(path) : readLegacyFormat(bytes, path);
  if (read.entries.size === 0) throw refused(path, "it has no entries");
  for (const [tensor, values] of read.entries) {
    const at = values.findIndex((value) => !(value >= 0 && Number.isFinite(value)));
    if (at >= 0) throw refused(path, `${shown(tensor)} has ${values[at]} for column ${at}`);
  }
  return { path, sha256, ...read };
}

function refused(path: string, why: string): InwardError {
  return new InwardError("IMATRIX_INVALID", `${path}: ${why}`);
}

type MatrixContent = Pick<ImportanceMatrix, "entries" | "datasets" | "chunks">;

async function readNewFormat(path: string): Promise<MatrixContent> {
  const file = await readGguf(path).catch((error) => {
    throw error instanceof InwardError ? refused(path, error.message) : error;
  });
  const weights = await OpenWeights.of(file);
  try {
    const floats = async (tensor: GgufTensor) => {
      if (tensor.type !== "F32") throw refused(path, `${shown(tensor.name)} is ${tensor.type}, not F32`);
      const values = new Float32Array(tensor.elements);
      await weights.read(tensor, new Uint8Array(values.buffer), 0);
      return values;
    };
    const byName = new Map(file.tensors.map((tensor) => [tensor.name, tensor]));
    const entries = new Map<string, Float32Array>();
    for (const tensor of file.tensors) {
      if (!tensor.name.endsWith(SUMS)) continue;
      const name = tensor.name.slice(0, -SUMS.length);
      const counted = byName.get(`${name}${COUNTS}`);
      if (!counted) throw refused(path, `${shown(name)} has sums and no counts`);
      const [sums, counts] = [await floats(tensor), await floats(counted)];
      if (counts.length === 0 || sums.length % counts.length !== 0) {
        throw refused(path, `${shown(name)} has ${sums.length} sums for ${counts.length} counts`);
      }
      const strange = counts.find((count) => !(count >= 0 && Number.isFinite(count)));
      if (strange !== undefined) throw refused(path, `${shown(name)} was reached ${strange} times`);
      entries.set(name, meansOf(sums, counts));
    }
    // llama.cpp passes over it, and then rounds the matrix that it is about as if nothing were known of it.
    const stray = file.tensors.find((tensor) => !isPartOf(entries, tensor.name));
    if (stray) throw refused(path, `${shown(stray.name)} belongs to none of its entries`);
    const [datasets, chunks] = [file.metadata.get("imatrix.datasets"), file.metadata.get("imatrix.chunk_count")];
    if (datasets === undefined || chunks === undefined || !file.metadata.has("imatrix.chunk_size")) {
      throw refused(path, "it lacks imatrix.datasets, imatrix.chunk_count or imatrix.chunk_size");
    }
    if (datasets.type !== "array" || datasets.elementType !== "string" || chunks.type !== "u32") {
      throw refused(path, "its imatrix.datasets is no list of texts, or its imatrix.chunk_count no u32");
    }
    return { entries, datasets: datasets.value as readonly string[], chunks: chunks.value };
  } finally {
    await weights.close();
  }
}

function isPartOf(entries: MatrixContent["entries"], tensor: string): boolean {
  return [SUMS, COUNTS].some((ending) => tensor.endsWith(ending) && entries.has(tensor.slice(0, -ending.length)));
}

/** Of experts that were never reached all columns matter alike, as llama-quantize has it. */
function meansOf(sums: Float32Array, counts: Float32Array): Float32Array {
  const columns = sums.length / counts.length;
  return sums.map((sum, at) => {
    const count = Math.round(counts[Math.floor(at / columns)] as number);
    return count > 0 ? sum / count : 1;
  });
}

/** Numbers of entries, names, calls, sums that are multiplied by the calls; then, in later ones, the chunks and the text. */
function readLegacyFormat(bytes: Buffer, path: string): MatrixContent {
  let at = 0;
  const take = (count: number, what: string): Buffer => {
    if (count < 0 || at + count > bytes.length) throw refused(path, `it ends in the middle of ${what}`);
    at += count;
    return bytes.subarray(at - count, at);
  };
  const number = (what: string) => take(4, what).readInt32LE(0);
  const count = bytes.length < 4 ? 0 : number("the number of entries");
  if (count < 1) throw refused(path, "it is no importance matrix");
  const entries = new Map<string, Float32Array>();
  for (let entry = 1; entry <= count; entry++) {
    const what = `entry ${entry} of ${count}`;
    const name = take(number(what), what).toString("utf8");
    const [calls, columns] = [number(what), number(what)];
    if (entries.has(name)) throw refused(path, `${shown(name)} stands twice`);
    if (calls < 0) throw refused(path, `${what} was reached ${calls} times`);
    if (columns < 1) throw refused(path, `${what} has ${columns} values`);
    const raw = take(4 * columns, what);
    const values = Float32Array.from({ length: columns }, (_, column) => raw.readFloatLE(4 * column));
    entries.set(name, calls > 0 ? values.map((sum) => sum / calls) : values);
  }
  if (at === bytes.length) return { entries, datasets: [] };
  const chunks = number("the number of chunks");
  const dataset = at === bytes.length ? "" : take(number("the text's name"), "the text's name").toString("utf8");
  if (at < bytes.length) throw refused(path, `${bytes.length - at} bytes are left over behind its last field`);
  return { entries, datasets: dataset === "" ? [] : [dataset], chunks };
}

/** How an importance matrix fits a model. */
export interface ImatrixFit {
  /** Matrices of the model that it says nothing of: llama.cpp rounds them as if there were none. */
  readonly without: readonly string[];
}

const NEVER_COVERED = /^(token_embd|output|.*_norm)\.weight$/;

/**
 * llama.cpp takes another model's file without a word where no name fits, and then makes what it would without.
 * @throws InwardError IMATRIX_INVALID for an entry of a matrix that the model has not, or has with other columns
 */
export function requireFits(matrix: ImportanceMatrix, { tensors }: Pick<GgufHeader, "tensors">): ImatrixFit {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, values] of matrix.entries) {
    const tensor = byName.get(name);
    if (tensor === undefined) throw refused(matrix.path, `it is another model's: this one has no ${shown(name)}`);
    const [columns = 0, , experts = 1] = tensor.dimensions;
    if (values.length !== columns * experts) {
      throw refused(
        matrix.path,
        `it is another model's: ${values.length} columns of ${shown(name)}, which has ${columns * experts}`,
      );
    }
  }
  const without = tensors.flatMap(({ name, dimensions }) =>
    dimensions.length > 1 && !matrix.entries.has(name) && !NEVER_COVERED.test(name) ? [name] : [],
  );
  return { without };
}
