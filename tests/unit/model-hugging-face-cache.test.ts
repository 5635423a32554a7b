// Reading the cache of the Hugging Face family: where it is, and which file of it is meant.
import { mkdirSync, mkdtempSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  fromHuggingFaceCache,
  huggingFaceCacheFolder,
  parseHuggingFaceUri,
} from "../../src/model/sources/hugging-face.js";

function cacheWith(...files: string[]): string {
  const cache = mkdtempSync(join(tmpdir(), "inward-hub-"));
  for (const [index, file] of files.entries()) {
    const path = join(cache, "models--user--repo", file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file.startsWith("refs/") ? "c1\n" : "x");
    if (file.startsWith("snapshots/")) utimesSync(dirname(path), index, index);
  }
  return cache;
}

const lookUp = (uri: string, ...files: string[]) => {
  const cache = cacheWith(...files);
  const found = fromHuggingFaceCache(parseHuggingFaceUri(uri), { HF_HUB_CACHE: cache });
  return found.ok ? found.path.slice(join(cache, "models--user--repo", "snapshots").length + 1) : found.reason;
};

describe("where the cache is", () => {
  it.each<[NodeJS.ProcessEnv, string]>([
    [{ HF_HUB_CACHE: "/a", HF_HOME: "/b", XDG_CACHE_HOME: "/c" }, "/a"],
    [{ HF_HOME: "/b", XDG_CACHE_HOME: "/c" }, "/b/hub"],
    [{ XDG_CACHE_HOME: "/c" }, "/c/huggingface/hub"],
  ])("%j", (env, folder) => {
    expect(huggingFaceCacheFolder(env)).toBe(folder);
  });
});

describe("which file is meant", () => {
  it.each<[string, string, string[], RegExp | string]>([
    ["a file at main", "hf:user/repo/m.gguf", ["refs/main", "snapshots/c1/m.gguf", "snapshots/c2/m.gguf"], "c1/m.gguf"],
    [
      "a file at a commit",
      "hf:user/repo/m.gguf#c2",
      ["refs/main", "snapshots/c1/m.gguf", "snapshots/c2/m.gguf"],
      "c2/m.gguf",
    ],
    [
      "main without refs: the newest",
      "hf:user/repo/m.gguf",
      ["snapshots/c9/m.gguf", "snapshots/c1/m.gguf"],
      "c1/m.gguf",
    ],
    [
      "a quantization",
      "hf:user/repo:q4_k_m",
      ["snapshots/c/M-Q4_K_M.gguf", "snapshots/c/M-IQ4_K_M.gguf"],
      "c/M-Q4_K_M.gguf",
    ],
    ["a quantization is not part of a longer name", "hf:user/repo:K_M", ["snapshots/c/M-Q4-K_ML.gguf"], /no K_M/],
    ["a quantization in a folder", "hf:user/repo:Q8_0", ["snapshots/c/Q8_0/M-Q8_0.gguf"], "c/Q8_0/M-Q8_0.gguf"],
    ["no quantization, one file", "hf:user/repo", ["snapshots/c/M.gguf"], "c/M.gguf"],
    ["no quantization, two files", "hf:user/repo", ["snapshots/c/A.gguf", "snapshots/c/B.gguf"], /no a single GGUF/],
    [
      "a split model",
      "hf:user/repo:Q8_0",
      ["snapshots/c/M-Q8_0-00001-of-00002.gguf", "snapshots/c/M-Q8_0-00002-of-00002.gguf"],
      "c/M-Q8_0-00001-of-00002.gguf",
    ],
    [
      "no quantization, one split model",
      "hf:user/repo",
      ["snapshots/c/M-00001-of-00002.gguf", "snapshots/c/M-00002-of-00002.gguf"],
      "c/M-00001-of-00002.gguf",
    ],
    [
      "a split model without its second part",
      "hf:user/repo:Q8_0",
      ["snapshots/c/M-Q8_0-00001-of-00002.gguf"],
      /part of the split model is missing: .*M-Q8_0-00002-of-00002\.gguf/,
    ],
    ["another revision", "hf:user/repo/m.gguf#v2", ["refs/main", "snapshots/c1/m.gguf"], /no m\.gguf at revision v2/],
    ["another repository", "hf:user/other:Q8_0", ["snapshots/c/M-Q8_0.gguf"], /no copy of user\/other/],
  ])("%s", (_case, uri, files, expected) => {
    if (typeof expected === "string") expect(lookUp(uri, ...files)).toBe(expected);
    else expect(lookUp(uri, ...files)).toMatch(expected);
  });
});
