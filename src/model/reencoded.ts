// The F16 or F32 copy of a model's weights: made once, checksummed, checked like any other model file.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { type CheckedModelFile, checkModelFile } from "./check-model-file.js";
import { remember } from "./checksum.js";
import type { FetchedModel } from "./fetch-model.js";
import { inspectGguf } from "./gguf/inspect-gguf.js";
import { reencodeGguf } from "./gguf/reencode.js";
import type { OnModelProgress } from "./model-progress.js";
import { recordChecksum, recordedChecksums } from "./recorded-checksums.js";

export interface ReencodedRequest {
  readonly base: FetchedModel;
  /** The copy is `<id>.<encoding>.gguf` in the model folder. */
  readonly id: string;
  readonly encoding: "f16" | "f32";
  readonly folder: string;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @returns the base itself when it is encoded so already
 * @throws InwardError MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt copy, set aside) · MODEL_TENSOR_TYPE · MODEL_FOLDER · INTERRUPTED
 */
export async function ensureReencoded(request: ReencodedRequest): Promise<FetchedModel> {
  const { base, folder, encoding } = request;
  if (base.summary.encoding.toLowerCase() === encoding) return base;
  const fileName = `${request.id}.${encoding}.gguf`;
  const path = join(folder, fileName);
  const recorded = recordedChecksums(folder)[fileName];
  // Without a record, or from another source, the copy is worth nothing: it is made again over the old one.
  if (existsSync(path) && recorded?.reencodedFrom?.sha256 === base.sha256) {
    const { onProgress, signal } = request;
    const check = { folder, path, owned: true, expectedSha256: recorded.sha256, onProgress, signal };
    return { ...(await checkModelFile(check)), path };
  }
  return { ...(await makeCopy(request, path, fileName)), path };
}

async function makeCopy(request: ReencodedRequest, path: string, fileName: string): Promise<CheckedModelFile> {
  const { base, folder, encoding, onProgress, signal } = request;
  try {
    const { sha256, bytes } = await reencodeGguf(base.path, path, encoding, {
      sourceSha256: base.sha256,
      ...(signal ? { signal } : {}),
      onProgress: (doneBytes, totalBytes) =>
        onProgress?.({ stage: "re-encode", what: `${request.id} as ${encoding}`, doneBytes, totalBytes }),
    });
    remember(folder, path, sha256);
    const reencodedFrom = { sha256: base.sha256, encoding: base.summary.encoding };
    recordChecksum(folder, fileName, { sha256, bytes, origin: `re-encoded by inward as ${encoding}`, reencodedFrom });
    return { summary: await inspectGguf(path), sha256 };
  } catch (error) {
    // The writer speaks of run folders; this one is the model folder, with another remedy.
    if (error instanceof InwardError && (error.code === "STORE_DISK_FULL" || error.code === "STORE_UNWRITABLE")) {
      throw new InwardError("MODEL_FOLDER", `cannot re-encode ${request.id}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
