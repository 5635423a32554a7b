// The copy of a model's weights in another encoding.

import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { isProcessAlive } from "../base/lock.js";
import { InwardError } from "../errors.js";
import { reencodeGguf, type ReencodeOptions } from "../gguf/derived-copies.js";
import { writeWithoutLayers } from "../gguf/without-layers.js";
import { type FileTypeName, isEncodedAs } from "../gguf/encodings.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import type { WrittenGguf } from "../gguf/write-gguf.js";
import {
  checkModelFile,
  type ManagedModel,
  type OnModelProgress,
  recordChecksum,
  recordedChecksums,
  remember,
  type UserModel,
} from "./model-file.js";
import { layersToDrop, shallowerId } from "./model-shape.js";
import { requantizeGguf } from "./requantize.js";
import type { FetchedModel } from "./resolve-model.js";

// A file that inward makes of a model's: made once in the model folder, recorded with what it was made of, checked like any other.

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
  const there = findCopy(folder, fileName, base.sha256, origin);
  if (there) {
    const { path } = there;
    const check = { folder, path, owned: true, expectedSha256: there.sha256, onProgress, signal };
    return { ...(await checkModelFile(check)), path };
  }
  const path = join(folder, fileName);
  const { sha256 } = await makeCopy(copy);
  return { summary: await inspectGguf(path), sha256, path };
}

/**
 * A copy that is there and recorded as made of this base in this way: under its own name, else under that of another base with the
 * same checksum, such as a model's file that has another name now. Without a record, or from another base, a file is worth nothing.
 * @param origin of `originOf`, or what a shallower copy says
 * @returns its absolute path and what it was recorded with; not checked yet
 */
export function findCopy(
  folder: string,
  fileName: string,
  baseSha256: string,
  origin: string,
): { readonly path: string; readonly sha256: string } | undefined {
  const recorded = Object.entries(recordedChecksums(folder));
  const own = recorded.filter(([name]) => name === fileName);
  for (const [name, { sha256, reencodedFrom, origin: by }] of [...own, ...recorded]) {
    const path = join(folder, name);
    if (reencodedFrom?.sha256 === baseSha256 && by === origin && existsSync(path)) return { path, sha256 };
  }
  return undefined;
}

/** What checksums.json says of a re-encoded copy. */
export function originOf(encoding: FileTypeName): string {
  return `re-encoded by ${isPlain(encoding) ? "inward" : "llama.cpp"} as ${encoding}`;
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
    remember(folder, [path], written.sha256);
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

export interface CopyRequest extends Pick<ModelCopy, "base" | "folder" | "onProgress" | "signal"> {
  /** The copy is `<id>.<encoding>.gguf` in the model folder. */
  readonly id: string;
  readonly encoding: FileTypeName;
}

export interface ReencodedRequest extends Omit<CopyRequest, "base"> {
  readonly base: FetchedModel;
}

/** Two files of the user's may share a name, so copies of theirs carry a piece of the checksum. */
export function copyId(
  model: ManagedModel | UserModel,
  base: { readonly path: string; readonly sha256: string },
): string {
  if (model.kind === "managed") return model.id;
  return `${basename(base.path).replace(/\.gguf$/i, "")}-${base.sha256.slice(0, 12)}`;
}

export function copyPath({ folder, id, encoding }: Pick<CopyRequest, "folder" | "id" | "encoding">): string {
  return join(folder, `${id}.${encoding}.gguf`);
}

export function reencodedCopy(request: CopyRequest, write: WriteCopy): ModelCopy {
  const { base, folder, id, encoding, onProgress, signal } = request;
  return {
    base,
    folder,
    fileName: basename(copyPath(request)),
    what: `${id} as ${encoding}`,
    origin: originOf(encoding),
    write,
    onProgress,
    signal,
  };
}

/**
 * F16 and F32 by inward's own re-encoder, everything else by llama.cpp's.
 * @returns the base itself when it is encoded so already
 * @throws InwardError MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt copy, set aside) · MODEL_TENSOR_TYPE · MODEL_FOLDER · INTERRUPTED ·
 * TRAIN_ADDON and what else requantizeGguf throws where llama.cpp's is needed
 */
export async function ensureReencoded(request: ReencodedRequest): Promise<FetchedModel> {
  const { base, encoding } = request;
  if (isEncodedAs(encoding, base.summary.encoding, base.summary.fileType)) return base;
  const write: WriteCopy = isPlain(encoding)
    ? (from, to, options) => reencodeGguf(from, to, encoding, options)
    : (from, to, options) => requantizeGguf(from, to, encoding, { ...options, threads: availableParallelism() });
  const named = { ...request, base: { ...base, encoding: base.summary.encoding } };
  return await ensureCopy(reencodedCopy(named, write));
}

function isPlain(encoding: FileTypeName): encoding is "f16" | "f32" {
  return encoding === "f16" || encoding === "f32";
}

// The copy of a model without some of its layers: another network, so that a predictor on it has its own weights to learn with.

interface ShallowerRequest extends Omit<ReencodedRequest, "encoding"> {
  /** Share of the layers that are removed. */
  readonly share: number;
}

/**
 * @returns the copy, `<id>.gguf` in the model folder, and its id: `<base's id>.without-layers-12-to-17-of-30`
 * @throws InwardError STUDY_INVALID as layersToDrop · MODEL_NOT_GGUF (no number of layers) · MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt
 * copy, set aside) · MODEL_TENSOR_TYPE · MODEL_FOLDER · INTERRUPTED
 */
export async function ensureShallower(request: ShallowerRequest): Promise<FetchedModel & { readonly id: string }> {
  const { base, share, folder, onProgress, signal } = request;
  const { summary } = base;
  if (summary.blockCount === undefined) {
    throw new InwardError("MODEL_NOT_GGUF", `${base.path} does not say how many layers it has`);
  }
  const layers = layersToDrop(summary.blockCount, share);
  const id = shallowerId(request.id, layers, summary.blockCount);
  const copy = await ensureCopy({
    base: { ...base, encoding: summary.encoding },
    folder,
    fileName: `${id}.gguf`,
    what: id,
    origin: originOfShallower(layers, summary.blockCount),
    write: (from, to, options) => writeWithoutLayers(from, to, layers, options),
    onProgress,
    signal,
  });
  return { ...copy, id };
}

/** What checksums.json says of a copy without some layers. */
export function originOfShallower(layers: readonly number[], of: number): string {
  return `layers ${layers.join(", ")} of 0 to ${of - 1} removed by inward`;
}

// What a killed process leaves in the model folder: unfinished files and pip's downloads, each with its process id in the name.

/** Something written to this recently may belong to a process that cannot be seen from here (another container). */
const QUIET_MILLISECONDS = 60_000;

/** Best effort: what cannot be removed stays. */
export function removeLeftovers(folder: string, now: number = Date.now()): void {
  for (const name of namesIn(folder)) {
    const owner = /\.partial-(\d+)$/.exec(name) ?? /^\.pip-(\d+)-/.exec(name);
    if (owner === null || isProcessAlive(Number(owner[1]))) continue;
    const path = join(folder, name);
    const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
    if (now - changed < QUIET_MILLISECONDS) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The folder may be another user's; it only costs disk.
    }
  }
}

/** None of a folder of another user's that may be entered and not listed. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
