/**
 * Tensors of a file that `torch.save` wrote: a zip archive (PyTorch 1.6 and later) with a pickle of what they are called and a member of
 * bytes for each storage. No code is run: the pickle is read as data (pickle.ts), with the few names that tensors need. Nothing is unpacked to
 * the disk, and no member is opened by a name that is not in the archive's directory.
 */

import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { shown } from "../base/untrusted.js";
import { readZipDirectory, STORED, type ZipEntry, zipDataOffset } from "../base/zip-archive.js";
import { InwardError } from "../errors.js";
import { singlesOf } from "../finetune/adapter/safetensors.js";
import { GGML_TYPES } from "../gguf/encodings.js";
import { readFully } from "../gguf/read-gguf.js";
import { isTuple, PickleObject, type PickleKey, type PickleRules, type PickleValue, readPickle } from "./pickle.js";

/** Number types that are read, by the storage's class. */
const STORAGES = {
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.DoubleStorage": "F64",
} as const;
type NumberType = (typeof STORAGES)[keyof typeof STORAGES];

/** A name of the pickle that stands for a number type, or for what makes something. */
class Named extends PickleObject {
  constructor(readonly name: string) {
    super();
  }
}

class Storage extends PickleObject {
  constructor(
    readonly type: NumberType,
    readonly entry: ZipEntry,
    readonly numbers: number,
  ) {
    super();
  }
}

/** A tensor that was not read yet. */
export class TorchTensor extends PickleObject {
  constructor(
    readonly shape: readonly number[],
    /** Of the storage: numbers from one to the next, by dimension. */
    readonly strides: readonly number[],
    /** Number of the storage at which it begins. */
    readonly offset: number,
    readonly storage: Storage,
  ) {
    super();
  }
}

const ORDERED_DICT = "collections.OrderedDict";
const TENSOR = "torch._utils._rebuild_tensor_v2";
const PARAMETER = "torch._utils._rebuild_parameter";
const NAMES = new Set<string>([ORDERED_DICT, TENSOR, PARAMETER, ...Object.keys(STORAGES)]);

/** Names of a thousand tensors take a tenth of it. */
const MOST_PICKLE_BYTES = 2 ** 20;
const MOST_ENTRIES = 100_000;
const MOST_DIMENSIONS = 8;
const CHECKED_BYTES = 2 ** 22;

type Refuse = (why: string, cause?: unknown) => InwardError;

/** Close it after use. */
export class TorchFile {
  /** Storages whose checksum was found right. */
  private readonly checked = new Set<string>();

  private constructor(
    private readonly file: FileHandle,
    private readonly refuse: Refuse,
    /** What was saved. It may hold itself: walk no deeper than the format has it. */
    readonly content: PickleValue,
  ) {}

  /** @param refuse of a reason in plain words @throws what `refuse` makes */
  static async open(path: string, refuse: Refuse): Promise<TorchFile> {
    const file = await open(path, "r");
    try {
      return new TorchFile(file, refuse, await inWords(refuse, () => readSaved(file, path)));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /**
   * [numbers] row by row, whatever the strides, as single precision; doubles are rounded.
   * @throws what `refuse` of open makes: damaged
   */
  read(tensor: TorchTensor): Promise<Float32Array> {
    return inWords(this.refuse, async () => {
      const { shape, strides, storage, offset } = tensor;
      const start = await this.checkedStart(storage.entry);
      const bytes = new Uint8Array(bytesOf(storage.type) * spanOf(shape, strides));
      const from = start + bytesOf(storage.type) * offset;
      if ((await readFully(this.file, bytes, from)) < bytes.length)
        throw new Error("it became shorter while it was read");
      return gathered(singlesOf(storage.type, bytes), shape, strides);
    });
  }

  /** Where the storage's bytes begin; once each, its checksum is made. */
  private async checkedStart(entry: ZipEntry): Promise<number> {
    const start = await zipDataOffset(this.file, entry);
    if (!this.checked.has(entry.name)) {
      await requireChecksum(this.file, entry, start);
      this.checked.add(entry.name);
    }
    return start;
  }
}

/** Errors in plain words get their file; those with a code pass. */
async function inWords<Result>(refuse: Refuse, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InwardError) throw error;
    throw refuse(error instanceof Error ? error.message : String(error), error);
  }
}

