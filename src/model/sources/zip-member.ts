// Takes one member out of a zip archive (a Python wheel is one), streaming, with its checksum checked.

import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw } from "node:zlib";
import { readZipEntries, STORED, type ZipEntry, zipDataOffset } from "../../base/zip-archive.js";
import { unpackZstd } from "../../base/zstd.js";

const DEFLATE = 8;
const ZSTD = 93;
/** Unpacked as one piece. */
const MOST_ZSTD_BYTES = 256 * 1024 * 1024;

interface ExtractOptions {
  /** Of the member, unpacked; another size is refused before anything is written. */
  readonly bytes?: number;
  readonly onBytes?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes the member's content to `targetPath`, which must not matter if this throws: it may then be incomplete.
 * Encryption and methods other than stored, deflate and zstd are refused.
 * @returns bytes written. @throws Error in plain words: a source gives it as its reason
 */
export async function extractZipMember(
  zipPath: string,
  member: string,
  targetPath: string,
  options: ExtractOptions = {},
): Promise<number> {
  const entries = await readZipEntries(zipPath);
  const entry = entries.find((candidate) => candidate.name === member);
  if (entry === undefined) {
    const models = entries.filter(({ name }) => name.endsWith(".gguf")).map(({ name }) => name);
    throw new Error(`the archive has no ${member}${models.length > 0 ? `, but ${models.join(", ")}` : ""}`);
  }
  if (![STORED, DEFLATE, ZSTD].includes(entry.method)) {
    throw new Error(`${member} is packed with method ${entry.method}`);
  }
  if (options.bytes !== undefined && entry.bytes !== options.bytes) {
    throw new Error(`${member} has ${entry.bytes} bytes, but ${options.bytes} are expected`);
  }
  const start = await offsetIn(zipPath, entry);
  // An empty range cannot be asked of a file stream.
  const packed =
    entry.compressedBytes === 0
      ? Readable.from([])
      : createReadStream(zipPath, { start, end: start + entry.compressedBytes - 1, highWaterMark: 1 << 20 });
  let bytes = 0;
  let crc = 0;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      crc = crc32(chunk, crc);
      options.onBytes?.(bytes, entry.bytes);
      // An archive that unpacks without end would fill the disk.
      if (bytes > entry.bytes) done(new Error(`${member} has more than the ${entry.bytes} bytes that it says`));
      else done(null, chunk);
    },
  });
  const unpack =
    entry.method === DEFLATE ? [createInflateRaw({ chunkSize: 1 << 18 })] : entry.method === ZSTD ? [zstd(entry)] : [];
  const steps = [...unpack, check];
  await pipeline([packed, ...steps, createWriteStream(targetPath)], options.signal ? { signal: options.signal } : {});
  if (bytes !== entry.bytes) throw new Error(`${member} has ${bytes} bytes instead of ${entry.bytes}`);
  if (crc >>> 0 !== entry.crc) throw new Error(`${member} is damaged: its CRC-32 does not match`);
  return bytes;
}

function zstd({ name, compressedBytes, bytes }: ZipEntry): Transform {
  if (compressedBytes > MOST_ZSTD_BYTES || bytes > MOST_ZSTD_BYTES) {
    throw new Error(`${name} says that it has ${bytes} bytes, and ${MOST_ZSTD_BYTES} are the most for zstd`);
  }
  const packed: Buffer[] = [];
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      packed.push(chunk);
      done();
    },
    flush(done) {
      try {
        unpackZstd(Buffer.concat(packed), bytes, (piece) => this.push(piece));
        done();
      } catch (error) {
        done(new Error(`${name}: ${(error as Error).message}`, { cause: error }));
      }
    },
  });
}

async function offsetIn(zipPath: string, entry: ZipEntry): Promise<number> {
  const file = await open(zipPath);
  try {
    return await zipDataOffset(file, entry);
  } finally {
    await file.close();
  }
}

/** Name and size, unpacked, that each member says it has, in the archive's order. @throws Error in plain words */
export async function listZipMembers(zipPath: string): Promise<{ readonly name: string; readonly bytes: number }[]> {
  return (await readZipEntries(zipPath)).map(({ name, bytes }) => ({ name, bytes }));
}
