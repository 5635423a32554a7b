// What every source of model files takes and gives: a file, or the reason why there is none.
import type { OnModelProgress } from "../model-progress.js";

export interface SourceRequest {
  /** The file's name in the model folder, without `.gguf`. */
  readonly id: string;
  /** The model folder; exists. */
  readonly folder: string;
  readonly offline: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * `owned` files are inward's own: complete, under a temporary name in the model folder, still to be checked and moved
 * into place. Other files belong to the user or to another program: they are read where they are and never moved.
 */
export type SourceAttempt =
  | { readonly ok: true; readonly path: string; readonly owned: boolean; readonly origin: string }
  | { readonly ok: false; readonly reason: string };
