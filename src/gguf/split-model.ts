/**
 * Models split over several files, `<name>-00001-of-00003.gguf` and so on, as llama.cpp's gguf-split and converter write them: all
 * metadata stand in the first, tensors in all. Parts carry no sign of whose they are: a foreign one of the same shapes is told by the
 * checksum over all parts alone.
 */

import { existsSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { type GgufFile, type GgufTensor, openGguf, readFully } from "./read-gguf.js";

const KEYS = { number: "split.no", count: "split.count", tensors: "split.tensors.count" } as const;
const FIRST = /-00001-of-(\d{5})\.gguf$/;
const ANY = /-(\d{5})-of-(\d{5})\.gguf$/;
const digits = (number: number) => String(number).padStart(5, "0");

/** Whether a file's name is that of one part of several. */
export function isPartName(fileName: string): boolean {
  return ANY.test(fileName);
}

/** The files that stand beside the first part by their names, itself included; the path alone where its name is of no first part. */
export function partPaths(first: string): string[] {
  const count = Number(FIRST.exec(first)?.[1] ?? 1);
  if (count < 2) return [first];
  return Array.from({ length: count }, (_, at) =>
    first.replace(ANY, (_whole, _number, of) => `-${digits(at + 1)}-of-${of}.gguf`),
  );
}

/**
 * @param read reads one file
 * @returns the file itself where it is a whole model
 * @throws MODEL_PARTS, and what `read` throws of another part
 */
export async function joinParts(first: GgufFile, read: (path: string) => Promise<GgufFile>): Promise<GgufFile> {
  const count = partCountOf(first);
  if (count < 2) return first;
  const number = partNumberOf(first);
  if (number !== 0) {
    const name = first.path.replace(ANY, (_whole, _number, of) => `-00001-of-${of}.gguf`);
    throw fault(first.path, `it is part ${number + 1} of ${count} of a model; name the first part, ${name}`);
  }
  const paths = partPaths(first.path);
  if (paths.length !== count) {
    const name = `<name>-00001-of-${digits(count)}.gguf`;
    throw fault(
      first.path,
      `it is the first of ${count} parts, but is not called ${name}, by which the others are found`,
    );
  }
  const parts = [first];
  for (const [at, path] of paths.entries()) {
    if (at === 0) continue;
    if (!existsSync(path)) throw fault(first.path, `its part ${at + 1} of ${count} is missing: ${path}`);
    const part = await read(path);
    requirePartOf(first, part, at, count);
    parts.push(part);
  }
  return asOne(first, parts);
}

function requirePartOf(first: GgufFile, part: GgufFile, at: number, count: number): void {
  if (!part.metadata.has(KEYS.number)) throw fault(part.path, `it is no part of a model: it has no ${KEYS.number}`);
  const number = partNumberOf(part);
  if (number !== at) throw fault(part.path, `by its name it is part ${at + 1}, by its header part ${number + 1}`);
  if (part.metadata.has(KEYS.count) && partCountOf(part) !== count) {
    throw fault(part.path, `it is one of ${partCountOf(part)} parts, and ${first.path} the first of ${count}`);
  }
  for (const [key, bytes] of part.encodedMetadata) {
    if (key.startsWith("split.")) continue;
    const known = first.encodedMetadata.get(key);
    if (known !== undefined && !Buffer.from(known).equals(bytes)) {
      throw fault(part.path, `it is of another model: its ${shown(key)} is not that of ${first.path}`);
    }
  }
}

function asOne(first: GgufFile, parts: readonly GgufFile[]): GgufFile {
  const owners = new Map<string, GgufFile>();
  const tensors: GgufTensor[] = [];
  for (const [at, part] of parts.entries()) {
    for (const tensor of part.tensors) {
      const owner = owners.get(tensor.name);
      if (owner) throw fault(part.path, `its tensor ${shown(tensor.name)} stands in ${owner.path} too`);
      owners.set(tensor.name, part);
      tensors.push({ ...tensor, part: at });
    }
  }
  const expected = first.metadata.get(KEYS.tensors);
  if (expected !== undefined && Number(expected.value) !== tensors.length) {
    throw fault(
      first.path,
      `its ${parts.length} parts should hold ${expected.value} tensors, and hold ${tensors.length}`,
    );
  }
  const whole = <Value>(from: ReadonlyMap<string, Value>) =>
    new Map([...from].filter(([key]) => !Object.values<string>(KEYS).includes(key)));
  return {
    ...first,
    metadata: whole(first.metadata),
    encodedMetadata: whole(first.encodedMetadata),
    tensors,
    fileBytes: parts.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    parts: parts.flatMap((part) => part.parts),
  };
}

/** 1 for a file that says nothing of parts. */
function partCountOf(file: GgufFile): number {
  return splitValue(file, KEYS.count) ?? 1;
}

function partNumberOf(file: GgufFile): number {
  return splitValue(file, KEYS.number) ?? 0;
}

/** @throws MODEL_PARTS for another type, which llama.cpp refuses or aborts on */
function splitValue({ metadata, path }: GgufFile, key: string): number | undefined {
  const found = metadata.get(key);
  if (found === undefined || found.type === "u16") return found?.value;
  throw fault(path, `its ${key} is of type ${found.type}, not u16`);
}

function fault(path: string, what: string): InwardError {
  return new InwardError("MODEL_PARTS", `${path}: ${what}`);
}

/** The weights of a model's file or files, open for reading. */
export class OpenWeights {
  private constructor(
    private readonly file: GgufFile,
    private readonly handles: readonly FileHandle[],
  ) {}

  /** @throws MODEL_NOT_FOUND, MODEL_NOT_GGUF */
  static async of(file: GgufFile): Promise<OpenWeights> {
    const handles: FileHandle[] = [];
    try {
      for (const { path } of file.parts) handles.push(await openGguf(path));
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
    return new OpenWeights(file, handles);
  }

  /**
   * Fills `target` with the tensor's bytes.
   * @param from first byte, counted from the tensor's own beginning
   * @throws MODEL_TRUNCATED
   */
  async read({ name, offset, part = 0 }: GgufTensor, target: Uint8Array, from: number): Promise<void> {
    const { path, dataOffset } = this.file.parts[part] as GgufFile["parts"][number];
    const position = dataOffset + offset + from;
    const found = await readFully(this.handles[part] as FileHandle, target, position);
    if (found === target.length) return;
    const what = `${path} became shorter while tensor ${shown(name)} was read: it ends at byte ${position + found}`;
    throw new InwardError("MODEL_TRUNCATED", what);
  }

  async close(): Promise<void> {
    for (const handle of this.handles) await handle.close();
  }
}
