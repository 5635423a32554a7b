/**
 * Answers kept from earlier asking, on disk: a folder for each way of evaluating, in it files that are only ever appended to. A record
 * has its own checksum, and one that is torn or spoilt is no record.
 */

import { createHash, randomUUID } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { canonicalJson, hashOf, makeFolder, writeWhole } from "../base/files.js";
import { isProcessAlive } from "../base/lock.js";
import { NO_LINK } from "../base/untrusted.js";

/** `$INWARD_ANSWER_CACHE`, else `$XDG_CACHE_HOME/inward/answers`, else `~/.cache/inward/answers`; undefined where it is `off`. */
export function answerFolder(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const given = env.INWARD_ANSWER_CACHE;
  if (given === "off") return undefined;
  if (given) return resolve(given);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache"), "inward", "answers");
}

/** Of all files together: some hundred thousand answers. */
export const MOST_BYTES = 2 * 2 ** 30;
/** What is thrown away for want of room goes file by file. */
const MOST_SEGMENT_BYTES = 32 * 2 ** 20;
const ENDING = ".answers";
const ABOUT = "evaluation.json";

export interface StoredAnswer {
  readonly value: unknown;
  /** When it was asked, ISO 8601. */
  readonly asked: string;
}

/** What a store has met that it does not believe. */
export interface StoreFaults {
  /** Lines that were cut off while they were written. */
  torn: number;
  /** Records whose content contradicts their checksum or their key. */
  refused: number;
  /** Why nothing can be kept any more, once it was so. */
  unwritable?: string;
}

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

/** A record is a line: key, checksum of what follows it and of the key, time, JSON. Keys and checksums are 64 hex digits. */
const RECORD = /^([0-9a-f]{64}) ([0-9a-f]{64}) (\S{20,30}) (.*)$/s;
const SHORTEST = 64 + 1 + 64 + 1 + 20 + 1;
const LINE_END = 10;

/** The answers of one way of evaluating. Several processes may use one folder: each appends to files of its own. */
export class AnswerStore {
  readonly faults: StoreFaults = { torn: 0, refused: 0 };
  private readonly index = new Map<string, Place>();
  /** Bytes of each file that were looked at, up to its last whole line. */
  private readonly seen = new Map<string, number>();
  private readonly used = new Set<string>();
  private own: { readonly path: string; bytes: number } | undefined;

  private constructor(
    private readonly folder: string,
    private readonly all: string,
    private readonly mostBytes: number,
  ) {}

  /**
   * Never throws for what is in the folder or for a folder that cannot be written: answers are asked then.
   * @param all folder of all stores
   * @param evaluation what all of a store's answers depend on
   */
  static async open(all: string, evaluation: unknown, mostBytes: number = MOST_BYTES): Promise<AnswerStore> {
    const folder = join(all, hashOf(evaluation));
    const store = new AnswerStore(folder, all, mostBytes);
    try {
      makeFolder(folder, 0o700);
      // For whoever looks into the folder; nothing is read from it.
      const about = join(folder, ABOUT);
      if (!existsSync(about)) await writeWhole(about, `${canonicalJson(evaluation)}\n`);
      makeRoom(all, mostBytes);
    } catch (error) {
      store.faults.unwritable = messageOf(error);
    }
    store.look();
    return store;
  }

  /** Takes in what others have written since. */
  look(): void {
    const names = attempt(() => readdirSync(this.folder)) ?? [];
    for (const name of names.filter((one) => one.endsWith(ENDING)).sort()) {
      const path = join(this.folder, name);
      if (path !== this.own?.path) this.scan(path, ownerOf(name));
    }
  }

  private scan(path: string, owner: number): void {
    attempt(() => {
      const from = this.seen.get(path) ?? 0;
      // Looked at before it is opened: opening a named pipe would wait for a writer for ever.
      const found = lstatSync(path);
      if (!found.isFile() || found.size > MOST_BYTES) return;
      const file = openSync(path, constants.O_RDONLY | NO_LINK);
      try {
        const size = fstatSync(file).size;
        if (size <= from) return;
        const bytes = Buffer.alloc(size - from);
        const read = readSync(file, bytes, 0, bytes.length, from);
        let start = 0;
        for (let end = bytes.indexOf(LINE_END); end >= 0 && end < read; end = bytes.indexOf(LINE_END, start)) {
          if (end - start >= SHORTEST) {
            const key = bytes.toString("latin1", start, start + 64);
            this.index.set(key, { path, offset: from + start, bytes: end - start });
          } else this.faults.torn++;
          start = end + 1;
        }
        this.seen.set(path, from + start);
        // Of a process that still runs, the rest of the line may be on its way.
        if (start < read && !isProcessAlive(owner)) {
          this.faults.torn++;
          this.seen.set(path, from + read);
        }
      } finally {
        closeSync(file);
      }
    });
  }

