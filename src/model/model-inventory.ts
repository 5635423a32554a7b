// What is in the model folder, and what could be: for `inward models` and `inward doctor`. Opens no model, hashes nothing.
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CheckedModelFile, checkModelFile } from "./check-model-file.js";
import { recallSha256 } from "./checksum.js";
import type { OnModelProgress } from "./model-progress.js";
import { recordChecksum, recordedChecksums } from "./recorded-checksums.js";
import type { Registry, RegistryEntry } from "./registry.js";
import { fromHuggingFaceCache } from "./sources/hugging-face-cache.js";
import { parseHuggingFaceUri } from "./sources/hugging-face-uri.js";

/** One file that a model may run from. */
export interface InventoryFile {
  readonly fileName: string;
  readonly path: string;
  /** In the model folder; otherwise in an existing Hugging Face cache. */
  readonly owned: boolean;
  readonly bytes: number;
  readonly expectedSha256?: string;
  /**
   * `verified` hashed before and unchanged since · `not_verified` never hashed here · `mismatch` hashed, and wrong ·
   * `unknown` nothing to compare with yet
   */
  readonly checksum: "verified" | "not_verified" | "mismatch" | "unknown";
}

export interface InventoryModel {
  /** Registry name, or the file's name for a model that came by `hf:` URI. */
  readonly name: string;
  readonly entry?: RegistryEntry;
  /** As shipped first, then re-encodings. Empty when the model is not here. */
  readonly files: readonly InventoryFile[];
}

/** Registry models in the registry's order, then whatever else lies in the model folder. */
export function modelInventory(registry: Registry, folder: string, env: NodeJS.ProcessEnv): InventoryModel[] {
  const recorded = recordedChecksums(folder);
  const present = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".gguf")) : [];
  const describe = (fileName: string, path: string, owned: boolean, known: string | null): InventoryFile => {
    const expectedSha256 = known ?? recorded[fileName]?.sha256;
    const found = recallSha256(folder, path);
    return {
      fileName,
      path,
      owned,
      bytes: statSync(path).size,
      ...(expectedSha256 === undefined ? {} : { expectedSha256 }),
      checksum:
        expectedSha256 === undefined
          ? "unknown"
          : found === undefined
            ? "not_verified"
            : found === expectedSha256
              ? "verified"
              : "mismatch",
    };
  };
  const own = (id: string, sha256: string | null): InventoryFile[] =>
    [`${id}.gguf`, `${id}.f16.gguf`, `${id}.f32.gguf`]
      .filter((fileName) => present.includes(fileName))
      .map((name) => describe(name, join(folder, name), true, name === `${id}.gguf` ? sha256 : null));

  const models = registry.models.map((entry): InventoryModel => {
    const files = own(entry.name, entry.sha256);
    const shipped = `${entry.name}.gguf`;
    const elsewhere = present.includes(shipped) ? undefined : cachedPath(entry, env);
    if (elsewhere) files.unshift(describe(shipped, elsewhere, false, entry.sha256));
    return { name: entry.name, entry, files };
  });
  const listed = new Set(models.flatMap((model) => model.files.map((file) => file.fileName)));
  const others = new Set(
    present.filter((name) => !listed.has(name)).map((name) => name.replace(/(\.f16|\.f32)?\.gguf$/, "")),
  );
  return [...models, ...[...others].sort().map((id): InventoryModel => ({ name: id, files: own(id, null) }))];
}

/**
 * Hashes a file whole, whatever is remembered of it; records the checksum when none is known yet.
 * @throws InwardError what checkModelFile throws
 */
export async function verifyInventoryFile(
  file: InventoryFile,
  folder: string,
  options: { readonly onProgress?: OnModelProgress; readonly signal?: AbortSignal } = {},
): Promise<CheckedModelFile> {
  const { path, owned, fileName, expectedSha256 } = file;
  const checked = await checkModelFile({
    ...options,
    folder,
    path,
    owned,
    name: fileName,
    expectedSha256,
    rehash: true,
  });
  if (expectedSha256 === undefined) {
    const origin = "found in the model folder";
    recordChecksum(folder, fileName, { sha256: checked.sha256, bytes: checked.summary.bytes, origin });
  }
  return checked;
}

function cachedPath(entry: RegistryEntry, env: NodeJS.ProcessEnv): string | undefined {
  for (const source of entry.sources) {
    if (source.type !== "hf") continue;
    const found = fromHuggingFaceCache(parseHuggingFaceUri(source.uri), env);
    if (found.ok) return found.path;
  }
  return undefined;
}
