// Source: a download by node-llama-cpp, which knows `hf:` URIs, HF_TOKEN and resuming. What it lacks stands here:
// giving up soon when the hub is out of reach, and giving up at all when the bytes stop coming.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import { isProcessAlive } from "../process-alive.js";
import { isSplitPart } from "./hugging-face-uri.js";
import type { SourceAttempt, SourceRequest } from "./source-attempt.js";

export interface DownloadPatience {
  /** Longest wait for the hub to answer at all, milliseconds. */
  readonly connectMilliseconds: number;
  /** Longest time without a new byte, milliseconds. */
  readonly stallMilliseconds: number;
}

const PATIENCE: DownloadPatience = { connectMilliseconds: 8_000, stallMilliseconds: 60_000 };

export async function downloadFromHuggingFace(
  uri: string,
  request: SourceRequest,
  patience: DownloadPatience = PATIENCE,
): Promise<SourceAttempt> {
  if (request.offline) return { ok: false, reason: "not tried: offline (HF_HUB_OFFLINE or --offline)" };
  // The downloader itself tries again for minutes when there is no way to the hub, so ask first.
  const unreachable = await whyUnreachable(hub(request.env), patience, request.signal);
  if (unreachable !== undefined) return { ok: false, reason: unreachable };

  const place = join(request.folder, "downloads", request.id);
  mkdirSync(place, { recursive: true });
  const other = otherOwner(place);
  if (other !== undefined) return { ok: false, reason: `process ${other} is downloading it right now` };
  writeFileSync(join(place, "pid"), String(process.pid));
  try {
    return await download(uri, place, request, patience);
  } catch (error) {
    if (request.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while downloading ${uri}`);
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(join(place, "pid"), { force: true });
  }
}

async function download(
  uri: string,
  place: string,
  request: SourceRequest,
  patience: DownloadPatience,
): Promise<SourceAttempt> {
  const { createModelDownloader } = await import("node-llama-cpp");
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const moved = (milliseconds: number) => {
    clearTimeout(timer);
    const seconds = Math.round(milliseconds / 1000);
    timer = setTimeout(() => stalled.abort(new Error(`no byte came for ${seconds} s`)), milliseconds);
  };
  let doneBytes = 0;
  moved(patience.stallMilliseconds);
  try {
    const preparing = createModelDownloader({
      modelUri: uri,
      dirPath: place,
      showCliProgress: false,
      deleteTempFileOnCancel: false,
      endpoints: { huggingFace: hub(request.env) },
      onProgress: ({ totalSize, downloadedSize }) => {
        if (downloadedSize > doneBytes) moved(patience.stallMilliseconds);
        doneBytes = downloadedSize;
        request.onProgress?.({ stage: "download", what: uri, doneBytes, totalBytes: totalSize });
      },
    });
    const downloader = await Promise.race([preparing, whenAborted(stalled.signal, request.signal)]);
    if (downloader.totalFiles > 1 || isSplitPart(downloader.entrypointFilename)) {
      await downloader.cancel({ deleteTempFile: true });
      return { ok: false, reason: `it is split over ${downloader.totalFiles} files; inward wants one file` };
    }
    const signal = request.signal ? AbortSignal.any([stalled.signal, request.signal]) : stalled.signal;
    const path = await downloader.download({ signal });
    // The downloader ends a stopped download as if it were whole, without the file.
    signal.throwIfAborted();
    if (!existsSync(path)) return { ok: false, reason: "the download ended without a file" };
    return { ok: true, path, owned: true, origin: uri };
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects when one of the signals fires; never resolves. */
function whenAborted(...signals: (AbortSignal | undefined)[]): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of signals) {
      if (signal?.aborted) reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    }
  });
}

/** Where node-llama-cpp downloads from: it reads the same two variables. */
function hub(env: NodeJS.ProcessEnv): string {
  return env.MODEL_ENDPOINT || env.HF_ENDPOINT || "https://huggingface.co/";
}

async function whyUnreachable(
  url: string,
  patience: DownloadPatience,
  userSignal: AbortSignal | undefined,
): Promise<string | undefined> {
  const timeout = AbortSignal.timeout(patience.connectMilliseconds);
  try {
    await fetch(url, {
      method: "HEAD",
      redirect: "manual",
      signal: userSignal ? AbortSignal.any([timeout, userSignal]) : timeout,
    });
    return undefined;
  } catch (error) {
    if (userSignal?.aborted) throw new InwardError("INTERRUPTED", "stopped before the download began");
    const seconds = patience.connectMilliseconds / 1000;
    if (timeout.aborted) return `the hub did not answer within ${seconds} s`;
    const cause = (error as Error).cause;
    return `the hub is out of reach: ${cause instanceof Error ? cause.message : (error as Error).message}`;
  }
}

/** Two downloads into one temporary file would spoil it. A process that is gone owns nothing. */
function otherOwner(place: string): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(join(place, "pid"), "utf8"));
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
  return isProcessAlive(pid) ? pid : undefined;
}
