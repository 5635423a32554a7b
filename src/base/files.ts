/** Files that are there whole or not at all: written beside their place, synced, renamed. */

import { createHash } from "node:crypto";
import { type BigIntStats, constants, mkdirSync, statSync } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { z } from "zod";
import { InwardError } from "../errors.js";
import { mostTelling } from "./schema-issue.js";
import { NO_LINK, readPlainFile } from "./untrusted.js";

// Turns what the file system says into coded errors.

/** @returns the coded error for a failed write, or the error itself when it is no known file-system failure */
export function writeError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    return new InwardError("STORE_DISK_FULL", `No space is left to write ${path}.`, { cause: error });
  }
  if (
    code === "EACCES" ||
    code === "EPERM" ||
    code === "EROFS" ||
    code === "ENOTDIR" ||
    code === "EEXIST" ||
    code === "EISDIR" ||
    code === "ERR_FS_EISDIR" ||
    code === "ENOTEMPTY" ||
    code === "ELOOP" ||
    code === "ENAMETOOLONG" ||
    code === "EIO" ||
    code === "ESTALE"
  ) {
    return new InwardError("STORE_UNWRITABLE", `${path} cannot be written (${code}).`, { cause: error });
  }
  // Moved, or removed, while somebody works in it.
  if (code === "ENOENT") {
    const what = `${path} cannot be written: its folder is not there (ENOENT).`;
    return new InwardError("STORE_UNWRITABLE", what, { cause: error });
  }
  return machineLimit(error) ?? error;
}

/** What a file is to the file system: as long as it says the same, nobody has written to it. */
export function seenOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

/** That a file of a run is no plain file, or gone, is its fault. Rights, a failing disk and the limits of a process say nothing of what it holds. */
const FAULT_OF_FILE = /^(E(NOENT|ISDIR|NOTDIR|LOOP|NAMETOOLONG)$|[^E])/;

/** @param why a code of the file system, or why it is no plain file @returns the coded error for a file of a run that cannot be read */
export function readError(why: string, path: string): InwardError {
  const what = `${path} cannot be read (${why}).`;
  if (FAULT_OF_FILE.test(why)) return new InwardError("STORE_CORRUPT", what);
  return LIMITS[why]
    ? new InwardError("MACHINE_LIMIT", `${what} ${LIMITS[why]}.`)
    : new InwardError("STORE_UNREADABLE", what);
}

const LIMITS: Readonly<Record<string, string>> = {
  EMFILE: "this process may open no more files",
  ENFILE: "this machine may open no more files",
  // What node says, too, when it cannot open a file of the program for want of descriptors.
  ERR_MODULE_NOT_FOUND: "it is not installed (npm install), or this process may open no more files",
  EAGAIN: "no more processes may be started",
  ENOMEM: "there is no memory left",
};

/** The coded error of a limit of the process or the machine, wherever it was met; undefined for any other. */
export function machineLimit(error: unknown): InwardError | undefined {
  if (!(error instanceof Error) || error instanceof InwardError) return undefined;
  const why = LIMITS[(error as NodeJS.ErrnoException).code ?? ""];
  if (why === undefined) return undefined;
  return new InwardError("MACHINE_LIMIT", `${error.message}: ${why}.`, { cause: error });
}

/** Folders that this process works in, one for each call that has not ended. */
const kept = new Set<{ readonly path: string }>();

/**
 * From now on `makeFolder` does not make this folder: when it is moved away while somebody works in it, what is written later would stand
 * in a new folder of the old name.
 * @returns ends that
 */
export function keepInPlace(folder: string): () => void {
  const own = { path: resolve(folder) };
  kept.add(own);
  return () => {
    kept.delete(own);
  };
}

/** The error for a folder that is gone while this process works in it. */
export function movedAway(folder: string): InwardError {
  return new InwardError(
    "STORE_UNWRITABLE",
    `${folder} is not there any more: it was moved or removed while this process worked in it. What was finished is in the moved folder, and the same command goes on there.`,
  );
}

/**
 * A folder and those above it, where they are not there yet. Not by Node's own recursion: on a file system that has no place for a new
 * folder (proc, an automounter's root) that tries again without end.
 * @param mode of new folders
 * @throws STORE_DISK_FULL, STORE_UNWRITABLE
 */
