// Which model a study means: a name of the registry, an `hf:` URI, or a file of the user's own.

import { createHash } from "node:crypto";
import { hashOf, makeFolder } from "../base/files.js";
import { isRecord } from "../base/untrusted.js";
import {
  type BigIntStats,
  createReadStream,
  existsSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { type ErrorCode, InwardError } from "../errors.js";
import { type GgufSummary, inspectGguf, requireRunnable } from "../gguf/inspect-gguf.js";
import type { ModelSource, Registry } from "./registry.js";
import { fileIdOfUri, parseHuggingFaceUri } from "./sources/hugging-face.js";

/** A model that lives in the model folder as `<id>.gguf`, wherever it comes from. */
export interface ManagedModel {
  readonly kind: "managed";
  /** As the user wrote it. */
  readonly source: string;
  readonly id: string;
  readonly sources: readonly ModelSource[];
  /** Null as long as nobody has recorded it. */
  readonly sha256: string | null;
  /** Null as long as nobody has recorded it. */
  readonly bytes: number | null;
  /** Absent: ask the file itself. */
  readonly licence?: string;
}

/** A file of the user's own: used where it is, never moved, renamed or deleted. */
export interface UserModel {
  readonly kind: "user_file";
  readonly source: string;
  readonly path: string;
}

/** @throws InwardError MODEL_NOT_FOUND */
export function identifyModel(source: string, registry: Registry): ManagedModel | UserModel {
  const entry = registry.models.find((model) => model.name === source);
  if (entry) {
    const { name, sources, sha256, bytes, licence } = entry;
    return { kind: "managed", source, id: name, sources, sha256, bytes, licence };
  }
  if (source.startsWith("hf:")) {
    const id = fileIdOfUri(parseHuggingFaceUri(source));
    return { kind: "managed", source, id, sources: [{ type: "hf", uri: source }], sha256: null, bytes: null };
  }
  if (/[\\/]|\.gguf$/i.test(source) || existsSync(source)) return { kind: "user_file", source, path: source };
  const known = registry.models.map((model) => model.name).join(", ");
  throw new InwardError("MODEL_NOT_FOUND", `no model is called ${JSON.stringify(source)}; the registry has ${known}`);
}

// sha256 of model files: hashed once per state of the file (path, size, time, inode), so that a second run starts at once.

interface HashOptions {
  /** What to call the file in progress reports; its own name unless given. */
  readonly name?: string | undefined;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @returns lower case hex. @throws InwardError INTERRUPTED, or the file system's own error */
export async function sha256OfFile(path: string, options: HashOptions = {}): Promise<string> {
  return sha256OfFiles([path], options);
}

/**
 * @param paths a model's files in order: what is hashed are all their bytes, one file after the other, as `cat` gives them
 * @returns lower case hex. @throws InwardError INTERRUPTED, or the file system's own error
 */
export async function sha256OfFiles(paths: readonly string[], options: HashOptions = {}): Promise<string> {
  const totalBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  const hash = createHash("sha256");
  let doneBytes = 0;
  for (const path of paths) {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      if (options.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while hashing ${path}`);
      hash.update(chunk as Buffer);
      doneBytes += (chunk as Buffer).length;
      options.onProgress?.({ stage: "verify", what: options.name ?? basename(path), doneBytes, totalBytes });
    }
  }
  return hash.digest("hex");
}

/**
 * Remembers hashes in `verified.json` of the model folder. Only a shortcut: `npx inward verify model` never reads it, and what does not
 * agree with its own seal is not believed.
 * @param paths a model's files in order
 */
export async function rememberedSha256(
  folder: string,
  paths: readonly string[],
  options: HashOptions = {},
): Promise<string> {
  const [first] = paths as readonly [string, ...string[]];
  const state = stateOf(paths);
  const known = readRemembered(folder)[first];
  const isKnown = known?.state === state;
  const sha256 = isKnown ? known.sha256 : await sha256OfFiles(paths, options);
  // A file that changed while it was read has no checksum worth keeping.
  if (stateOf(paths) !== state) return sha256;
  if (!isKnown) remember(folder, paths, sha256);
  hashed.set(first, { paths, state, sha256 });
  return sha256;
}

/** What this process has hashed, by the first file: also where the model folder keeps nothing. */
const hashed = new Map<
  string,
  { readonly paths: readonly string[]; readonly state: string; readonly sha256: string }
>();

/**
 * Proves that a model's file is still the one that was found first: work of days opens it again and again. Reads it only where it has changed.
 * @param model its name
 * @throws InwardError MODEL_CHECKSUM, MODEL_NOT_FOUND, and what a file says that is no model any more
 */
export async function requirePlannedFile(
  model: string,
  { path, sha256: planned }: { readonly path: string; readonly sha256: string },
): Promise<void> {
  const known = hashed.get(path);
  if (known?.sha256 === planned && stateOf(known.paths) === known.state) return;
  if (!existsSync(path)) {
    throw new InwardError(
      "MODEL_NOT_FOUND",
      `the file of ${model} is not at ${path}, where it was when the run was planned`,
    );
  }
  const { parts } = await inspectGguf(path);
  const sha256 = await rememberedSha256(makeModelFolder(modelFolder()), parts);
  if (sha256 === planned) return;
  throw new InwardError(
    "MODEL_CHECKSUM",
    `${path} has sha256 ${sha256}; ${model} had ${planned} when it was looked for.`,
  );
}

/**
 * Proves it when something was made of a model, whose weights may be read from their file as long as the work goes on. Where the file is
 * another by now, what was made goes: nobody knows from which moment, and the next call would take it for finished work. A file that is not
 * there, or cannot be read now, says nothing of what was read before.
 * @param require throws as requirePlannedFile @param made paths
 */
export async function requireStillPlanned(require: () => Promise<void>, made: readonly string[]): Promise<void> {
  await require().catch(async (error) => {
    if (!(error instanceof InwardError) || error.code !== "MODEL_CHECKSUM") throw error;
    for (const path of made) await rm(path, { force: true });
    throw error;
  });
}

/** The hash from when the model's file, or all its files, were last read whole, unless one has changed since. */
export function recallSha256(folder: string, first: string): string | undefined {
  const known = readRemembered(folder)[first];
  return known?.state === stateOf([first, ...(known?.parts ?? [])]) ? known.sha256 : undefined;
}

/** What a release of llama.cpp warned of, of the file as it is now; undefined where nobody has looked. */
export function recallWarnings(folder: string, paths: readonly string[], release: string): string[] | undefined {
  const known = readRemembered(folder)[paths[0] as string];
  return known?.state === stateOf(paths) ? known.warnings?.[release] : undefined;
}

/** Kept beside the file's hash, as long as that holds. */
export function rememberWarnings(folder: string, paths: readonly string[], release: string, warnings: string[]): void {
  const known = readRemembered(folder)[paths[0] as string];
  if (known?.state === stateOf(paths)) remember(folder, paths, known.sha256, { [release]: warnings });
}

/** Stores a hash that was just computed over the whole file, or over all files of a split model. */
export function remember(
  folder: string,
  paths: readonly string[],
  sha256: string,
  warnings?: Remembered["warnings"],
): void {
  const [first, ...parts] = paths as readonly [string, ...string[]];
  const present = Object.entries(readRemembered(folder)).filter(([known]) => existsSync(known));
  const entry = {
    state: stateOf(paths),
    sha256,
    ...(parts.length > 0 ? { parts } : {}),
    ...(warnings ? { warnings } : {}),
  };
  const all = { ...Object.fromEntries(present), [first]: { ...entry, seal: sealOf(first, entry) } };
  const partial = join(folder, `verified.json.partial-${process.pid}`);
  try {
    writeFileSync(partial, `${JSON.stringify(all, null, 2)}\n`);
    renameSync(partial, join(folder, "verified.json"));
  } catch {
    // A model folder that cannot be written only costs hashing again.
  }
}

/**
 * Size, times and inode of each file: another state is another content. A copy may keep size and time of what it replaces and is another
 * file, or, written over it, has changed it later than that.
 */
function stateOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const stat = statOf(path);
      return stat ? `${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}:${stat.ino}` : "missing";
    })
    .join("|");
}

/** @returns undefined where there is none, also where a file stands in the place of a folder above it */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

const rememberedSchema = z.strictObject({
  state: z.string(),
  sha256: z.string(),
  /** Of a split model, the files after the first. */
  parts: z.array(z.string()).optional(),
  /** By the release of llama.cpp that gave them. */
  warnings: z.record(z.string(), z.array(z.string())).optional(),
  /** Of all this and of the path. */
  seal: z.string(),
});
type Remembered = z.infer<typeof rememberedSchema>;

function sealOf(path: string, entry: Omit<Remembered, "seal">): string {
  return hashOf([path, entry]);
}

/** What agrees with its seal; a file of others, spoilt or of before there were seals only costs hashing again. */
function readRemembered(folder: string): Record<string, Remembered> {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(join(folder, "verified.json"), "utf8"));
  } catch {
    return {};
  }
  const sealed = Object.entries(isRecord(data) ? data : {}).flatMap(([path, value]): [string, Remembered][] => {
    const read = rememberedSchema.safeParse(value);
    if (!read.success) return [];
    const { seal, ...entry } = read.data;
    return seal === sealOf(path, entry) ? [[path, read.data]] : [];
  });
  return Object.fromEntries(sealed);
}

// Bad files in the model folder are moved out of the way, never deleted and never used.

/**
 * Moves a file of the model folder into its `set-aside` folder.
 * @param name what to call it there, when its own name is a temporary one
 * @returns a clause for the error text: where the file went, or why it could not be moved
 */
function setAside(folder: string, path: string, name: string = basename(path), now: Date = new Date()): string {
  const stamp = now.toISOString().replace(/[:.]/g, "-");
  const place = join(folder, "set-aside");
  let target = join(place, `${name}-${stamp}`);
  for (let again = 2; existsSync(target); again++) target = join(place, `${name}-${stamp}-${again}`);
  try {
    makeFolder(place);
    renameSync(path, target);
  } catch (error) {
    return `it could not be moved away (${(error as Error).message}): remove ${path} yourself`;
  }
  return `moved to ${target}`;
}

// The one gate that every model file passes before use: readable, runnable, and with the checksum that is expected.

interface ModelFileCheck extends HashOptions {
  readonly folder: string;
  readonly path: string;
  /** Lies in the model folder, so that a bad one is set aside; a file of others is left alone. */
  readonly owned: boolean;
  /** What to call it in progress reports and when it is set aside; its own name unless given. */
  readonly name?: string | undefined;
  readonly expectedSha256?: string | undefined;
  /** Reads the whole file even when it has not changed since it was last read. */
  readonly rehash?: boolean;
}

export interface CheckedModelFile {
  readonly summary: GgufSummary;
  readonly sha256: string;
}

/** These say that the file itself is bad; anything else may be the machine's fault. */
const BAD_FILE: readonly ErrorCode[] = [
  "MODEL_CHECKSUM",
  "MODEL_TRUNCATED",
  "MODEL_NOT_GGUF",
  "MODEL_PARTS",
  "MODEL_HEADER",
  "MODEL_ARCHITECTURE",
  "MODEL_NO_VOCABULARY",
];

/** @throws InwardError one of BAD_FILE, saying where the file went · MODEL_NOT_FOUND · MODEL_TENSOR_TYPE · INTERRUPTED */
export async function checkModelFile(check: ModelFileCheck): Promise<CheckedModelFile> {
  try {
    const summary = await inspectGguf(check.path);
    requireRunnable(summary);
    const sha256 = await hash(check, summary.parts);
    if (check.expectedSha256 !== undefined && sha256 !== check.expectedSha256) {
      throw new InwardError(
        "MODEL_CHECKSUM",
        `${check.path} has sha256 ${sha256}, but ${check.expectedSha256} is expected`,
      );
    }
    return { summary, sha256 };
  } catch (error) {
    if (!(error instanceof InwardError) || !BAD_FILE.includes(error.code)) throw error;
    const fate = check.owned
      ? setAside(check.folder, check.path, check.name)
      : "it is not inward's own, so it stays where it is";
    throw new InwardError(error.code, `${error.message}; ${fate}`, { cause: error });
  }
}

/** Whether a check failed because of the file, so that another source may still help. */
export function isBadFile(error: unknown): error is InwardError {
  return error instanceof InwardError && BAD_FILE.includes(error.code);
}

async function hash(check: ModelFileCheck, paths: readonly string[]): Promise<string> {
  if (!check.rehash) return rememberedSha256(check.folder, paths, check);
  const sha256 = await sha256OfFiles(paths, check);
  remember(check.folder, paths, sha256);
  return sha256;
}

// Where inward keeps model files: one folder per user, never inside a run or the repository.

/**
 * `$INWARD_MODELS`, else `$XDG_CACHE_HOME/inward/models`, else `~/.cache/inward/models`. Absolute; may not exist yet.
 */
export function modelFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.INWARD_MODELS) return resolve(env.INWARD_MODELS);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache"), "inward", "models");
}

/** Creates the folder when it is missing. @throws InwardError MODEL_FOLDER */
export function makeModelFolder(folder: string): string {
  try {
    makeFolder(folder);
  } catch (error) {
    throw modelFolderError((error as Error).cause ?? error, `cannot create the folder ${folder}`);
  }
  return folder;
}

/** A failed write as a coded error: full disk and missing rights are told apart by the system's own words. */
export function modelFolderError(error: unknown, what: string): InwardError {
  if (error instanceof InwardError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const why = code === "ENOSPC" ? "the disk is full" : error instanceof Error ? error.message : String(error);
  return new InwardError("MODEL_FOLDER", `${what}: ${why}`, { cause: error });
}

// checksums.json in the model folder: what a file was when it first came, enforced ever after.

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
const recordSchema = z.strictObject({
  sha256: sha256Schema,
  bytes: z.number().int().nonnegative(),
  /** Where it came from, for a reader. */
  origin: z.string(),
  reencodedFrom: z.strictObject({ sha256: sha256Schema, encoding: z.string() }).optional(),
});
const fileSchema = z.strictObject({ checksumsVersion: z.literal(1), files: z.record(z.string(), recordSchema) });

export type RecordedChecksum = z.infer<typeof recordSchema>;

/** All records by file name. @throws InwardError MODEL_FOLDER when the file is there and unreadable */
export function recordedChecksums(folder: string): Readonly<Record<string, RecordedChecksum>> {
  const path = join(folder, "checksums.json");
  if (!existsSync(path)) return {};
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new InwardError("MODEL_FOLDER", `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const parsed = fileSchema.safeParse(data);
  if (parsed.success) return parsed.data.files;
  const issue = parsed.error.issues[0];
  throw new InwardError("MODEL_FOLDER", `${path}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`);
}

/** @throws InwardError MODEL_FOLDER */
export function recordChecksum(folder: string, fileName: string, record: RecordedChecksum): void {
  const files = { ...recordedChecksums(folder), [fileName]: record };
  const path = join(folder, "checksums.json");
  const partial = `${path}.partial-${process.pid}`;
  try {
    writeFileSync(partial, `${JSON.stringify({ checksumsVersion: 1, files }, null, 2)}\n`);
    renameSync(partial, path);
  } catch (error) {
    throw modelFolderError(error, `cannot write ${path}`);
  }
}

/** Whether the user has asked every program to stay off the network: Hugging Face's own variable. */
export function isOffline(env: NodeJS.ProcessEnv): boolean {
  return ["1", "true", "yes", "on"].includes((env.HF_HUB_OFFLINE ?? "").toLowerCase());
}

// What a long step on a model file reports while it works.

export interface ModelProgress {
  readonly stage: "download" | "unpack" | "verify" | "re-encode";
  /** What is being worked on, for a reader: a registry name, URI or file name. */
  readonly what: string;
  readonly doneBytes: number;
  /** Absent when nobody knows it beforehand. */
  readonly totalBytes?: number;
}

export type OnModelProgress = (progress: ModelProgress) => void;
