/** Writes a GGUF file in one pass, tensor by tensor, under a temporary name: under its own name it is whole or absent. */
import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type ErrorCode, InwardError } from "../../errors.js";
import { encodeHeader, type TensorShape } from "./encode-header.js";
import { alignUp, DEFAULT_ALIGNMENT, type GgufValue } from "./gguf-file.js";

/** A tensor and where its bytes come from. Chunks are written before the next one is asked for, so a buffer may be reused. */
export interface TensorSource extends TensorShape {
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface WriteGgufOptions {
  /** Bytes of the finished file, so far and in all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Aborting removes the unfinished file and throws INTERRUPTED. */
  readonly signal?: AbortSignal;
}

export interface WrittenGguf {
  readonly bytes: number;
  /** Of the whole file, hex. */
  readonly sha256: string;
}

/**
 * @param metadata values, or their bytes as another file had them, in the order to write
 * @throws InwardError STORE_DISK_FULL · STORE_UNWRITABLE · INTERRUPTED · whatever a tensor's `chunks` throws
 */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue | Uint8Array>,
  tensors: readonly TensorSource[],
  options: WriteGgufOptions & { readonly alignment?: number } = {},
): Promise<WrittenGguf> {
  const alignment = options.alignment ?? DEFAULT_ALIGNMENT;
  const header = encodeHeader(metadata, tensors, alignment);
  const last = header.tensors.at(-1);
  const totalBytes = header.bytes.length + (last === undefined ? 0 : alignUp(last.offset + last.byteLength, alignment));
  const partial = `${path}.partial-${process.pid}`;
  const output = await Output.open(partial, totalBytes, options);
  try {
    await output.write(header.bytes);
    for (const [index, tensor] of tensors.entries()) {
      const { offset, byteLength } = header.tensors[index] as { offset: number; byteLength: number };
      for await (const chunk of tensor.chunks()) await output.write(chunk);
      const end = header.bytes.length + offset + byteLength;
      if (output.bytes !== end)
        throw new InwardError("INTERNAL", `tensor ${tensor.name} ends at ${output.bytes}, not ${end}`);
      await output.write(new Uint8Array(alignUp(byteLength, alignment) - byteLength));
    }
    const sha256 = await output.finish();
    await inDisk(path, () => rename(partial, path));
    await syncFolder(dirname(path));
    return { bytes: output.bytes, sha256 };
  } catch (error) {
    await output.close();
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** An operating system's refusal to write as one of inward's codes. */
export function writeFailure(error: unknown, path: string): InwardError {
  const code = (error as NodeJS.ErrnoException).code;
  const family: ErrorCode = code === "ENOSPC" || code === "EDQUOT" ? "STORE_DISK_FULL" : "STORE_UNWRITABLE";
  const what = family === "STORE_DISK_FULL" ? "the disk is full" : "cannot be written";
  return new InwardError(family, `${path}: ${what} (${code ?? String(error)})`, { cause: error });
}

class Output {
  bytes = 0;
  private readonly hash = createHash("sha256");
  private open = true;

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly totalBytes: number,
    private readonly options: WriteGgufOptions,
  ) {}

  static async open(path: string, totalBytes: number, options: WriteGgufOptions): Promise<Output> {
    return new Output(await inDisk(path, () => open(path, "w")), path, totalBytes, options);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.options.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while writing ${this.path}`);
    if (chunk.length === 0) return;
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await inDisk(this.path, () => this.file.write(chunk, done, chunk.length - done));
      done += bytesWritten;
    }
    this.hash.update(chunk);
    this.bytes += chunk.length;
    this.options.onProgress?.(this.bytes, this.totalBytes);
  }

  async finish(): Promise<string> {
    await inDisk(this.path, () => this.file.sync());
    await this.close();
    return this.hash.digest("hex");
  }

  async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await inDisk(this.path, () => this.file.close());
  }
}

async function inDisk<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw writeFailure(error, path);
  }
}

/** The rename itself survives a power cut only once the folder is on disk; where folders cannot be synced, the file still is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close().catch(() => undefined);
}
