/** The exact weights that were asked. */
export interface ModelFile {
  /** Registry name, `hf:` URI or path, as the study names it. */
  readonly source: string;
  /** Absolute path of the file that ran; not part of any hash. */
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  /** How the weights are encoded in the file that ran: the most common tensor type, e.g. `Q4_1`, `F32`. */
  readonly encoding: string;
  /** Set when the file was re-encoded from another: its source file's sha256 and encoding. */
  readonly reencodedFrom?: { readonly sha256: string; readonly encoding: string };
  /** Set when the weights lie on the grid of a coarser type than the file has: that type, and the quantized file that they were decoded from. */
  readonly roundedTo?: { readonly fileType: string; readonly sha256: string };
  /** Set when the file is a smaller network, made by taking layers out of another file's. */
  readonly layersRemoved?: RemovedLayers;
  readonly licence: string;
}

/** Which layers were taken out of which file; the others moved up. */
export interface RemovedLayers {
  readonly sha256: string;
  /** Layers that it has. */
  readonly of: number;
  /** Numbers of the removed ones there, from 0, ascending. */
  readonly layers: readonly number[];
}

/** Base weights + adapter (none yet) + quantization, under the name that the study gives it. */
export interface ModelState {
  readonly name: string;
  readonly file: ModelFile;
}

/** Which engine ran, on what: written to manifest.json beside the results. */
export interface EngineManifest {
  readonly engine: "native" | "node-llama-cpp";
  readonly nodeLlamaCpp: string;
  readonly llamaCpp: string;
  readonly device: "cuda" | "vulkan" | "metal" | "cpu";
  readonly deviceNames: readonly string[];
  readonly cpu: string;
  /** SIMD flags that change kernels and so last bits. */
  readonly cpuFlags: readonly string[];
  readonly threads: number;
  readonly sequences: number;
  readonly contextTokens: number;
  readonly batchTokens: number;
  readonly flashAttention: boolean;
  readonly kvUnified: boolean;
  /** What keys and values are kept as; absent in runs that are older than the choice: f16. */
  readonly cacheType?: "f32" | "f16";
  readonly strict: boolean;
  /** Native: who evaluated. Absent in runs that are older than the choice: llama.cpp. */
  readonly forward?: "llama.cpp" | "own";
  /** Set when our own forward pass evaluated: the instruction set of its products, which its last bits depend on. */
  readonly kernels?: "avx512" | "avx2" | "plain";
  /** Set when products of 32 rows and more were ggml's BLAS plugin's. */
  readonly blasPlugin?: { readonly sha256: string };
  /** Absent when the base was asked alone. */
  readonly adapter?: { readonly sha256: string; readonly scale: number };
  readonly chatTemplateSha256: string;
  readonly beginOfSequence: string;
  /** How logprobs were summed. */
  readonly logprobs: string;
}
