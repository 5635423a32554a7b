/** The directory of a zip archive, Zip64 too: which members it has and where their bytes are. Nothing it says is believed beyond the file. */

import { type FileHandle, open } from "node:fs/promises";

export const STORED = 0;

export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly compressedBytes: number;
  readonly bytes: number;
  readonly headerOffset: number;
}

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
const LONGEST_COMMENT = 0xffff;
const ZIP64_FIELD = 1;
/** In the place of a number that stands in Zip64's own fields. */
const ELSEWHERE = 0xffffffff;
/** Half a million members. */
const MOST_DIRECTORY_BYTES = 64 * 1024 * 1024;

/** In the archive's order. @throws Error in plain words: its caller says of which file */
export async function readZipEntries(path: string): Promise<ZipEntry[]> {
  const file = await open(path);
  try {
    return await readZipDirectory(file);
  } finally {
    await file.close();
  }
}

/** The same of an open file. @throws Error in plain words */
export async function readZipDirectory(file: FileHandle): Promise<ZipEntry[]> {
  const { size } = await file.stat();
  const tailBytes = Math.min(size, END_BYTES + LONGEST_COMMENT + LOCATOR64_BYTES);
  const tail = await bytesAt(file, size - tailBytes, tailBytes);
  let end = tailBytes - END_BYTES;
  while (end >= 0 && tail.readUInt32LE(end) !== END_SIGNATURE) end--;
  if (end < 0) throw new Error("it is not a zip archive, or it is cut off");
  const found = {
    count: tail.readUInt16LE(end + 10),
    bytes: tail.readUInt32LE(end + 12),
    offset: tail.readUInt32LE(end + 16),
  };
  const locator = end - LOCATOR64_BYTES;
  const large = locator >= 0 && tail.readUInt32LE(locator) === LOCATOR64_SIGNATURE;
  const { count, bytes, offset } = large ? await readEnd64(file, tail, locator, size) : found;
  if (offset + bytes > size) throw new Error("the archive is cut off");
  if (bytes > MOST_DIRECTORY_BYTES)
    throw new Error(`the archive's directory has ${bytes} bytes, more than any real one`);
  return parseEntries(await bytesAt(file, offset, bytes), count);
}

async function readEnd64(file: FileHandle, tail: Buffer, locator: number, size: number) {
  const place = uint64(tail, locator + 8);
  if (place + END64_BYTES > size) throw new Error("the archive is cut off");
  const end = await bytesAt(file, place, END64_BYTES);
  if (end.readUInt32LE(0) !== END64_SIGNATURE) throw new Error("the archive's directory is damaged");
  return { count: uint64(end, 32), bytes: uint64(end, 40), offset: uint64(end, 48) };
}

function parseEntries(directory: Buffer, count: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  for (let at = 0; entries.length < count; ) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== ENTRY_SIGNATURE) {
      throw new Error("the archive's directory is damaged");
    }
    const nameEnd = at + 46 + directory.readUInt16LE(at + 28);
    const extraEnd = nameEnd + directory.readUInt16LE(at + 30);
    const next = extraEnd + directory.readUInt16LE(at + 32);
    if (next > directory.length) throw new Error("the archive's directory is damaged");
    const name = directory.toString("utf8", at + 46, nameEnd);
    if ((directory.readUInt16LE(at + 8) & 1) !== 0) throw new Error(`${name} is encrypted`);
    const large = zip64Numbers(directory.subarray(nameEnd, extraEnd));
    // Those that are elsewhere stand there in this order.
    const [bytes, compressedBytes, headerOffset] = [24, 20, 42].map((place) => {
      const number = directory.readUInt32LE(at + place);
      if (number !== ELSEWHERE) return number;
      const stated = large.shift();
      if (stated === undefined) throw new Error("the archive's directory is damaged");
      return stated;
    }) as [number, number, number];
    entries.push({
      ...{ name, bytes, compressedBytes, headerOffset },
      method: directory.readUInt16LE(at + 10),
      crc: directory.readUInt32LE(at + 16),
    });
    at = next;
  }
  return entries;
}

function zip64Numbers(extra: Buffer): number[] {
  for (let at = 0; at + 4 <= extra.length; ) {
    const [field, bytes] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    const end = at + 4 + bytes;
    if (field === ZIP64_FIELD && end <= extra.length) {
      return Array.from({ length: Math.floor(bytes / 8) }, (_, one) => uint64(extra, at + 4 + 8 * one));
    }
    at = end;
  }
  return [];
}

/**
 * Where a member's bytes begin: its own header repeats the name and has an extra field of its own.
 * @throws Error in plain words: damaged, or its bytes go on beyond the file
 */
export async function zipDataOffset(file: FileHandle, entry: ZipEntry): Promise<number> {
  const { size } = await file.stat();
  if (entry.headerOffset + 30 > size) throw new Error("the archive is damaged");
  const header = await bytesAt(file, entry.headerOffset, 30);
  if (header.readUInt32LE(0) !== LOCAL_SIGNATURE) throw new Error("the archive is damaged");
  const start = entry.headerOffset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (start + entry.compressedBytes > size) throw new Error(`${entry.name} is cut off`);
  return start;
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error("it became shorter while it was read");
    done += bytesRead;
  }
  return bytes;
}

function uint64(bytes: Buffer, at: number): number {
  const number = bytes.readBigUInt64LE(at);
  if (number > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error("the archive's directory is damaged");
  return Number(number);
}
