/**
 * The checkpoint of a training run: one file, so that parameters, moments, step and losses are always of one moment. It is
 * written under another name, synced and renamed: what stands under its own name is whole.
 */

import type { TrainingSettings } from "../study/study.js";
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { NativeState } from "../../native/index.js";
import { canonicalJson, makeOne, writeError } from "../base/files.js";
import { decodeUtf8, isRecord, parseStrictJson } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { LossPoint, ValidationPoint } from "./adapter/card.js";

export interface TrainingCheckpoint {
  readonly identity: TrainingIdentity;
  /** Optimizer steps that are done; which batch comes next follows from it. */
  readonly step: number;
  readonly losses: readonly LossPoint[];
  readonly validation: readonly ValidationPoint[];
  /** The kernels that computed so far, and must go on. */
  readonly kernels: Readonly<Record<string, string>>;
  readonly state: NativeState;
}

const FILE = "checkpoint.bin";
/** Names the format: magic, header bytes (u32), parameters (u32), header (JSON), three arrays of f32, sha256 of all before. */
const MAGIC = Buffer.from("inwckpt1");
const PREAMBLE_BYTES = MAGIC.length + 8;
const DIGEST_BYTES = 32;
/** Bytes read at a time. */
const CHUNK = 1 << 24;
const ARRAYS = ["parameters", "firstMoments", "secondMoments"] as const;

const steps = z.int().min(0);
const headerSchema = z.strictObject({
  // Compared whole with that of the run that takes it up.
  identity: z.record(z.string(), z.unknown()),
  step: steps,
  losses: z.array(
    z.strictObject({
      step: steps.min(1),
      epoch: z.number().min(0),
      lossNatsPerToken: z.number(),
      answerTokens: steps,
      learningRate: z.number(),
      gradientNorm: z.number(),
    }),
  ),
  validation: z.array(
    z.strictObject({ step: steps, lossNatsPerToken: z.number(), answersRight: steps, answers: steps }),
  ),
  kernels: z.record(z.string(), z.string()),
});

/** @throws STORE_DISK_FULL, STORE_UNWRITABLE; the checkpoint before this one is then still there */
export async function writeCheckpoint(folder: string, checkpoint: TrainingCheckpoint): Promise<void> {
  const path = join(folder, FILE);
  const partial = `${path}.partial-${process.pid}`;
  const { state, ...rest } = checkpoint;
  const header = Buffer.from(JSON.stringify(rest));
  const preamble = Buffer.alloc(PREAMBLE_BYTES);
  MAGIC.copy(preamble);
  preamble.writeUInt32LE(header.length, MAGIC.length);
  preamble.writeUInt32LE(state.parameters.length, MAGIC.length + 4);
  const parts = [preamble, header, ...ARRAYS.map((name) => bytesOf(state[name]))];
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  try {
    // Its own folder alone, where somebody removed that: what was trained is still in memory. One above it that is gone was moved away.
    makeOne(folder);
    const file = await open(partial, "w");
    try {
      for (const part of [...parts, hash.digest()]) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw writeError(error, path);
  }
}

/**
 * @returns undefined when the folder holds none
 * @throws TRAIN_CHECKPOINT when the file is damaged, or of another version of inward
 */
export async function readCheckpoint(folder: string): Promise<TrainingCheckpoint | undefined> {
  const path = join(folder, FILE);
  const unreadable = (error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new InwardError("TRAIN_CHECKPOINT", `${path} cannot be read (${error.code}).`);
  };
  // Looked at before it is opened: opening a named pipe would wait for a writer for ever.
  const found = await stat(path).catch(unreadable);
  if (!found) return undefined;
  if (!found.isFile()) throw damaged(path, "it is not a file");
  const file = await open(path, "r").catch(unreadable);
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const hash = createHash("sha256");
    const preamble = Buffer.alloc(PREAMBLE_BYTES);
    if (size < PREAMBLE_BYTES) throw damaged(path, `it has ${size} bytes`);
    await readInto(file, preamble, hash);
    if (!preamble.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(path, "it does not begin as one");
    const headerBytes = preamble.readUInt32LE(MAGIC.length);
    const parameters = preamble.readUInt32LE(MAGIC.length + 4);
    const expected = PREAMBLE_BYTES + headerBytes + ARRAYS.length * 4 * parameters + DIGEST_BYTES;
    if (size !== expected) throw damaged(path, `it has ${size} bytes and should have ${expected}`);
    const header = Buffer.alloc(headerBytes);
    await readInto(file, header, hash);
    const [values, first, second] = ARRAYS.map(() => new Float32Array(parameters));
    const state = { parameters: values, firstMoments: first, secondMoments: second } as NativeState;
    for (const name of ARRAYS) await readInto(file, bytesOf(state[name]), hash);
    const digest = Buffer.alloc(DIGEST_BYTES);
    await readInto(file, digest);
    if (!hash.digest().equals(digest)) throw damaged(path, "its checksum is not that of its content");
    return { ...checkpointHeader(header, path), state };
  } finally {
    await file.close();
  }
}

function checkpointHeader(header: Buffer, path: string): Omit<TrainingCheckpoint, "state"> {
  const place = { code: "TRAIN_CHECKPOINT", place: `${path}: its header` } as const;
  const checked = headerSchema.safeParse(parseStrictJson(decodeUtf8(header, place), place));
  if (!checked.success) {
    const issue = checked.error.issues[0];
    throw damaged(path, `its header's ${issue?.path.join(".") || "form"}: ${issue?.message}`);
  }
  return checked.data as unknown as Omit<TrainingCheckpoint, "state">;
}

/** Removes the checkpoint and what interrupted writes left; what else lies in the folder is not ours. */
export async function removeCheckpoint(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names.filter((one) => one.startsWith(FILE))) await rm(join(folder, name), { force: true });
}