  /**
   * @param accept whether the value is what its key says; one that is not is refused, and never offered again
   * @returns undefined where there is none that can be believed
   */
  get(key: string, accept: (value: unknown) => boolean): StoredAnswer | undefined {
    const place = this.index.get(key);
    if (!place) return undefined;
    const line = attempt(() => readAt(place));
    // Thrown away by another process, for want of room.
    if (line === undefined) this.index.delete(key);
    const record = line === undefined ? undefined : parseRecord(line, key);
    if (record !== undefined && accept(record.value)) {
      this.touch(place.path);
      return record;
    }
    if (line !== undefined) {
      this.faults.refused++;
      this.index.delete(key);
    }
    return undefined;
  }

  /** Kept once the call returns, as far as a process that is killed goes. @param asked ISO 8601 */
  put(key: string, value: unknown, asked: string): void {
    if (this.faults.unwritable !== undefined || this.index.has(key)) return;
    const json = JSON.stringify(value);
    const line = Buffer.from(`${key} ${checksum(key, asked, json)} ${asked} ${json}\n`);
    try {
      // Thrown away meanwhile, by hand or by npx inward cache clear: what is written next would not stand where it is looked for.
      if (this.own !== undefined && sizeOf(this.own.path) !== this.own.bytes) this.own = undefined;
      if (this.own === undefined || this.own.bytes + line.length > MOST_SEGMENT_BYTES) {
        makeFolder(this.folder, 0o700);
        makeRoom(this.all, this.mostBytes);
        const name = `${new Date().toISOString().replace(/[:.]/g, "-")}_${randomUUID().slice(0, 8)}_${process.pid}${ENDING}`;
        this.own = { path: join(this.folder, name), bytes: 0 };
      }
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | NO_LINK;
      const file = openSync(this.own.path, flags, 0o600);
      try {
        appendFileSync(file, line);
      } finally {
        closeSync(file);
      }
      this.index.set(key, { path: this.own.path, offset: this.own.bytes, bytes: line.length - 1 });
      this.own.bytes += line.length;
    } catch (error) {
      // A cache that cannot be written only costs asking again.
      this.faults.unwritable = messageOf(error);
    }
  }

  /** What is used is thrown away last. */
  private touch(path: string): void {
    if (this.used.has(path)) return;
    this.used.add(path);
    const now = new Date();
    attempt(() => utimesSync(path, now, now));
  }
}

function checksum(key: string, asked: string, json: string): string {
  return createHash("sha256").update(`${key} ${asked} ${json}`).digest("hex");
}

function parseRecord(line: string, key: string): StoredAnswer | undefined {
  const [, own, sha256, asked = "", json = ""] = RECORD.exec(line) ?? [];
  if (own !== key || sha256 !== checksum(key, asked, json)) return undefined;
  return attempt(() => ({ value: JSON.parse(json) as unknown, asked }));
}

function readAt({ path, offset, bytes }: Place): string {
  const file = openSync(path, constants.O_RDONLY | NO_LINK);
  try {
    const buffer = Buffer.alloc(bytes);
    return buffer.toString("utf8", 0, readSync(file, buffer, 0, bytes, offset));
  } finally {
    closeSync(file);
  }
}

/** Of a file's name: the process that writes it. */
function ownerOf(name: string): number {
  return Number(/_(\d+)\.answers$/.exec(name)?.[1] ?? 0);
}

function attempt<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// All stores together: how large they are, and how they are made smaller.

interface Segment {
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** Every file of answers in the folder, the one that was not used for the longest time first. */
function segmentsOf(all: string): Segment[] {
  const folders = attempt(() => readdirSync(all, { withFileTypes: true })) ?? [];
  return folders
    .filter((one) => one.isDirectory() && /^[0-9a-f]{64}$/.test(one.name))
    .flatMap((one) => {
      const folder = join(all, one.name);
      const names = (attempt(() => readdirSync(folder)) ?? []).filter((name) => name.endsWith(ENDING));
      return names.flatMap((name): Segment[] => {
        const path = join(folder, name);
        const found = attempt(() => statSync(path));
        return found?.isFile() ? [{ path, name, bytes: found.size, usedMs: found.mtimeMs }] : [];
      });
    })
    .sort((a, b) => a.usedMs - b.usedMs);
}

function makeRoom(all: string, mostBytes: number): void {
  const segments = segmentsOf(all);
  let bytes = segments.reduce((sum, one) => sum + one.bytes, 0);
  for (const { path, name, bytes: own } of segments) {
    if (bytes <= mostBytes) return;
    if (isProcessAlive(ownerOf(name))) continue;
    rmSync(path, { force: true });
    bytes -= own;
  }
}

export interface AnswerFolderSize {
  readonly bytes: number;
  readonly files: number;
}

/** @returns nothing where the folder is not there */
export function answerFolderSize(all: string): AnswerFolderSize {
  const segments = segmentsOf(all);
  return { bytes: segments.reduce((sum, one) => sum + one.bytes, 0), files: segments.length };
}

/** Removes what stores have written there, and nothing else. @returns what was there */
export function emptyAnswerFolder(all: string): AnswerFolderSize {
  const size = answerFolderSize(all);
  for (const { path } of segmentsOf(all)) rmSync(path, { force: true });
  for (const { name } of attempt(() => readdirSync(all, { withFileTypes: true })) ?? []) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    rmSync(join(all, name, ABOUT), { force: true });
    // Another program's files in there keep the folder.
    attempt(() => rmdirSync(join(all, name)));
  }
  return size;
}
