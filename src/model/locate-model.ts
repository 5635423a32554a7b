// What there is of a study's model on this machine, and how large it is. Downloads nothing and makes no copy.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { FILE_TYPE_NAMES, FILE_TYPES, type FileTypeName, isEncodedAs } from "../gguf/encodings.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { readGguf } from "../gguf/read-gguf.js";
import { partPaths } from "../gguf/split-model.js";
import { keysOfNumberedLayers } from "../gguf/without-layers.js";
import type { ModelFile } from "../study/plan.js";
import type { StudyModel } from "../study/study.js";
import { copyId, findCopy, originOf, originOfShallower } from "./derived-models.js";
import {
  type CheckedModelFile,
  checkModelFile,
  identifyModel,
  modelFolder,
  type OnModelProgress,
  recallSha256,
  recordChecksum,
  recordedChecksums,
  rememberedSha256,
} from "./model-file.js";
import { layersToDrop, type ModelShape, readShape, shallowerId, weightBytes, withoutLayers } from "./model-shape.js";
import { loadRegistry, type Registry, type RegistryEntry } from "./registry.js";
import { resolveModel } from "./resolve-model.js";
import { fromHuggingFaceCache, parseHuggingFaceUri } from "./sources/hugging-face.js";
import { fromLocalPath } from "./sources/source.js";

export interface LocatedModel {
  readonly source: string;
  /** The source's file, which has the vocabulary. */
  readonly basePath?: string;
  /** The file that would run, when it is here: what a run would find too. */
  readonly file?: ModelFile;
  /** Why there is no `file`. */
  readonly missing?: string;
  /** As a plan has it of a file that is here: of a copy that is to be made too. */
  readonly wholePrompts?: true;
  /** Of the network that would run; absent where neither a file nor the registry tells. */
  readonly shape?: ModelShape;
  /** Of the file that would run. */
  readonly weights?: { readonly bytes: number; readonly exact: boolean };
  /** What a run would have to download, bytes; absent when nothing, or unknown. */
  readonly toDownload?: number;
  /** What a run would have to write as re-encoded copies, bytes. */
  readonly toWrite: number;
}

interface LocateOptions {
  readonly registry?: Registry;
  readonly env?: NodeJS.ProcessEnv;
  /** Of hashing, which a file needs once. */
  readonly onProgress?: OnModelProgress;
  readonly signal?: AbortSignal;
}

/** @throws MODEL_NOT_FOUND a name that nothing has · MODEL_* a file that cannot be read · STUDY_INVALID dropLayers */
export async function locateModel(model: StudyModel, options: LocateOptions = {}): Promise<LocatedModel> {
  const { source, dropLayers } = model;
  const registry = options.registry ?? loadRegistry();
  const env = options.env ?? process.env;
  const folder = modelFolder(env);
  const identity = identifyModel(source, registry);
  const entry = registry.models.find(({ name }) => name === source);
  const basePath = identity.kind === "managed" ? managedPath(identity, folder, env) : userPath(identity.path);
  const whole = (basePath === undefined ? undefined : await readShape(basePath)) ?? entry?.shape;
  const shape = whole && dropLayers !== undefined ? withoutLayers(whole, dropLayers) : whole;
  if (basePath === undefined) {
    // With the folder that a path was taken to start at: a slip is seen.
    const found = identity.kind === "user_file" ? fromLocalPath(identity.path) : undefined;
    const missing = found && !found.ok ? found.reason : `${source} is not on this machine`;
    return { ...notHere(model, shape, whole, entry), missing };
  }

  const { onProgress, signal } = options;
  // Copies of a user's file carry a piece of its checksum in their names.
  const named = identity.kind === "user_file" && (model.encoding !== "as_shipped" || dropLayers !== undefined);
  const summary = await inspectGguf(basePath);
  if (dropLayers !== undefined && summary.blockCount !== undefined)
    keysOfNumberedLayers(await readGguf(basePath), layersToDrop(summary.blockCount, dropLayers));
  const sha256 = named ? await rememberedSha256(folder, summary.parts, { onProgress, signal }) : "";
  const base = { path: basePath, sha256, summary };
  const copies = copiesOf(model, copyId(identity, base), whole, { ...base, folder });
  const absent = copies.filter(({ path }) => !existsSync(path));
  const last = copies.at(-1);
  const weights =
    last === undefined
      ? { bytes: base.summary.bytes, exact: true }
      : existsSync(last.path)
        ? { bytes: statSync(last.path).size, exact: true }
        : { bytes: last.bytes, exact: false };
  // A copy that nothing is remembered of would be made again.
  const known = absent.length === 0 && copies.every(({ path }) => recallSha256(folder, path));
  const common = {
    source,
    basePath,
    weights,
    toWrite: absent.reduce((sum, { bytes }) => sum + bytes, 0),
    ...(shape ? { shape } : {}),
    ...(summary.asking === undefined ? {} : { wholePrompts: true as const }),
  };
  if (absent.length > 0) return { ...common, missing: `${absent[0]?.path} has not been made yet` };
  if (!known) return { ...common, missing: `${last?.path} has changed since it was made` };
  const resolving = {
    ...model,
    offline: true,
    readWarnings: true,
    registry,
    env,
    ...(onProgress ? { onProgress } : {}),
    ...(signal ? { signal } : {}),
  };
  return { ...common, file: await resolveModel(source, resolving) };
}

