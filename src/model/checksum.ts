// sha256 of model files: hashed once per state of the file (path, size, time), so that a second run starts at once.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { InwardError } from "../errors.js";
import type { OnModelProgress } from "./model-progress.js";

export interface HashOptions {
  /** What to call the file in progress reports; its own name unless given. */
  readonly name?: string | undefined;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @returns lower case hex. @throws InwardError INTERRUPTED, or the file system's own error */
export async function sha256OfFile(path: string, options: HashOptions = {}): Promise<string> {
  const totalBytes = statSync(path).size;
  const hash = createHash("sha256");
  let doneBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    if (options.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while hashing ${path}`);
    hash.update(chunk as Buffer);
    doneBytes += (chunk as Buffer).length;
    options.onProgress?.({ stage: "verify", what: options.name ?? basename(path), doneBytes, totalBytes });
  }
  return hash.digest("hex");
}

/** Remembers hashes in `verified.json` of the model folder. Only a shortcut: `inward models verify` never reads it. */
export async function rememberedSha256(folder: string, path: string, options: HashOptions = {}): Promise<string> {
  const known = recallSha256(folder, path);
  if (known !== undefined) return known;
  const key = fileState(path);
  const sha256 = await sha256OfFile(path, options);
  // A file that changed while it was read has no checksum worth keeping.
  if (fileState(path) === key) remember(folder, path, sha256);
  return sha256;
}

/** The hash from when the file was last read whole, unless it has changed since. */
export function recallSha256(folder: string, path: string): string | undefined {
  const known = readRemembered(folder)[path];
  return known?.state === fileState(path) ? known.sha256 : undefined;
}

/** Stores a hash that was just computed over the whole file. */
export function remember(folder: string, path: string, sha256: string): void {
  const present = Object.entries(readRemembered(folder)).filter(([known]) => existsSync(known));
  const all = { ...Object.fromEntries(present), [path]: { state: fileState(path), sha256 } };
  const partial = join(folder, `verified.json.partial-${process.pid}`);
  try {
    writeFileSync(partial, `${JSON.stringify(all, null, 2)}\n`);
    renameSync(partial, join(folder, "verified.json"));
  } catch {
    // A model folder that cannot be written only costs hashing again.
  }
}

function fileState(path: string): string {
  const stat = statSync(path, { bigint: true });
  return `${stat.size}:${stat.mtimeNs}`;
}

function readRemembered(folder: string): Record<string, { state: string; sha256: string }> {
  try {
    const data: unknown = JSON.parse(readFileSync(join(folder, "verified.json"), "utf8"));
    return typeof data === "object" && data !== null ? (data as ReturnType<typeof readRemembered>) : {};
  } catch {
    return {};
  }
}
