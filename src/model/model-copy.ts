// A file that inward makes of a model's: made once in the model folder, recorded with what it was made of, checked like any other.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { checkModelFile } from "./check-model-file.js";
import { remember } from "./checksum.js";
import type { FetchedModel } from "./fetch-model.js";
import { inspectGguf } from "./gguf/inspect-gguf.js";
import type { ReencodeOptions } from "./gguf/reencode.js";
import type { WrittenGguf } from "./gguf/write-gguf.js";
import type { OnModelProgress } from "./model-progress.js";
import { recordChecksum, recordedChecksums } from "./recorded-checksums.js";

/** Writes the copy. Whoever does it, the same base gives the same bytes. */
export type WriteCopy = (sourcePath: string, targetPath: string, options: ReencodeOptions) => Promise<WrittenGguf>;

export interface ModelCopy {
  readonly base: { readonly path: string; readonly sha256: string; readonly encoding: string };
  readonly folder: string;
  readonly fileName: string;
  /** For progress, e.g. `tiny as f32`. */
  readonly what: string;
  /** What was done to the base, for a reader of checksums.json; a copy with another origin is another copy. */
  readonly origin: string;
  readonly write: WriteCopy;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws InwardError MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt copy, set aside), and what makeCopy throws */
export async function ensureCopy(copy: ModelCopy): Promise<FetchedModel> {
  const { base, folder, fileName, origin, onProgress, signal } = copy;
  const path = join(folder, fileName);
  const recorded = recordedChecksums(folder)[fileName];
  // Without a record, or from another source, the copy is worth nothing: it is made again over the old one.
  if (existsSync(path) && recorded?.reencodedFrom?.sha256 === base.sha256 && recorded.origin === origin) {
    const check = { folder, path, owned: true, expectedSha256: recorded.sha256, onProgress, signal };
    return { ...(await checkModelFile(check)), path };
  }
  const { sha256 } = await makeCopy(copy);
  return { summary: await inspectGguf(path), sha256, path };
}

/** Makes the copy, over an old one, and records it. @throws InwardError MODEL_FOLDER, and what `write` throws */
export async function makeCopy(copy: ModelCopy): Promise<WrittenGguf> {
  const { base, folder, fileName, what, origin, onProgress, signal } = copy;
  const path = join(folder, fileName);
  try {
    const written = await copy.write(base.path, path, {
      sourceSha256: base.sha256,
      ...(signal ? { signal } : {}),
      onProgress: (doneBytes, totalBytes) => onProgress?.({ stage: "re-encode", what, doneBytes, totalBytes }),
    });
    remember(folder, path, written.sha256);
    const reencodedFrom = { sha256: base.sha256, encoding: base.encoding };
    recordChecksum(folder, fileName, { ...written, origin, reencodedFrom });
    return written;
  } catch (error) {
    // The writer speaks of run folders; this one is the model folder, with another remedy.
    if (error instanceof InwardError && (error.code === "STORE_DISK_FULL" || error.code === "STORE_UNWRITABLE")) {
      throw new InwardError("MODEL_FOLDER", `cannot make ${what}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