export function makeFolder(path: string, mode?: number): void {
  const missing: string[] = [];
  let above = resolve(path);
  try {
    for (; statSync(above, { throwIfNoEntry: false }) === undefined; above = dirname(above)) missing.unshift(above);
    const moved = [...kept].find((folder) => missing.includes(folder.path));
    if (moved !== undefined) throw movedAway(moved.path);
    if (!statSync(above).isDirectory()) throw Object.assign(new Error(`${above} is no folder`), { code: "ENOTDIR" });
    for (const folder of missing) makeOne(folder, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw writeError(error, path);
    throw new InwardError("STORE_UNWRITABLE", `${path} cannot be made: there is no place for it (ENOENT).`, {
      cause: error,
    });
  }
}

/** A folder in one that is there. @throws what the file system says */
export function makeOne(folder: string, mode?: number): void {
  try {
    mkdirSync(folder, mode === undefined ? {} : { mode });
  } catch (error) {
    // Another process may have made it meanwhile.
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST" && statSync(folder).isDirectory();
    if (!isThere) throw error;
  }
}

/** Never through a symbolic link: what is written is the named file itself. */
const WRITING = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | NO_LINK;
export const APPENDING = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | NO_LINK;

type Content = string | Uint8Array | Iterable<string>;

/**
 * @param content text, whole or in pieces, or bytes, whole or as they come
 * @throws STORE_DISK_FULL, STORE_UNWRITABLE, what makes the pieces; the old file, if any, is then still there
 */
export async function writeWhole(path: string, content: Content | AsyncIterable<Uint8Array>): Promise<void> {
  const partial = `${path}.partial-${process.pid}`;
  try {
    const file = await open(partial, WRITING);
    try {
      const pieces =
        Symbol.asyncIterator in Object(content) ? (content as AsyncIterable<Uint8Array>) : piecesOf(content as Content);
      for await (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw writeError(error, path);
  }
}

/** Characters that are written at once. */
const PIECE = 1 << 20;

function* piecesOf(content: Content): Generator<string | Uint8Array> {
  if (typeof content === "string" || content instanceof Uint8Array) return yield content;
  let piece = "";
  for (const text of content) {
    piece += text;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}

export function writeJson(path: string, value: unknown): Promise<void> {
  return writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);
}

export function writeJsonLines(path: string, rows: readonly unknown[]): Promise<void> {
  return writeWhole(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

/** What a process left that was killed between writing a file and giving it its name. Only for who alone writes to the folder. */
export async function removePartials(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/\.partial-\d+$/.test(name)) await rm(join(folder, name), { force: true });
  }
}

// Reads a run's JSON and JSONL files; what cannot be read is STORE_CORRUPT with its place.

/** The complete lines of a JSONL file. A last line without its newline was cut off in writing and is not a record. */
interface JsonLines<Row> {
  readonly rows: Row[];
  /** Offset, bytes, just past each row's newline. */
  readonly ends: number[];
}

/**
 * @param schema what each row must be; what it does not know of is kept
 * @param wanted of a line's text; others are passed over unread, and have neither row nor end
 * @param kept what is kept of a row in memory, whole where absent
 * @returns no rows when the file does not exist
 * @throws STORE_CORRUPT, also for a symbolic link and a folder
 */
export async function readJsonLines<Row>(
  path: string,
  schema?: z.ZodType,
  wanted: (line: string) => boolean = () => true,
  kept: (row: Row) => Row = (row) => row,
): Promise<JsonLines<Row>> {
  const bytes = readRunFile(path) ?? Buffer.alloc(0);
  const rows: Row[] = [];
  const ends: number[] = [];
  let start = 0;
  let number = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    const line = bytes.toString("utf8", start, end);
    start = end + 1;
    number++;
    if (!wanted(line)) continue;
    rows.push(kept(parse(line, `${path}, line ${number}`, schema)));
    ends.push(start);
  }
  return { rows, ends };
}

/** @throws STORE_INCOMPLETE when there is no such file, STORE_CORRUPT when it is no JSON, or not what the schema wants */
export async function readJson<Value>(path: string, schema?: z.ZodType): Promise<Value> {
  const bytes = readRunFile(path);
  if (bytes === undefined) throw new InwardError("STORE_INCOMPLETE", `${path} is not there yet.`);
  return parse(bytes.toString("utf8"), path, schema);
}

function readRunFile(path: string): Buffer | undefined {
  let absent = false;
  const refuse = (why: string) => {
    absent = why === "ENOENT";
    return readError(why, path);
  };
  try {
    return readPlainFile(path, Number.POSITIVE_INFINITY, refuse, "refused");
  } catch (error) {
    if (absent) return undefined;
    throw error;
  }
}

function parse<Value>(text: string, place: string, schema?: z.ZodType): Value {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
    if (parsed === null || typeof parsed !== "object") throw new Error("not an object");
    // Schemas of records pass over this key; inside a text its quotes are escaped.
    if (/"__proto__"\s*:/.test(text)) throw new Error("it has a key __proto__");
  } catch (error) {
    throw new InwardError("STORE_CORRUPT", `${place} is no JSON record: ${(error as Error).message}`);
  }
  const checked = schema?.safeParse(parsed, { reportInput: true });
  if (checked?.success === false) {
    const issue = mostTelling(checked.error);
    const where = issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
    throw new InwardError("STORE_CORRUPT", `${place} is not what inward writes there: ${where}${issue.message}.`);
  }
  return parsed as Value;
}

// JSON with sorted keys, so that equal values have equal bytes and equal hashes.

export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** sha256 of the canonical JSON, hex. */
export function hashOf(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}
