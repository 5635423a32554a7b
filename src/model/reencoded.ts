// The copy of a model's weights in another encoding.
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import type { FetchedModel } from "./fetch-model.js";
import { FILE_TYPES, type FileTypeName } from "./gguf/file-types.js";
import { reencodeGguf } from "./gguf/reencode.js";
import { ensureCopy, type ModelCopy, type WriteCopy } from "./model-copy.js";
import type { ManagedModel, UserModel } from "./model-identity.js";
import { requantizeGguf } from "./requantize.js";

export interface CopyRequest extends Pick<ModelCopy, "base" | "folder" | "onProgress" | "signal"> {
  /** The copy is `<id>.<encoding>.gguf` in the model folder. */
  readonly id: string;
  readonly encoding: FileTypeName;
}

export interface ReencodedRequest extends Omit<CopyRequest, "base"> {
  readonly base: FetchedModel;
}

/** Two files of the user's may share a name, so copies of theirs carry a piece of the checksum. */
export function copyId(
  model: ManagedModel | UserModel,
  base: { readonly path: string; readonly sha256: string },
): string {
  if (model.kind === "managed") return model.id;
  return `${basename(base.path).replace(/\.gguf$/i, "")}-${base.sha256.slice(0, 12)}`;
}

export function copyPath({ folder, id, encoding }: Pick<CopyRequest, "folder" | "id" | "encoding">): string {
  return join(folder, `${id}.${encoding}.gguf`);
}

export function reencodedCopy(request: CopyRequest, write: WriteCopy): ModelCopy {
  const { base, folder, id, encoding, onProgress, signal } = request;
  return {
    base,
    folder,
    fileName: basename(copyPath(request)),
    what: `${id} as ${encoding}`,
    origin: `re-encoded by ${isPlain(encoding) ? "inward" : "llama.cpp"} as ${encoding}`,
    write,
    onProgress,
    signal,
  };
}

/**
 * F16 and F32 by inward's own re-encoder, everything else by llama.cpp's.
 * @returns the base itself when it is encoded so already
 * @throws InwardError MODEL_CHECKSUM · MODEL_TRUNCATED (a spoilt copy, set aside) · MODEL_TENSOR_TYPE · MODEL_FOLDER · INTERRUPTED ·
 * TRAIN_ADDON and what else requantizeGguf throws where llama.cpp's is needed
 */
export async function ensureReencoded(request: ReencodedRequest): Promise<FetchedModel> {
  const { base, encoding } = request;
  if (base.summary.encoding === FILE_TYPES[encoding]) return base;
  const write: WriteCopy = isPlain(encoding)
    ? (from, to, options) => reencodeGguf(from, to, encoding, options)
    : (from, to, options) => requantizeGguf(from, to, encoding, { ...options, threads: availableParallelism() });
  const named = { ...request, base: { ...base, encoding: base.summary.encoding } };
  return await ensureCopy(reencodedCopy(named, write));
}

function isPlain(encoding: FileTypeName): encoding is "f16" | "f32" {
  return encoding === "f16" || encoding === "f32";
}
