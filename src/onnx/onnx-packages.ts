/** The two packages of the second engine: optional, found beside inward or in a cache folder, and never loaded for a study. */

import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InwardError } from "../errors.js";
import { packageFolder } from "../model/native/addon.js";

/** What this was proven with; another release may compute, or name things, otherwise. */
export const ONNX_PACKAGES = { "onnxruntime-node": "1.30.0", "@huggingface/transformers": "4.3.2" } as const;
/** What evaluates graphs, as reports name it. */
export const ONNX_RUNTIME = `onnxruntime-node ${ONNX_PACKAGES["onnxruntime-node"]}`;
export type OnnxPackage = keyof typeof ONNX_PACKAGES;

/** `$INWARD_ONNX`, else `$XDG_CACHE_HOME/inward/onnx`, else under `~/.cache`. Absolute; may not exist. */
export function onnxFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.INWARD_ONNX) return resolve(env.INWARD_ONNX);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache"), "inward", "onnx");
}

/** The command that adds both, word by word; nothing of theirs is run. */
export function installWords(folder: string = onnxFolder()): string[] {
  const packages = Object.entries(ONNX_PACKAGES).map(([name, version]) => `${name}@${version}`);
  return ["npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", ...packages];
}

export function installCommand(folder: string = onnxFolder()): string {
  return installWords(folder)
    .map((word) => (/^[\w@/.:=-]+$/.test(word) ? word : JSON.stringify(word)))
    .join(" ");
}

/**
 * @param from a file that could import it; this one unless given
 * @returns file URL to import
 * @throws ONNX_PACKAGES it is not there, or of another version
 */
export function findOnnxPackage(
  name: OnnxPackage,
  env: NodeJS.ProcessEnv = process.env,
  from: string = import.meta.url,
): string {
  const wanted = ONNX_PACKAGES[name];
  const places = [join(onnxFolder(env), "package.json"), from];
  const found = places.flatMap((place) => packageFolder(name, place) ?? []);
  const versions = found.map((folder) => ({
    folder,
    facts: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")),
  }));
  const right = versions.find(({ facts }) => facts.version === wanted);
  if (right === undefined) {
    const there = versions[0];
    const what =
      there === undefined ? "is not installed" : `is ${there.facts.version} in ${there.folder}, not ${wanted}`;
    throw new InwardError("ONNX_PACKAGES", `${name} ${what}. Add both: ${installCommand(onnxFolder(env))}`);
  }
  return pathToFileURL(join(right.folder, entryOf(right.facts))).href;
}

/** @throws ONNX_PACKAGES where onnxruntime-node is not there, with the command that adds it */
export function requireOnnxRuntime(): void {
  findOnnxPackage("onnxruntime-node");
}

interface PackageFacts {
  readonly main?: string;
  readonly exports?: unknown;
}

/** What Node would import: the first path under `node`, `import` or `default`. */
function entryOf({ main = "index.js", exports }: PackageFacts): string {
  const path = (value: unknown): string | undefined => {
    if (typeof value === "string") return value;
    if (typeof value !== "object" || value === null) return undefined;
    const one = value as Readonly<Record<string, unknown>>;
    return path(one["."] ?? one.node ?? one.import ?? one.default ?? one.require);
  };
  return path(exports) ?? main;
}

/** Whether both are there. */
export function hasOnnxPackages(env: NodeJS.ProcessEnv = process.env): boolean {
  try {
    for (const name of Object.keys(ONNX_PACKAGES) as OnnxPackage[]) findOnnxPackage(name, env);
    return true;
  } catch (error) {
    if (error instanceof InwardError && error.code === "ONNX_PACKAGES") return false;
    throw error;
  }
}