async function requireChecksum(file: FileHandle, entry: ZipEntry, start: number): Promise<void> {
  let crc = 0;
  for (let done = 0; done < entry.bytes; ) {
    const piece = new Uint8Array(Math.min(CHECKED_BYTES, entry.bytes - done));
    if ((await readFully(file, piece, start + done)) < piece.length) throw new Error(`${entry.name} is cut off`);
    crc = crc32(piece, crc);
    done += piece.length;
  }
  if (crc >>> 0 !== entry.crc) {
    throw new Error(
      `its member ${entry.name} is damaged: the CRC-32 does not match; a file saved without (torch.serialization.set_crc32_options) is to be saved again with it`,
    );
  }
}

async function readSaved(file: FileHandle, path: string): Promise<PickleValue> {
  const beginning = Buffer.alloc(2);
  await readFully(file, beginning, 0);
  if (beginning.toString("latin1") !== "PK") {
    // What a person would do with a file of an older PyTorch.
    const again = `python -c 'import sys, torch; torch.save(torch.load(sys.argv[1], map_location="cpu", weights_only=True), sys.argv[2])' ${path} again.pt`;
    throw new Error(
      `it is neither safetensors nor the archive that torch.save has written since PyTorch 1.6. If it is of an older PyTorch, save it again: ${again}`,
    );
  }
  const entries = new Map<string, ZipEntry>();
  const listed = await readZipDirectory(file);
  if (listed.length > MOST_ENTRIES) throw new Error(`its archive has ${listed.length} members`);
  for (const entry of listed) {
    if (entries.has(entry.name)) throw new Error(`its archive has ${shown(entry.name)} twice`);
    entries.set(entry.name, entry);
  }
  const pickles = listed.filter(({ name }) => /^[^/\\]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new Error(`its archive has ${pickles.length} members data.pkl, and one that torch.save wrote has 1`);
  }
  const root = pickle.name.slice(0, -"/data.pkl".length);
  if (entries.has(`${root}/constants.pkl`)) {
    throw new Error("it is a TorchScript archive, which holds code; save its state_dict() with torch.save");
  }
  const order = entries.get(`${root}/byteorder`);
  if (order !== undefined) {
    const said = new TextDecoder().decode(await wholeMember(file, order, 16));
    if (said !== "little") throw new Error(`its numbers are in the byte order ${shown(said)}, and little is read`);
  }
  return readPickle(await wholeMember(file, pickle, MOST_PICKLE_BYTES), rulesOf(root, entries));
}

async function wholeMember(file: FileHandle, entry: ZipEntry, most: number): Promise<Uint8Array> {
  requireStored(entry);
  if (entry.bytes > most)
    throw new Error(`its member ${shown(entry.name)} has ${entry.bytes} bytes, more than any real one`);
  const start = await zipDataOffset(file, entry);
  await requireChecksum(file, entry, start);
  const bytes = new Uint8Array(entry.bytes);
  await readFully(file, bytes, start);
  return bytes;
}

function requireStored({ name, method, bytes, compressedBytes }: ZipEntry): void {
  if (method === STORED && bytes === compressedBytes) return;
  throw new Error(`its member ${shown(name)} is packed, and torch.save packs nothing`);
}

