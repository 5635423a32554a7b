/** Which releases of node-llama-cpp and llama.cpp are installed. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface EngineReleases {
  readonly nodeLlamaCpp: string;
  readonly llamaCpp: string;
}

export async function engineReleases(): Promise<EngineReleases> {
  const root = join(dirname(fileURLToPath(import.meta.resolve("node-llama-cpp"))), "..");
  const read = async (file: string) => JSON.parse(await readFile(join(root, file), "utf8"));
  return {
    nodeLlamaCpp: (await read("package.json")).version,
    llamaCpp: (await read("llama/binariesGithubRelease.json")).release,
  };
}