async function readInto(file: FileHandle, target: Uint8Array, hash?: Hash): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await file.read(target, done, Math.min(CHUNK, target.length - done));
    if (bytesRead === 0) throw new InwardError("TRAIN_CHECKPOINT", "The checkpoint ended while it was read.");
    hash?.update(target.subarray(done, done + bytesRead));
    done += bytesRead;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function damaged(path: string, why: string): InwardError {
  return new InwardError("TRAIN_CHECKPOINT", `${path} is no whole checkpoint: ${why}.`);
}

// Everything that a training run's every bit depends on: a checkpoint is taken up only by a run of the same.

export interface TrainingIdentity {
  readonly settings: TrainingSettings;
  /** sha256 of the encoded examples, validation included. */
  readonly data: string;
  readonly subjects: string | null;
  readonly validationData: string | null;
  readonly base: string;
  readonly initialAdapter: string | null;
  readonly device: string;
  readonly threads: number;
  /** Absent: off. */
  readonly exact?: true;
  readonly llamaCpp: string;
}

/** Before inward's own products there was the path of a BLAS, or null: ggml's kernels. On other devices than a processor it meant nothing. */
type SavedIdentity = TrainingIdentity & { readonly blas?: string | null };

/**
 * A checkpoint that this training can have reached. A step beyond the last would never end the loop; a root is taken of second moments.
 * @throws TRAIN_CHECKPOINT
 */
export function requireReachable(folder: string, checkpoint: TrainingCheckpoint, totalSteps: number): void {
  const why = whyUnreachable(checkpoint, totalSteps);
  if (why) throw new InwardError("TRAIN_CHECKPOINT", `${folder} holds a checkpoint that cannot be: ${why}.`);
}

function whyUnreachable(
  { step, losses, validation, state }: TrainingCheckpoint,
  totalSteps: number,
): string | undefined {
  if (step > totalSteps) return `step ${step} of ${totalSteps}`;
  if (losses.length !== step || losses.some((loss, at) => loss.step !== at + 1)) {
    return `step ${step} with the losses of other steps`;
  }
  if (validation.some((look, at) => look.step > step || look.step <= (validation[at - 1]?.step ?? -1))) {
    return `step ${step} with looks at the validation examples after other steps`;
  }
  for (const name of ARRAYS) {
    const bad = state[name].findIndex((value) => !Number.isFinite(value) || (name === "secondMoments" && value < 0));
    if (bad >= 0) return `value ${bad} of its ${name} is ${state[name][bad]}`;
  }
  return undefined;
}

/** @throws TRAIN_CHECKPOINT, which names the first difference */
export function requireSameRun(folder: string, saved: SavedIdentity, now: TrainingIdentity): void {
  const { blas, ...identity } = saved;
  if (blas !== undefined && identity.device === "cpu") {
    throw new InwardError(
      "TRAIN_CHECKPOINT",
      `${folder} holds the checkpoint of another training: its products were computed by ${blas ?? "ggml's kernels"}, now they are inward's own.`,
    );
  }
  const difference = firstDifference(identity, now, "");
  if (difference === undefined) return;
  throw new InwardError(
    "TRAIN_CHECKPOINT",
    `${folder} holds the checkpoint of another training: its ${difference.key} is ${difference.saved}, now it is ${difference.now}.`,
  );
}

function firstDifference(
  saved: unknown,
  now: unknown,
  key: string,
): { key: string; saved: string; now: string } | undefined {
  if (isRecord(saved) && isRecord(now)) {
    for (const name of new Set([...Object.keys(saved), ...Object.keys(now)])) {
      const inner = firstDifference(saved[name], now[name], key === "" ? name : `${key}.${name}`);
      if (inner) return inner;
    }
    return undefined;
  }
  const [before, after] = [saved, now].map((value) => (value === undefined ? "absent" : canonicalJson(value)));
  return before === after ? undefined : { key, saved: before as string, now: after as string };
}
