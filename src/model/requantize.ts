/** Re-encodes a model file through llama_model_quantize, in a process of its own: under its name the result is whole or absent. */

import { accessSync, closeSync, constants, openSync, readSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { NativeRequantizeOptions } from "../../native/index.js";
import { InwardError } from "../errors.js";
import { type ReencodeOptions, requireWeights } from "../gguf/derived-copies.js";
import { GGML_TYPES, needsImatrix, VARIANT_TYPES, type VariantTypeName } from "../gguf/encodings.js";
import { type ImportanceMatrix, requireFits } from "../gguf/imatrix.js";
import { DEFAULT_ALIGNMENT, type GgufFile, readGguf } from "../gguf/read-gguf.js";
import { writeFailure, writeInSourceOrder, type WrittenGguf } from "../gguf/write-gguf.js";
import { findAddon, findBinaries } from "./native/addon.js";
import { builtScript, WorkerProcess } from "./worker-process.js";

/** What the re-encoder's process serves. */
export interface ReencoderMethods {
  requantize(options: NativeRequantizeOptions): Promise<void>;
}

interface RequantizeOptions extends ReencodeOptions {
  /** The bytes do not depend on it. */
  readonly threads: number;
  readonly imatrix?: ImportanceMatrix | undefined;
}

/** Of the importance matrix that a file was made with: the checksum of that file, hex. */
const IMATRIX_KEY = "inward.imatrix.sha256";
/** llama.cpp takes texts of 127 bytes. */
const MOST_TEXT_BYTES = 127;

const WATCH_EVERY_MS = 250;

/**
 * Needs twice the new file's room while it works: llama.cpp writes in an order of its own, and the source's is kept.
 * @returns the same bytes for the same source and release of llama.cpp
 * @throws InwardError TRAIN_ADDON (not built) · TRAIN_DEVICE · MODEL_TENSOR_TYPE (a type or a weight that cannot be encoded so)
 * · IMATRIX_INVALID (another model's, or none where the type needs one) · MODEL_* as readGguf · STORE_UNWRITABLE · STORE_DISK_FULL · ENGINE_CRASHED · INTERRUPTED
 */
export async function requantizeGguf(
  sourcePath: string,
  targetPath: string,
  type: VariantTypeName,
  options: RequantizeOptions,
): Promise<WrittenGguf> {
  await findAddon();
  const binariesFolder = findBinaries("cpu").folder;
  const source = await readGguf(sourcePath);
  requireWeights(source);
  if (source.alignment !== DEFAULT_ALIGNMENT) {
    // llama.cpp would keep the number and lay out the tensors by its own.
    const what = `its tensors are aligned to ${source.alignment} bytes, llama.cpp writes ${DEFAULT_ALIGNMENT} only`;
    throw new InwardError("MODEL_TENSOR_TYPE", `${sourcePath}: ${what}`);
  }
  const { imatrix } = options;
  if (imatrix === undefined && needsImatrix(type)) {
    throw new InwardError("IMATRIX_INVALID", `${type} is made with an importance matrix only, and none was given`);
  }
  if (imatrix) requireFits(imatrix, source);
  const leastBytes = leastBytesOf(source, type);
  requireRoom(targetPath, 2 * leastBytes);
  const output = `${targetPath}.llama.partial-${process.pid}`;
  try {
    const what = { binariesFolder, input: sourcePath, output, type, threads: options.threads };
    await quantize({ ...what, ...(imatrix ? asNative(imatrix) : {}) }, leastBytes, options);
    const about = new Map(imatrix ? [[IMATRIX_KEY, { type: "string", value: imatrix.sha256 } as const]] : []);
    return await writeInSourceOrder(
      source,
      requireFinished(output),
      targetPath,
      { ...options, onProgress: (done, total) => options.onProgress?.((total + done) / 2, total) },
      about,
    );
  } finally {
    rmSync(output, { force: true });
  }
}

/**
 * As llama-quantize gives it to the same function, its keys in the new file included.
 * @param named what the file is called in the new one's metadata
 */
export function asNative(
  { path, entries, datasets, chunks = 0 }: ImportanceMatrix,
  named: string = path,
): Required<Pick<NativeRequantizeOptions, "importances" | "metadata">> {
  const [dataset] = datasets;
  return {
    importances: [...entries].map(([tensor, values]) => ({ tensor, values })),
    metadata: [
      { key: "quantize.imatrix.file", text: ofMostBytes(named) },
      ...(dataset === undefined ? [] : [{ key: "quantize.imatrix.dataset", text: ofMostBytes(dataset) }]),
      { key: "quantize.imatrix.entries_count", number: entries.size },
      ...(chunks > 0 ? [{ key: "quantize.imatrix.chunks_count", number: chunks }] : []),
    ],
  };
}

function ofMostBytes(text: string): string {
  return Buffer.from(text)
    .subarray(0, MOST_TEXT_BYTES)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
}

/** Native code cannot be asked to stop: Ctrl-C ends its process. */
async function quantize(
  native: NativeRequantizeOptions,
  leastBytes: number,
  options: RequantizeOptions,
): Promise<void> {
  const worker = new WorkerProcess<ReencoderMethods>({
    script: builtScript("./requantize-worker.js", import.meta.url),
    owner: "re-encoder",
    crashCode: "ENGINE_CRASHED",
  });
  const { signal, onProgress } = options;
  const stop = () => void worker.end();
  const watch = setInterval(() => {
    const bytes = statSync(native.output, { throwIfNoEntry: false })?.size ?? 0;
    // The first of two passes over the file.
    onProgress?.(Math.min(bytes, leastBytes) / 2, leastBytes);
  }, WATCH_EVERY_MS);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (signal?.aborted) stop();
    await worker.remote.requantize(native);
  } catch (error) {
    if (signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while re-encoding ${native.input}`);
    throw error;
  } finally {
    clearInterval(watch);
    signal?.removeEventListener("abort", stop);
    await worker.end();
  }
}

/** Mixtures are somewhat larger. */
function leastBytesOf(source: GgufFile, type: VariantTypeName): number {
  const { blockBytes, blockElements } = GGML_TYPES[VARIANT_TYPES[type]];
  const elements = source.tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  return source.dataOffset + Math.ceil((elements / blockElements) * blockBytes);
}

/** Before minutes of work, and because llama.cpp does not notice every failed write. */
function requireRoom(targetPath: string, bytes: number): void {
  const folder = dirname(targetPath);
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw writeFailure(error, targetPath);
  }
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < bytes) {
    throw new InwardError(
      "STORE_DISK_FULL",
      `${targetPath} needs ${bytes} bytes while it is written, ${bavail * bsize} are free there`,
    );
  }
}

/** The header is written last: where it is missing, a write failed before. */
function requireFinished(path: string): string {
  const magic = Buffer.alloc(4);
  const file = openSync(path, "r");
  try {
    readSync(file, magic, 0, magic.length, 0);
  } finally {
    closeSync(file);
  }
  if (magic.toString("latin1") === "GGUF") return path;
  const { bavail, bsize } = statfsSync(dirname(path));
  throw new InwardError(
    "STORE_DISK_FULL",
    `${path}: llama.cpp left an unfinished file; ${bavail * bsize} bytes are free there`,
  );
}