function rulesOf(root: string, entries: ReadonlyMap<string, ZipEntry>): PickleRules {
  return {
    named: (name) => (NAMES.has(name) ? new Named(name) : undefined),
    call: (called, given) => {
      const name = called instanceof Named ? called.name : "";
      if (name === ORDERED_DICT) return orderedDict(given);
      if (name === TENSOR) return rebuiltTensor(given);
      if (name === PARAMETER && given[0] instanceof TorchTensor) return given[0];
      throw new Error(
        `its pickle calls ${name === "" ? "what is no function" : name} with other arguments than torch.save writes`,
      );
    },
    persistent: (id) => {
      const [what, type, key, , numbers] = isTuple(id) ? id : [];
      if (what !== "storage" || !(type instanceof Named) || typeof key !== "string" || !isCount(numbers)) {
        throw new Error("its pickle refers to what is no storage");
      }
      const number = STORAGES[type.name as keyof typeof STORAGES];
      if (number === undefined) throw new Error(`its pickle refers to ${type.name} as to numbers`);
      // Whatever the key says, it is looked up among the archive's members.
      const entry = entries.get(`${root}/data/${key}`);
      if (entry === undefined) throw new Error(`its archive lacks the storage ${shown(key)}`);
      requireStored(entry);
      if (entry.bytes !== numbers * bytesOf(number)) {
        throw new Error(
          `the storage ${shown(key)} has ${entry.bytes} bytes, and its pickle says ${numbers} numbers of type ${number}`,
        );
      }
      return new Storage(number, entry, numbers);
    },
    attributes: (of, state) => {
      // A state_dict has `_metadata` beside its tensors: versions of modules.
      if (!(of instanceof Map) || !(state instanceof Map))
        throw new Error("its pickle sets attributes of what has none");
    },
  };
}

/** @param given nothing, or pairs of keys and values */
function orderedDict(given: readonly PickleValue[]): Map<PickleKey, PickleValue> {
  if (given.length === 0) return new Map();
  throw new Error(`its pickle calls ${ORDERED_DICT} with other arguments than torch.save writes`);
}

function rebuiltTensor([storage, offset, shape, strides]: readonly PickleValue[]): TorchTensor {
  if (!(storage instanceof Storage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new Error(`its pickle calls ${TENSOR} with other arguments than torch.save writes`);
  }
  if (shape.length !== strides.length || shape.length > MOST_DIMENSIONS) {
    throw new Error(`it has a tensor of the shape [${shape.slice(0, 9)}] with ${strides.length} strides`);
  }
  const numbers = shape.reduce((product, length) => product * length, 1);
  // One that repeats its numbers (expand) would take more memory than its file has bytes.
  if (numbers > storage.numbers)
    throw new Error(`it has a tensor [${shape}] of a storage of ${storage.numbers} numbers`);
  const end = offset + spanOf(shape, strides);
  if (end > storage.numbers) {
    throw new Error(`it has a tensor [${shape}] that ends at number ${end} of a storage of ${storage.numbers}`);
  }
  return new TorchTensor(shape, strides, offset, storage);
}

/** Numbers of a storage from a tensor's first to behind its last. */
function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return 1 + shape.reduce((sum, length, at) => sum + (length - 1) * (strides[at] as number), 0);
}

function gathered(from: Float32Array, shape: readonly number[], strides: readonly number[]): Float32Array {
  const numbers = shape.reduce((product, length) => product * length, 1);
  const rowByRow = shape.map((_, at) => shape.slice(at + 1).reduce((product, length) => product * length, 1));
  if (shape.every((length, at) => length === 1 || strides[at] === rowByRow[at])) return from.subarray(0, numbers);
  const values = new Float32Array(numbers);
  for (let number = 0; number < numbers; number++) {
    let place = 0;
    for (const [at, length] of shape.entries())
      place += (Math.floor(number / (rowByRow[at] as number)) % length) * (strides[at] as number);
    values[number] = from[place] as number;
  }
  return values;
}

function bytesOf(type: NumberType): number {
  return GGML_TYPES[type].blockBytes;
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return isTuple(value) && value.every(isCount);
}
