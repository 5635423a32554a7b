/** `inward models reencode`: another encoding of a model, by llama.cpp where the addon is built. */

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { InwardError } from "../errors.js";
import { reencodeGguf } from "../gguf/derived-copies.js";
import { FILE_TYPES, type FileTypeName, type GgmlTypeName, holdsFloats } from "../gguf/encodings.js";
import { type ImportanceMatrix, readImatrix, requireFits } from "../gguf/imatrix.js";
import { weightsByType } from "../gguf/inspect-gguf.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { ModelFile } from "../study/plan.js";
import {
  copyId,
  copyPath,
  type CopyRequest,
  findCopy,
  makeCopy,
  originOf,
  reencodedCopy,
  type WriteCopy,
} from "./derived-models.js";
import { identifyModel, makeModelFolder, modelFolder, type OnModelProgress } from "./model-file.js";
import { findAddon } from "./native/addon.js";
import { loadRegistry } from "./registry.js";
import { requantizeGguf } from "./requantize.js";
import { resolveModel } from "./resolve-model.js";

interface ReencodeModelOptions {
  readonly to: FileTypeName;
  /** A path that is free. Without it an F16 or F32 goes where studies with `encoding:` look for it. */
  readonly out?: string;
  /** Path of an importance matrix of llama-imatrix, which llama.cpp's quantizer takes; wants `out`, because studies look for a copy without. */
  readonly imatrix?: string;
  /** Default: as many as the machine has. The bytes do not depend on it. */
  readonly threads?: number;
  readonly offline?: boolean;
  readonly onProgress?: OnModelProgress;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  /** Where the addon would be; native/build unless given. */
  readonly buildFolder?: string;
}

interface ReencodedModel {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly reencodedFrom: { readonly path: string; readonly sha256: string; readonly encoding: string };
  /** Weights by the type of their tensors: rows that do not fill a type's blocks become another one. Most first. */
  readonly weights: Readonly<Partial<Record<GgmlTypeName, number>>>;
  /** `llama.cpp <release>`, or `inward` for its own decoder, which gives the same bytes. */
  readonly by: string;
  /** Why it was not llama.cpp. */
  readonly reason?: string;
  /** Of the importance matrix, and matrices of the model that it says nothing of. */
  readonly imatrix?: { readonly sha256: string; readonly without: readonly string[] };
}

interface Encoder {
  readonly by: string;
  readonly reason?: string;
  readonly reencode: WriteCopy;
}

/**
 * @param source registry name, `hf:` URI, or path of a GGUF
 * @throws InwardError IMATRIX_INVALID · USAGE (a path that is taken, an encoding that needs one, the encoding that the model has) · TRAIN_ADDON (not
 * built, and neither F16 nor F32 wanted) · and what resolveModel, requantizeGguf and reencodeGguf throw
 */
export async function reencodeModel(source: string, options: ReencodeModelOptions): Promise<ReencodedModel> {
  const { to, onProgress, signal } = options;
  const out = options.out === undefined ? undefined : resolve(options.out);
  if (out !== undefined) requireFree(out);
  else if (to !== "f16" && to !== "f32") {
    throw new InwardError("USAGE", `a file of ${to} needs --out: without it only f16 and f32 go to the model folder`);
  }
  if (options.imatrix !== undefined && (out === undefined || holdsFloats(FILE_TYPES[to]))) {
    const why = out === undefined ? "needs --out" : `is for types of less than 16 bits, and not for ${to}`;
    throw new InwardError("USAGE", `--imatrix ${why}`);
  }
  const matrix = options.imatrix === undefined ? undefined : await readImatrix(options.imatrix);
  const { reencode, ...who } = await chooseEncoder(options, matrix);
  const base = await resolveModel(source, { ...options, encoding: "as_shipped" });
  const fit = matrix && requireFits(matrix, await readGguf(base.path));
  const begun = performance.now();
  const copy = out === undefined ? copyRequest(source, base, options) : undefined;
  const written = copy
    ? await makeCopy(reencodedCopy(copy, reencode))
    : await reencode(base.path, out as string, {
        sourceSha256: base.sha256,
        ...(signal ? { signal } : {}),
        onProgress: (doneBytes, totalBytes) =>
          onProgress?.({ stage: "re-encode", what: `${basename(base.path)} as ${to}`, doneBytes, totalBytes }),
      });
  const seconds = (performance.now() - begun) / 1000;
  const path = copy ? copyPath(copy) : (out as string);
  return {
    path,
    ...written,
    seconds,
    weights: Object.fromEntries(weightsByType(await readGguf(path))),
    reencodedFrom: { path: base.path, sha256: base.sha256, encoding: base.encoding },
    ...(matrix && fit ? { imatrix: { sha256: matrix.sha256, without: fit.without } } : {}),
    ...who,
  };
}

function copyRequest(source: string, base: ModelFile, options: ReencodeModelOptions): CopyRequest {
  const encoding = options.to;
  if (base.encoding.toLowerCase() === encoding) {
    throw new InwardError("USAGE", `${base.path} is ${base.encoding} already; with --out another file is written`);
  }
  const id = copyId(identifyModel(source, loadRegistry()), base);
  const { onProgress, signal, env = process.env } = options;
  const request: CopyRequest = { base, id, encoding, folder: makeModelFolder(modelFolder(env)), onProgress, signal };
  requireFree(
    findCopy(request.folder, basename(copyPath(request)), base.sha256, originOf(encoding))?.path ?? copyPath(request),
  );
  return request;
}

function requireFree(path: string): void {
  if (existsSync(path)) throw new InwardError("USAGE", `${path} is there already, and no file is written over`);
}

async function chooseEncoder(
  { to, threads = availableParallelism(), buildFolder }: ReencodeModelOptions,
  imatrix: ImportanceMatrix | undefined,
): Promise<Encoder> {
  try {
    const { llamaCpp } = await findAddon(buildFolder);
    return {
      by: `llama.cpp ${llamaCpp}`,
      reencode: (from, target, options) => requantizeGguf(from, target, to, { ...options, threads, imatrix }),
    };
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "TRAIN_ADDON" || (to !== "f16" && to !== "f32")) throw error;
    return {
      by: "inward",
      reason: error.message,
      reencode: (from, target, options) => reencodeGguf(from, target, to, options),
    };
  }
}
