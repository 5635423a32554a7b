// The `hf:` URI of node-llama-cpp, taken apart.
import { InwardError } from "../../errors.js";

export interface HuggingFaceUri {
  readonly user: string;
  readonly repo: string;
  /** Path in the repository, when the URI names a file. */
  readonly file?: string;
  /** e.g. `Q4_K_M`, when it names a quantization instead. */
  readonly quantization?: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

/**
 * `hf:user/repo`, `hf:user/repo:QUANT`, or `hf:user/repo/path/file.gguf#revision`.
 * @throws InwardError MODEL_NOT_FOUND when it is none of these
 */
export function parseHuggingFaceUri(uri: string): HuggingFaceUri {
  const parts =
    /^hf:(?<user>[^/:#\s]+)\/(?<repo>[^/:#\s]+)(?::(?<quantization>[^/#\s]+)|\/(?<file>[^#\s]+))?(?:#(?<revision>\S+))?$/.exec(
      uri.trim(),
    )?.groups;
  if (parts?.user === undefined || parts.repo === undefined) {
    throw new InwardError(
      "MODEL_NOT_FOUND",
      `${uri} is not of the form hf:user/repo:QUANT or hf:user/repo/file.gguf#revision`,
    );
  }
  const { user, repo, file, quantization, revision } = parts;
  if ((file ?? "").split("/").includes("..")) throw new InwardError("MODEL_NOT_FOUND", `${uri} leaves its repository`);
  return {
    user,
    repo,
    ...(file === undefined ? {} : { file }),
    ...(quantization === undefined ? {} : { quantization }),
    revision: revision ?? "main",
  };
}

/** Several files make up one model: `…-00001-of-00003.gguf`. */
export function isSplitPart(fileName: string): boolean {
  return /-\d{5}-of-\d{5}\.gguf$/i.test(fileName);
}

/** A name for the model folder, one per URI. */
export function fileIdOfUri(uri: HuggingFaceUri): string {
  const parts = ["hf", uri.user, uri.repo, uri.quantization, uri.file?.replace(/\.gguf$/i, "")];
  if (uri.revision !== "main") parts.push(uri.revision);
  return parts
    .filter((part) => part !== undefined)
    .join("__")
    .replace(/[^A-Za-z0-9._-]+/g, "_");
}
