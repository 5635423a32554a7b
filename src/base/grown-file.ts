/**
 * A file of lines that one process appends to, for hours. Its mark is made of what stands there at the end: what somebody else did to it
 * meanwhile would be taken for this process's own.
 */

import { createHash } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { dirname } from "node:path";
import { InwardError } from "../errors.js";
import { APPENDING, movedAway, readError, seenOf, writeError } from "./files.js";
import { NO_LINK } from "./untrusted.js";

/** What was found there, line by line, or appended in one call. */
interface Piece {
  /** Offset just past it, bytes. */
  readonly end: number;
  readonly digest: string;
}

/**
 * Milliseconds from one reading to the next, where only times or numbers of the file system are others: over a network they may change with
 * every write, and all would be read for each line. It is read at the end anyway.
 */
const READ_EVERY = 60_000;

export class GrownFile {
  private readonly pieces: Piece[] = [];
  /** The file to the file system, when it was last as this process had written it. */
  private seen = "";
  /** When all of it was last read, in milliseconds of a steady clock. */
  private readAt = Number.NEGATIVE_INFINITY;
  /** A write has failed, perhaps in its middle: what stands there is cut off at the next opening. */
  private isTorn = false;

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** @param ends of the lines that are kept; what stands behind them is cut off @throws STORE_UNWRITABLE, STORE_DISK_FULL */
  static async open(path: string, ends: readonly number[]): Promise<GrownFile> {
    try {
      const file = await open(path, APPENDING);
      try {
        await file.truncate(ends.at(-1) ?? 0);
        const grown = new GrownFile(path, file);
        for await (const piece of piecesIn(path, ends)) grown.pieces.push(piece);
        grown.seen = seenOf(await file.stat({ bigint: true }));
        return grown;
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      throw writeError(error, path);
    }
  }

  private get end(): number {
    return this.pieces.at(-1)?.end ?? 0;
  }

  /** @throws STORE_CORRUPT somebody else has written to it · STORE_DISK_FULL, STORE_UNWRITABLE */
  async append(text: string, { synced }: { readonly synced: boolean }): Promise<void> {
    await this.requireOwn();
    const bytes = Buffer.from(text);
    try {
      this.isTorn = true;
      await this.file.appendFile(bytes);
      if (synced) await this.file.datasync();
      this.isTorn = false;
      this.pieces.push({ end: this.end + bytes.length, digest: createHash("sha256").update(bytes).digest("base64") });
      this.seen = seenOf(await this.file.stat({ bigint: true }));
    } catch (error) {
      throw writeError(error, this.path);
    }
  }

  /** @throws STORE_CORRUPT somebody else has written to it */
  async close(): Promise<void> {
    try {
      if (this.isTorn) return;
      await this.file.datasync().catch((error) => {
        throw writeError(error, this.path);
      });
      // What was written in the same moment as the last piece is in no time stamp.
      this.seen = "";
      this.readAt = Number.NEGATIVE_INFINITY;
      await this.requireOwn();
    } finally {
      await this.file.close();
    }
  }

  private async requireOwn(): Promise<void> {
    const found = await lstat(this.path, { bigint: true }).catch((error) => {
      if (error.code === "ENOENT") return undefined;
      throw readError(error.code, this.path);
    });
    if (found === undefined) {
      if (!existsSync(dirname(this.path))) throw movedAway(dirname(this.path));
      throw this.changed("it was removed. What stood in it is made again by the same command.");
    }
    const seen = seenOf(found);
    if (seen === this.seen) return;
    if (found.size === BigInt(this.end) && performance.now() - this.readAt < READ_EVERY) return;
    this.readAt = performance.now();
    const sound = found.isFile() ? await this.soundBytes() : -1;
    // Touched, or given other rights.
    if (sound === this.end && found.size === BigInt(sound)) {
      this.seen = seen;
      return;
    }
    const own = await this.file.stat({ bigint: true });
    // Another's file, perhaps of another run that stands where this one was: it is left as it is.
    if (found.dev !== own.dev || found.ino !== own.ino) throw this.changed("another file stands in its place.");
    await this.file.truncate(sound);
    throw this.changed(
      `it is as it was written up to byte ${sound}. What stood behind that is cut off, and is made again by the same command.`,
    );
  }

  /** How far it is as it was written, in whole pieces. */
  private async soundBytes(): Promise<number> {
    let [sound, at] = [0, 0];
    const ends = this.pieces.map(({ end }) => end);
    for await (const { end, digest } of piecesIn(this.path, ends)) {
      if (digest !== this.pieces[at++]?.digest) break;
      sound = end;
    }
    return sound;
  }

  private changed(how: string): InwardError {
    return new InwardError("STORE_CORRUPT", `${this.path} was changed while this process was writing it: ${how}`);
  }
}

/** @param ends of pieces that follow one another; those that the file has whole are given @throws STORE_CORRUPT, STORE_UNREADABLE */
async function* piecesIn(path: string, ends: readonly number[]): AsyncGenerator<Piece> {
  let [at, next, hash] = [0, 0, createHash("sha256")];
  try {
    const file = await open(path, constants.O_RDONLY | NO_LINK);
    try {
      for await (const read of file.createReadStream({ highWaterMark: 1 << 20, autoClose: false })) {
        let bytes = read as Buffer;
        for (let end = ends[next]; end !== undefined && end <= at + bytes.length; end = ends[++next]) {
          yield { end, digest: hash.update(bytes.subarray(0, end - at)).digest("base64") };
          bytes = bytes.subarray(end - at);
          [at, hash] = [end, createHash("sha256")];
        }
        hash.update(bytes);
        at += bytes.length;
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw readError((error as NodeJS.ErrnoException).code ?? String(error), path);
  }
}
