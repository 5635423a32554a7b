// Which model a study means: a name of the registry, an `hf:` URI, or a file of the user's own.
import { existsSync } from "node:fs";
import { InwardError } from "../errors.js";
import type { ModelSource, Registry } from "./registry.js";
import { fileIdOfUri, parseHuggingFaceUri } from "./sources/hugging-face-uri.js";

/** A model that lives in the model folder as `<id>.gguf`, wherever it comes from. */
export interface ManagedModel {
  readonly kind: "managed";
  /** As the user wrote it. */
  readonly source: string;
  readonly id: string;
  readonly sources: readonly ModelSource[];
  /** Null as long as nobody has recorded it. */
  readonly sha256: string | null;
  /** Absent: ask the file itself. */
  readonly licence?: string;
}

/** A file of the user's own: used where it is, never moved, renamed or deleted. */
export interface UserModel {
  readonly kind: "user_file";
  readonly source: string;
  readonly path: string;
}

/** @throws InwardError MODEL_NOT_FOUND */
export function identifyModel(source: string, registry: Registry): ManagedModel | UserModel {
  const entry = registry.models.find((model) => model.name === source);
  if (entry) {
    const { name, sources, sha256, licence } = entry;
    return { kind: "managed", source, id: name, sources, sha256, licence };
  }
  if (source.startsWith("hf:")) {
    const id = fileIdOfUri(parseHuggingFaceUri(source));
    return { kind: "managed", source, id, sources: [{ type: "hf", uri: source }], sha256: null };
  }
  if (/[\\/]|\.gguf$/i.test(source) || existsSync(source)) return { kind: "user_file", source, path: source };
  const known = registry.models.map((model) => model.name).join(", ");
  throw new InwardError("MODEL_NOT_FOUND", `no model is called ${JSON.stringify(source)}; the registry has ${known}`);
}
