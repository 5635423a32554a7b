// The `hf:` URI of node-llama-cpp, taken apart.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { InwardError } from "../../errors.js";
import { isPartName, partPaths } from "../../gguf/split-model.js";
import { inDownloadFolder, type SourceAttempt, type SourceRequest } from "./source.js";

interface HuggingFaceUri {
  readonly user: string;
  readonly repo: string;
  /** Path in the repository, when the URI names a file. */
  readonly file?: string;
  /** e.g. `Q4_K_M`, when it names a quantization instead. */
  readonly quantization?: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

/**
 * `hf:user/repo`, `hf:user/repo:QUANT`, or `hf:user/repo/path/file.gguf#revision`.
 * @throws InwardError MODEL_NOT_FOUND when it is none of these
 */
export function parseHuggingFaceUri(uri: string): HuggingFaceUri {
  const parts =
    /^hf:(?<user>[^/:#\s]+)\/(?<repo>[^/:#\s]+)(?::(?<quantization>[^/#\s]+)|\/(?<file>[^#\s]+))?(?:#(?<revision>\S+))?$/.exec(
      uri.trim(),
    )?.groups;
  if (parts?.user === undefined || parts.repo === undefined) {
    throw new InwardError(
      "MODEL_NOT_FOUND",
      `${uri} is not of the form hf:user/repo:QUANT or hf:user/repo/file.gguf#revision`,
    );
  }
  const { user, repo, file, quantization, revision } = parts;
  if (uri.split(/[/:#]/).some((step) => step === ".." || step.includes("\0")))
    throw new InwardError("MODEL_NOT_FOUND", `${uri} leaves its repository`);
  return {
    user,
    repo,
    file,
    quantization,
    revision: revision ?? "main",
  };
}

/** A name for the model folder, one per URI. */
export function fileIdOfUri(uri: HuggingFaceUri): string {
  const parts = ["hf", uri.user, uri.repo, uri.quantization, uri.file?.replace(/\.gguf$/i, "")];
  if (uri.revision !== "main") parts.push(uri.revision);
  return parts
    .filter((part) => part !== undefined)
    .join("__")
    .replace(/[^A-Za-z0-9._-]+/g, "_");
}

// Source: the cache that other programs of the Hugging Face family keep. Only read, never written or moved.

/** `$HF_HUB_CACHE`, `$HF_HOME/hub`, `$XDG_CACHE_HOME/huggingface/hub` or `~/.cache/huggingface/hub`, as its owners define it. */
export function huggingFaceCacheFolder(env: NodeJS.ProcessEnv): string {
  const hub = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  if (hub) return resolve(hub);
  if (env.HF_HOME) return resolve(env.HF_HOME, "hub");
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache"), "huggingface", "hub");
}

/** Looks up `models--user--repo/snapshots/<commit>/file`. */
export function fromHuggingFaceCache(uri: HuggingFaceUri, env: NodeJS.ProcessEnv): SourceAttempt {
  const cache = huggingFaceCacheFolder(env);
  const repository = join(cache, `models--${uri.user}--${uri.repo}`);
  if (!isFolder(repository)) return { ok: false, reason: `no copy of ${uri.user}/${uri.repo} in ${cache}` };
  for (const commit of commits(repository, uri.revision)) {
    const snapshot = join(repository, "snapshots", commit);
    const file = uri.file ?? fileOfQuantization(snapshot, uri.quantization);
    if (file === undefined || !isFile(join(snapshot, file))) continue;
    const missing = partPaths(join(snapshot, file)).find((part) => !isFile(part));
    if (missing !== undefined) return { ok: false, reason: `a part of the split model is missing: ${missing}` };
    return {
      ok: true,
      path: join(snapshot, file),
      owned: false,
      origin: `hf:${uri.user}/${uri.repo}/${file}#${commit}`,
    };
  }
  const wanted = uri.file ?? uri.quantization ?? "a single GGUF";
  return { ok: false, reason: `${repository} has no ${wanted} at revision ${uri.revision}` };
}

/** What the revision points at; for the default branch of a cache without refs, its newest snapshots. */
function commits(repository: string, revision: string): string[] {
  try {
    return [readFileSync(join(repository, "refs", revision), "utf8").trim()];
  } catch {
    if (revision !== "main") return [revision];
  }
  const snapshots = join(repository, "snapshots");
  if (!isFolder(snapshots)) return [];
  const age = (name: string) => statSync(join(snapshots, name)).mtimeMs;
  return readdirSync(snapshots).sort((a, b) => age(b) - age(a) || a.localeCompare(b));
}

/** The one GGUF of that quantization; without one named, the only GGUF there. */
function fileOfQuantization(snapshot: string, quantization: string | undefined): string | undefined {
  if (!isFolder(snapshot)) return undefined;
  const files = readdirSync(snapshot, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.gguf$/i.test(file) && (!isPartName(file) || partPaths(file).length > 1))
    .sort();
  if (quantization === undefined) return files.length === 1 ? files[0] : undefined;
  const escaped = quantization.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const ending = new RegExp(`(^|[-._/\\\\])${escaped}(-\\d{5}-of-\\d{5})?\\.gguf$`, "i");
  return files.find((file) => ending.test(file));
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

// Source: a download by node-llama-cpp, which knows `hf:` URIs, HF_TOKEN and resuming. What it lacks stands here:
// giving up soon when the hub is out of reach, and giving up at all when the bytes stop coming.

interface DownloadPatience {
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

  try {
    return await inDownloadFolder(request, (place) => download(uri, place, request, patience));
  } catch (error) {
    if (request.signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while downloading ${uri}`);
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

async function download(
  uri: string,
  place: string,
  request: SourceRequest,
  patience: DownloadPatience,
): Promise<SourceAttempt> {
  const { createModelDownloader } = await import("node-llama-cpp");
  const stopped = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const moved = (milliseconds: number) => {
    clearTimeout(timer);
    const seconds = Math.round(milliseconds / 1000);
    timer = setTimeout(() => stopped.abort(new Error(`no byte came for ${seconds} s`)), milliseconds);
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
        // Another size is another file, which its checksum would refuse once all of it is here.
        if (request.bytes !== undefined && totalSize > 0 && totalSize !== request.bytes) {
          stopped.abort(new Error(`the hub's file has ${totalSize} bytes, but ${request.bytes} are expected`));
        }
        if (downloadedSize > doneBytes) moved(patience.stallMilliseconds);
        doneBytes = downloadedSize;
        request.onProgress?.({ stage: "download", what: uri, doneBytes, totalBytes: totalSize });
      },
    });
    const downloader = await Promise.race([preparing, whenAborted(stopped.signal, request.signal)]);
    if (downloader.totalFiles > 1 || isPartName(downloader.entrypointFilename)) {
      await downloader.cancel({ deleteTempFile: true });
      return { ok: false, reason: `it is split over ${downloader.totalFiles} files; inward wants one file` };
    }
    const signal = request.signal ? AbortSignal.any([stopped.signal, request.signal]) : stopped.signal;
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
