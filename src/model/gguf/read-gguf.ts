/** Reads the header of a GGUF file, never its weights, and checks that the file is as long as its header says. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { InwardError } from "../../errors.js";
import type { GgufFile, GgufHeader } from "./gguf-file.js";
import { HeaderGoesOn, parseHeader } from "./parse-header.js";

/** A 128,000-token vocabulary with its merges takes 8 MB. */
const FIRST_WINDOW_BYTES = 16 * 2 ** 20;
/** Beyond any real header; a file that claims more is refused before it is read into memory. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;

/**
 * @throws InwardError MODEL_NOT_FOUND (missing or unreadable) · MODEL_NOT_GGUF (magic, version, malformed header) ·
 * MODEL_TRUNCATED (header or weights end early) · MODEL_TENSOR_TYPE (unknown type id)
 */
export async function readGguf(path: string): Promise<GgufFile> {
  const file = await openModel(path);
  try {
    const fileBytes = (await file.stat()).size;
    const header = await readHeader(file, path, fileBytes);
    const last = header.tensors.at(-1);
    const expected = last === undefined ? 0 : header.dataOffset + last.offset + last.byteLength;
    if (expected > fileBytes) {
      throw new InwardError(
        "MODEL_TRUNCATED",
        `${path} is truncated: its weights end at byte ${expected}, the file has ${fileBytes} bytes`,
      );
    }
    return { ...header, path, fileBytes };
  } finally {
    await file.close();
  }
}

/** Opens a model file for reading. @throws InwardError MODEL_NOT_FOUND, MODEL_NOT_GGUF (a folder or a device) */
export async function openModel(path: string): Promise<FileHandle> {
  try {
    // Looked at before it is opened: opening a named pipe would wait for a writer for ever.
    if (!(await stat(path)).isFile()) throw new InwardError("MODEL_NOT_GGUF", `${path} is not a file`);
    return await open(path, "r");
  } catch (error) {
    if (error instanceof InwardError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const what = code === "ENOENT" ? "no such file" : `it cannot be opened (${code ?? String(error)})`;
    throw new InwardError("MODEL_NOT_FOUND", `${path}: ${what}`, { cause: error });
  }
}

/**
 * Fills `target` with the file's bytes from `position`.
 * @returns how many bytes were there: fewer than asked only at the end of the file
 */
export async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

async function readHeader(file: FileHandle, path: string, fileBytes: number): Promise<GgufHeader> {
  let windowBytes = Math.min(FIRST_WINDOW_BYTES, fileBytes);
  for (;;) {
    const bytes = new Uint8Array(windowBytes);
    const found = await readFully(file, bytes, 0);
    try {
      return parseHeader(bytes.subarray(0, found), path);
    } catch (error) {
      if (!(error instanceof HeaderGoesOn)) throw error;
      if (error.needed > fileBytes || found < windowBytes) {
        throw new InwardError(
          "MODEL_TRUNCATED",
          `${path} is truncated: its header needs at least ${error.needed} bytes, the file has ${fileBytes} bytes`,
        );
      }
      if (error.needed > MAX_HEADER_BYTES) {
        throw new InwardError(
          "MODEL_NOT_GGUF",
          `${path}: its header claims ${error.needed} bytes, more than any real one`,
        );
      }
      windowBytes = Math.min(fileBytes, Math.max(error.needed, 2 * windowBytes));
    }
  }
}
