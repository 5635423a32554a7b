// From what a study calls a model to the exact, checked file that runs.
import { InwardError } from "../errors.js";
import type { ModelFile } from "../records/model-state.js";
import type { StudyModel } from "../records/study.js";
import { checkModelFile } from "./check-model-file.js";
import { deriveModel } from "./derive-model.js";
import { type FetchedModel, fetchModel } from "./fetch-model.js";
import { isOffline } from "./is-offline.js";
import { makeFolder, modelFolder } from "./model-folder.js";
import { identifyModel, type UserModel } from "./model-identity.js";
import type { OnModelProgress } from "./model-progress.js";
import { copyId } from "./reencoded.js";
import { loadRegistry, type Registry } from "./registry.js";
import { removeLeftovers } from "./remove-leftovers.js";
import { fromLocalPath } from "./sources/local-path.js";
import type { SourceRequest } from "./sources/source-attempt.js";

/** What a study says of a model besides its source, and how to come by it. */
export interface ResolveModelOptions extends Omit<StudyModel, "source"> {
  /** No network: only what is on this machine. `HF_HUB_OFFLINE=1` says the same. */
  readonly offline?: boolean;
  readonly onProgress?: OnModelProgress;
  readonly signal?: AbortSignal;
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
  const folder = makeFolder(modelFolder(env));
  removeLeftovers(folder);
  const { onProgress, signal } = options;
  const request = { folder, env, onProgress, signal, offline: options.offline === true || isOffline(env) };
  const base =
    model.kind === "managed" ? await fetchModel(model, { ...request, id: model.id }) : await userFile(model, request);
  const { file, made } = await deriveModel({ base, id: copyId(model, base), folder, onProgress, signal }, options);
  return {
    source,
    path: file.path,
    sha256: file.sha256,
    bytes: file.summary.bytes,
    encoding: file.summary.encoding,
    ...made,
    licence: model.kind === "managed" && model.licence !== undefined ? model.licence : base.summary.licence,
  };
}

async function userFile(model: UserModel, request: Omit<SourceRequest, "id">): Promise<FetchedModel> {
  const found = fromLocalPath(model.path);
  if (!found.ok) throw new InwardError("MODEL_NOT_FOUND", found.reason);
  return { ...(await checkModelFile({ ...request, path: found.path, owned: false })), path: found.path };
}
