// Source: the cache that other programs of the Hugging Face family keep. Only read, never written or moved.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type HuggingFaceUri, isSplitPart } from "./hugging-face-uri.js";
import type { SourceAttempt } from "./source-attempt.js";

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
    if (isSplitPart(file)) return { ok: false, reason: `${file} is one part of a split model; inward wants one file` };
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
    .filter((file) => /\.gguf$/i.test(file))
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