function notHere(
  { source, encoding, roundedTo, dropLayers }: StudyModel,
  shape: ModelShape | undefined,
  whole: ModelShape | undefined,
  entry: RegistryEntry | undefined,
): Omit<LocatedModel, "missing"> {
  const shipped = shippedType(source, entry);
  const type = encoding === "as_shipped" ? shipped : encoding;
  const steps = [
    ...(dropLayers === undefined ? [] : [shipped]),
    ...(roundedTo === undefined ? [] : [roundedTo]),
    ...(encoding === "as_shipped" ? [] : [encoding]),
  ];
  const download = entry?.bytes ?? (whole && shipped ? weightBytes(whole, shipped) : undefined);
  const exact = encoding === "as_shipped" && dropLayers === undefined && entry?.bytes != null;
  return {
    source,
    toWrite: shape ? steps.reduce((sum, step) => sum + (step ? weightBytes(shape, step) : 0), 0) : 0,
    ...(shape ? { shape } : {}),
    ...(exact
      ? { weights: { bytes: entry?.bytes as number, exact } }
      : shape && type
        ? { weights: { bytes: weightBytes(shape, type), exact } }
        : {}),
    ...(download === undefined ? {} : { toDownload: download }),
  };
}

/** The encoding that a source names: `hf:user/repo:Q4_K_M`, `…-Q8_0.gguf`. */
function shippedType(source: string, entry: RegistryEntry | undefined): FileTypeName | undefined {
  const uris = entry ? entry.sources.flatMap((one) => (one.type === "hf" ? [one.uri] : [])) : [source];
  const words = uris.flatMap((uri) =>
    uri
      .toLowerCase()
      .replace(/\.gguf$/, "")
      .split(/[:/.-]/),
  );
  return FILE_TYPE_NAMES.find((name) => words.includes(name));
}

function managedPath(
  { id, sources }: Extract<ReturnType<typeof identifyModel>, { kind: "managed" }>,
  folder: string,
  env: NodeJS.ProcessEnv,
): string | undefined {
  const place = join(folder, `${id}.gguf`);
  if (existsSync(place)) return place;
  for (const source of sources) {
    const found =
      source.type === "hf"
        ? fromHuggingFaceCache(parseHuggingFaceUri(source.uri), env)
        : source.type === "path"
          ? fromLocalPath(source.path)
          : undefined;
    if (found?.ok) return found.path;
  }
  return undefined;
}

function userPath(path: string): string | undefined {
  const found = fromLocalPath(path);
  return found.ok ? found.path : undefined;
}

/** The files that deriveModel would make of the base, in its order and under its names. */
function copiesOf(
  { encoding, roundedTo, dropLayers }: StudyModel,
  baseId: string,
  whole: ModelShape | undefined,
  base: {
    readonly folder: string;
    /** Empty where nobody has hashed it: copies are known by their names then. */
    readonly sha256: string;
    readonly summary: Awaited<ReturnType<typeof inspectGguf>>;
  },
): { path: string; bytes: number }[] {
  const { summary, folder } = base;
  const copies: { path: string; bytes: number }[] = [];
  let id = baseId;
  let from: string | undefined = base.sha256;
  const add = (fileName: string, origin: string, bytes: number) => {
    const there = from ? findCopy(folder, fileName, from, origin) : undefined;
    copies.push({ path: there?.path ?? join(folder, fileName), bytes });
    from = there?.sha256;
  };
  let encoded: string = summary.encoding;
  let { fileType } = summary;
  const shape = whole && dropLayers !== undefined ? withoutLayers(whole, dropLayers) : whole;
  const sizeOf = (type: FileTypeName) => (shape ? weightBytes(shape, type) : summary.bytes);
  if (dropLayers !== undefined) {
    if (summary.blockCount === undefined) {
      throw new InwardError("MODEL_NOT_GGUF", `${summary.path} does not say how many layers it has`);
    }
    const dropped = layersToDrop(summary.blockCount, dropLayers);
    id = shallowerId(id, dropped, summary.blockCount);
    const share = (summary.blockCount - dropped.length) / summary.blockCount;
    add(`${id}.gguf`, originOfShallower(dropped, summary.blockCount), Math.round(summary.bytes * share));
  }
  const reencode = (type: FileTypeName) => {
    if (isEncodedAs(type, encoded, fileType)) return;
    add(`${id}.${type}.gguf`, originOf(type), sizeOf(type));
    encoded = FILE_TYPES[type];
    fileType = undefined;
    id = `${id}.${type}`;
  };
  if (roundedTo !== undefined) reencode(roundedTo);
  if (encoding !== "as_shipped") reencode(encoding);
  return copies;
}

// What is in the model folder, and what could be: for `npx inward models` and `npx inward doctor`. Opens no model, hashes nothing.

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
      bytes: bytesOf(path),
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

/** Of a file, with the other parts that its name promises. */
function bytesOf(path: string): number {
  const sizes = partPaths(path).map((part) => statSync(part, { throwIfNoEntry: false })?.size ?? 0);
  return sizes.reduce((sum, size) => sum + size, 0);
}

function cachedPath(entry: RegistryEntry, env: NodeJS.ProcessEnv): string | undefined {
  for (const source of entry.sources) {
    if (source.type !== "hf") continue;
    const found = fromHuggingFaceCache(parseHuggingFaceUri(source.uri), env);
    if (found.ok) return found.path;
  }
  return undefined;
}
