/**
 * The addon as TypeScript sees it. Every call is synchronous and may take seconds: it is made in a worker process,
 * never in the process that a person started. What a caller can cause throws an Error whose `code` is one of inward's
 * (TRAIN_*, MODEL_*).
 */

/** One or several devices of one variant's libraries, in the order in which layers lie on them: `cpu`, `cuda:0,cuda:1`, `cpu,vulkan:1`. */
export type NativeDevice = string;

export interface NativeFoundDevice {
  /** `cuda:0`; `cpu` */
  readonly name: string;
  /** What the driver calls it. */
  readonly description: string;
  readonly totalBytes: number;
  /** Of a GPU, less what its libraries take for themselves beside what is planned. */
  readonly freeBytes: number;
  /** Shares the machine's memory. */
  readonly integrated: boolean;
}

/** Devices of one kind in the order of their numbers; starts none. @throws TRAIN_DEVICE */
export function listDevices(options: {
  readonly binariesFolder: string;
  readonly fallbackFolder?: string;
  readonly kind: "cpu" | "cuda" | "vulkan" | "metal";
}): NativeFoundDevice[];

/** One operation of ggml with operands between -1 and 1; shapes in ggml's order, fastest first. native/include/inward/operations.h has each. */
export interface NativeOperation {
  readonly operation:
    | "get_rows"
    | "mul_mat"
    | "out_prod"
    | "out_prod_turned"
    | "rms_norm"
    | "rms_norm_back"
    | "rope"
    | "rope_back"
    | "rope_halves"
    | "rope_halves_back"
    | "swiglu"
    | "silu_back"
    | "soft_max"
    | "soft_max_back"
    | "adamw";
  /** Of weights, as ggml names it: `f32`, `q4_K`. Default f32. */
  readonly type?: string;
  readonly inner: number;
  readonly outer?: number;
  readonly columns?: number;
  /** RoPE: position of the first token. */
  readonly first?: number;
  /** Of what mul_mat multiplies weights with. Default 1. */
  readonly scale?: number;
}

export interface NativeOperationResult {
  /** Whether the device says that it has the operation. */
  readonly supported: boolean;
  /** Whether there was room for the operands. */
  readonly room: boolean;
  /** ‖got - wanted‖ / ‖wanted‖, wanted in double precision; of adamw the worst of its arrays' blocks of a million. NaN for no number. */
  readonly distance: number;
  /** Of the second run: the first may compile kernels. */
  readonly seconds: number;
  /** Both runs gave the same bits; not told of adamw. */
  readonly same: boolean;
}

/** Each operation on the first GPU of `device`, or on the CPU, beside the same in double precision. @throws TRAIN_DEVICE, TRAIN_SETTINGS */
export function computeOperations(options: {
  readonly binariesFolder: string;
  readonly fallbackFolder?: string;
  readonly device: NativeDevice;
  readonly threads: number;
  readonly cases: readonly NativeOperation[];
}): {
  readonly deviceName: string;
  /** What the libraries said while they were loaded; empty where the process had loaded them before. */
  readonly log: string;
  readonly results: readonly NativeOperationResult[];
};

export interface NativeTrainerOptions {
  /** A GGUF of llama architecture. */
  readonly modelPath: string;
  /** Folder with the libraries of the llama.cpp variant to run on. */
  readonly binariesFolder: string;
  /** Holds the device's backend for an older runtime (CUDA), taken when the one above finds no device. */
  readonly fallbackFolder?: string;
  readonly device: NativeDevice;
  /**
   * Layers whose weights stay on the devices, the last ones. Those of the others are sent there one after the other, or the layers
   * are computed on the CPU where it is the first device. Absent: as many as fit.
   */
  readonly deviceLayers?: number;
  readonly threads: number;
  /** Products of floats have float operands: quantized and half-precision weights are turned into floats for them. Default false. */
  readonly exact?: boolean;
  /** Columns that no product over tokens or loss rows has fewer of: microbatches are filled up. Default 1. */
  readonly leastColumns?: number;
  /** A power of two that the loss is multiplied by, and the gradients are divided by when they are read. Default 1. */
  readonly lossScale?: number;
  /** A CPU too computes with ggml's operations, as other devices do, and not with its own kernels: for proofs. Default false. */
  readonly ggmlOperations?: boolean;
  readonly rank: number;
  readonly alpha: number;
  /** 0 to below 1. */
  readonly dropout: number;
  /** Of q, k, v, o, gate, up, down. */
  readonly targets: readonly string[];
  readonly activationCheckpointing: boolean;
  /** Most tokens of any microbatch, and most loss rows of any: what memory is planned for. */
  readonly maxMicrobatchTokens: number;
  readonly maxLossRows: number;
  /** Choices of an earlier run of the same work, so that it is repeated bit for bit; measured when absent. */
  readonly kernels?: Readonly<Record<string, string>>;
  /** Refuse (TRAIN_MEMORY) when the plan needs more; absent: what the device says is free. */
  readonly memoryLimitBytes?: number;
}

/**
 * Packed examples. Tokens stand in depth-first order of a prefix forest cut into segments; a token sees its own
 * segment up to itself and all of its ancestors' segments. Without sharing every example is one segment of parent -1.
 */
export interface NativeMicrobatch {
  /** [tokens] */
  readonly tokenIds: Int32Array;
  /** [tokens] depth in its own sequence, from 0: a segment's first token stands one after its parent's last. */
  readonly positions: Int32Array;
  /** [segments] index of each segment's first token, ascending from 0. */
  readonly segmentStarts: Int32Array;
  /** [segments] index of the parent segment, smaller than the segment's own, or -1. */
  readonly segmentParents: Int32Array;
  /** [rows] tokens whose successor is predicted, strictly ascending. */
  readonly lossRows: Int32Array;
  /** [rows] the successor. */
  readonly lossTargets: Int32Array;
  /** [rows] weight of each row's negative log-likelihood in the sum. */
  readonly lossWeights: Float32Array;
}

/** Bytes, as planned before anything is allocated; over all devices unless said otherwise. */
export interface NativeMemoryPlan {
  /** The base weights as they lie in the file, where they stay on a device; and the places of those that are sent there. */
  readonly weightBytes: number;
  /** A, B, their gradients and two moments: 16 bytes a parameter. */
  readonly adapterBytes: number;
  /** Activations and temporaries of the largest microbatch, as ggml's allocator lays them out. */
  readonly computeBytes: number;
  /** Temporaries of the optimizer's step: two copies of the gradient. */
  readonly optimizerBytes: number;
  /** That a device's library makes of operands: on CUDA of half-precision weights, as floats, and of activations, in 8 bits. */
  readonly copyBytes: number;
  /** Weights that lie in the machine's memory and are sent to a device layer by layer. */
  readonly streamedBytes: number;
  /** Work space of the kernels, over all threads. */
  readonly scratchBytes: number;
  /** One chunk of logits on its way to the host. */
  readonly hostBytes: number;
  readonly totalBytes: number;
  readonly devices: readonly {
    /** `cuda:0` */
    readonly device: string;
    /** Computed there. */
    readonly layers: number;
    /** Of those, whose weights are sent there each time. */
    readonly streamedLayers: number;
    readonly neededBytes: number;
    readonly availableBytes: number;
  }[];
  /** Of the machine's memory; devices that are CPUs included. */
  readonly hostNeededBytes: number;
  readonly hostAvailableBytes: number;
}

export interface NativeTensor {
  /** e.g. `blk.0.attn_q.weight.lora_a` */
  readonly name: string;
  /** ggml order, fastest first: A [in, rank], B [rank, out]. */
  readonly dimensions: readonly [number, number];
  /** Where it begins in the flat arrays of state and gradients, in floats. */
  readonly offset: number;
}

export interface NativeDescription {
  /** The llama.cpp release whose headers the addon was built with. */
  readonly llamaCpp: string;
  readonly deviceName: string;
  readonly architecture: string;
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  readonly contextTokens: number;
  readonly parameters: number;
  readonly tensors: readonly NativeTensor[];
  /** By group of projections and direction, e.g. `qkv.forward`: `own`, `ggml`, `ggml-f32`, `ggml-bf16` or `out-prod`. */
  readonly kernels: Readonly<Record<string, string>>;
  /** What was measured to choose them, e.g. `ggml-f32 3.10 ms, ggml-bf16 2.02 ms`; differs from run to run. */
  readonly kernelTimings: Readonly<Record<string, string>>;
  /** Operations of the training graph that the device cannot do and the CPU does instead, with their number. */
  readonly fallbacks: Readonly<Record<string, number>>;
  readonly memory: NativeMemoryPlan;
}

export interface NativeAdamW {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Number of this update, from 1. */
  readonly step: number;
  /** What the summed gradients are multiplied by: 1 / the sum of the batch's weights. */
  readonly gradientScale: number;
  /** Greatest global L2 norm of the scaled gradient; 0 for no limit. */
  readonly maxGradientNorm: number;
}

export interface NativeState {
  /** [parameters] */
  readonly parameters: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
}

export class Trainer {
  constructor(options: NativeTrainerOptions);
  describe(): NativeDescription;
  /** Forward and backward: adds this microbatch's gradient to the sum. @returns Σ weight · nll, nats */
  accumulate(microbatch: NativeMicrobatch, dropoutSeed: number): number;
  /**
   * Forward only, no dropout. Per loss row: natural log of the target's probability, and whether it is the most likely
   * token.
   */
  evaluate(microbatch: NativeMicrobatch): { readonly logprobs: Float32Array; readonly isBest: Uint8Array };
  /** Forward only: raw logits [rows × vocabulary] at the loss rows. */
  logits(microbatch: NativeMicrobatch): Float32Array;
  /**
   * One AdamW update from the summed gradients, which are then zero.
   * @returns the scaled gradient's global L2 norm before clipping
   */
  update(adamw: NativeAdamW): number;
  /** The summed gradients as they stand, [parameters]. */
  gradients(): Float32Array;
  zeroGradients(): void;
  state(): NativeState;
  /** @throws TRAIN_SHAPE when lengths differ from the description's */
  setState(state: NativeState): void;
  /** Milliseconds by kind of operation over one accumulate() of this microbatch (its gradient is discarded). */
  profile(microbatch: NativeMicrobatch): Readonly<Record<string, number>>;
  /** Frees the device's memory now. */
  dispose(): void;
}

/** A product of floats, close-packed: a is [m × k] and b [k × n] row by row, or column by column where they are turned. */
export interface NativeProduct {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly turnA?: boolean;
  readonly turnB?: boolean;
  readonly factor: number;
  /** What the product is added to with `add`; [m × n]. */
  readonly c: Float32Array;
  readonly add?: boolean;
}

/**
 * As the trainer's kernels of that name compute it on one thread.
 * @returns [m × n] row by row
 * @throws TRAIN_SHAPE · TRAIN_DEVICE where the processor lacks the kernels
 */
export function multiply(product: NativeProduct, kernels: "avx512" | "avx2" | "plain"): Float32Array;
/** Rate of the trainer's products on this machine, GFLOP/s: [m × k] times rows of [n × k], `threads` independent slices. */
export function measureProducts(threads: number, m: number, n: number, k: number): number;
/** The llama.cpp release whose headers the addon was built with. */
export const llamaCpp: string;

export interface NativeRequantizeOptions {
  readonly binariesFolder: string;
  /** A GGUF with tensors. */
  readonly input: string;
  /** Must not be there yet. */
  readonly output: string;
  /** In llama.cpp's words, lower case, e.g. `f32`, `q8_0`, `q4_k_m`. */
  readonly type: string;
  readonly threads: number;
  /** How much each column of a matrix matters to the rounding of its rows; absent: alike. `values`: [columns × experts]. */
  readonly importances?: readonly { readonly tensor: string; readonly values: Float32Array }[];
  /** Written into the new file: a text, or a number where there is none. Keys and texts of fewer than 128 bytes. */
  readonly metadata?: readonly { readonly key: string; readonly text?: string; readonly number?: number }[];
}

/**
 * Writes the model with its weights in another encoding (llama_model_quantize); the order of metadata and tensors is
 * llama.cpp's own. Needs no device. A full disk may leave a file without a header and no error.
 * @throws ENGINE_UNAVAILABLE, MODEL_TENSOR_TYPE, STORE_UNWRITABLE
 */
export function requantize(options: NativeRequantizeOptions): void;

/**
 * Rows of `columns` weights of a ggml type (`q4_K`, …) as floats: by the kernels of that name, as our own forward pass reads
 * them; or as ggml decodes them.
 * @throws MODEL_TENSOR_TYPE where the type is not read, bytes are not whole rows, or the processor lacks the kernels
 */
export function decodeWeights(
  type: string,
  bytes: Uint8Array,
  columns: number,
  by: "ggml" | "avx512" | "avx2" | "plain",
): Float32Array;

export interface NativeEngineOptions {
  readonly modelPath: string;
  readonly binariesFolder: string;
  readonly fallbackFolder?: string;
  readonly device: NativeDevice;
  /**
   * How many layers lie on each GPU, in the order of `device`; together the model's last ones, and the output, which counts as one,
   * with the last. The others are computed on the CPU. Absent: all layers, spread as llama.cpp does it.
   */
  readonly deviceLayers?: readonly number[];
  readonly threads: number;
  /** Answers in the making at once. */
  readonly sequences: number;
  /** Tokens of one evaluation. */
  readonly batchTokens: number;
  /** Cells of the KV cache; 0 for as many as a group can use. With fewer, fewer items are asked at once. */
  readonly mostCells: number;
  /** One item at a time, nothing shared: bit-stable whatever else is in the group. */
  readonly strict: boolean;
  readonly cacheType: "f32" | "f16";
  /**
   * Not when strict. It passes over cells that a token does not see, of which a cache that many sequences share has
   * most, and rounds keys and values to half precision. Default false.
   */
  readonly flashAttention?: boolean;
  /**
   * Each answer in the making has cells of its own, laid out as if it were alone, and what prompts share is copied: on a CPU a
   * row's numbers then hardly depend on its company. Not when strict; llama.cpp's only. Default false.
   */
  readonly separateSequences?: boolean;
  /**
   * Every evaluation has one of two shapes, all sequences with one row each or with one piece of a prompt each, and each sequence
   * its cells in the order of its own tokens: a row's numbers do not depend on what else is asked, as far as the device's kernels
   * compute every column of a product alike. Not when strict; llama.cpp's only. Default false.
   */
  readonly invariant?: boolean;
  /** Rows, and rows with logits, that every evaluation is filled up to; 0: none. llama.cpp's only. Default 0. */
  readonly leastRows?: number;
  /**
   * Who evaluates: llama.cpp, or our own forward pass (the CPU's; models of dense layers; weights exactly as the file
   * has them, encoded in memory too), whose numbers depend on nothing but a row's own tokens. Default llama.cpp.
   */
  readonly forward?: "llama.cpp" | "own";
  /**
   * llama.cpp's only: tokens within which the file's RoPE factors for short texts hold, where it has others for longer ones; no item is
   * longer. Default 0: the file has none.
   */
  readonly shortContext?: number;
  /** Whatever is said of sequences, one answer is made after the other. Default false. */
  readonly oneAtATime?: boolean;
  /** general.architecture of the file. Needed with shortContext. */
  readonly architecture?: string;
}

/** A group of prompts that are asked together; the same group with the same settings gives the same bytes. */
export interface NativeWork {
  /** All prompts one after the other. */
  readonly tokenIds: Int32Array;
  /** [items + 1] where each begins. */
  readonly starts: Int32Array;
  /**
   * [items] tokens of the prompt from here on are scored (each from those before it); the prompt's length for none; at
   * least 1.
   */
  readonly scoreFrom: Int32Array;
  /** [items] longest answer in tokens; 0 generates nothing. */
  readonly maxTokens: Int32Array;
  /**
   * [items × greatest maxTokens] in [0, 1), which token is drawn by inverting the cumulative distribution in order of
   * id; negative: the most likely. Empty: all greedy.
   */
  readonly draws: Float64Array;
  /** [items] of what is drawn: from softmax(logits / temperature). Above 0; 1 for all when absent. */
  readonly temperatures?: Float64Array;
  /** Most likely tokens to report at each item's first answer position, i.e. after its last prompt token. */
  readonly topTokens: number;
  /** Token ids whose log-probability is reported there too. */
  readonly readIds: Int32Array;
  /** Most likely tokens to report at every position of an answer; 0 for its log-sum-exp alone. Absent: nothing of it. */
  readonly positionTokens?: number;
  /** Token ids that end an answer beside those that end generation in this vocabulary; none when absent. */
  readonly endIds?: Int32Array;
  /** Answers in the making at once, instead of the engine's own number; 0 for that. */
  readonly sequences?: number;
  /**
   * Tokens at the beginning of every prompt that stay evaluated for the next group, if that one keeps the very same
   * ones; its numbers then depend on which groups went before. 0 keeps nothing.
   */
  readonly keep?: number;
  /**
   * Our own forward pass: [items] tokens at the beginning of each prompt that stay evaluated, for as many of the next group's prompts as
   * begin with the very same; no number depends on it. Absent: none do.
   */
  readonly keeps?: Int32Array;
  /** Where the logits before every scored token go, item after item: kept, or with `compares` held against those that are. */
  readonly rows?: LogitRows;
  readonly compares?: boolean;
  /** [tokens] 1 where the states of a prompt's token are captured, at the sites that setCapture was given. Absent: of none. */
  readonly capture?: Uint8Array;
  /** [items] 1 where those of all of an answer's tokens are that are evaluated: all but its last, which nothing follows. */
  readonly captureAnswers?: Uint8Array;
  /** What is written into states on the way. Prompts share what they begin with up to the first token at which they differ in it. */
  readonly interventions?: NativeInterventions;
}

/** Edits of one token's state at one site, sets of them, and at which tokens each set is done; src/model/interventions.ts says what they do. */
export interface NativeInterventions {
  readonly modelLayers: number;
  readonly values: Float32Array;
  /** [edits] index of the part among STATE_PARTS; its layer; numbers of a token there. */
  readonly parts: Int32Array;
  readonly layers: Int32Array;
  readonly widths: Int32Array;
  /** [edits] index among INTERVENTION_OPERATIONS. */
  readonly operations: Int32Array;
  readonly factors: Float32Array;
  /** [edits + 1] where each edit's vectors begin in `vectors`, whose members say where each begins in `values`. Of project_out orthonormal. */
  readonly vectorStarts: Int32Array;
  readonly vectors: Int32Array;
  /** Numbers of a head's value. [edits + 1] where each edit's heads begin in `heads`; none: all numbers. */
  readonly headWidth: number;
  readonly headStarts: Int32Array;
  readonly heads: Int32Array;
  /** [sets + 1] where each set's edits begin in `sets`, in the order in which they are done. Sets that are equal are one set. */
  readonly setStarts: Int32Array;
  readonly sets: Int32Array;
  /** [tokens] the set of each prompt's token, [items] that of all of an answer's tokens; -1: nothing is done. */
  readonly tokenSets: Int32Array;
  readonly answerSets: Int32Array;
}

/** Places of a model where states are captured; src/model/sites.ts has their names. */
export interface NativeCapture {
  /** [sites] index of the part among STATE_PARTS. */
  readonly parts: Int32Array;
  readonly layers: Int32Array;
  /** [sites] numbers of a token; of attention weights: heads. */
  readonly widths: Int32Array;
  readonly modelLayers: number;
  readonly dtype: "f16" | "f32";
}

/** Logits of many positions in memory, 4 bytes a position and token, and what another file's are apart from them. */
export class LogitRows {
  /** @throws ENGINE_MEMORY */
  constructor(rows: number, vocabulary: number);
  /**
   * [rows × 10] of each position, natural logs in double precision over the full vocabulary, kept ones first: Kullback-Leibler
   * divergence of the other from the kept, and back; log-probability of the token that follows, of both; most likely token; its lead;
   * the divergence as llama-perplexity sums it; 1 where it was compared.
   */
  compared(): Float64Array;
  /** Forgets what was compared, not what is kept. */
  compareAnew(): void;
  /** [vocabulary] */
  kept(row: number): Float32Array;
  /** Keeps raw logits that somebody else computed. @throws TRAIN_SHAPE */
  keep(row: number, logits: Float32Array): void;
  /** Holds raw logits that somebody else computed against what is kept. @param id of the token that follows @throws TRAIN_SHAPE, ENGINE_NOT_FINITE */
  compare(row: number, logits: Float32Array, id: number): void;
  /** Log-probabilities that are taken as they stand, though they need not sum to one: those of a base file. */
  keepLogprobs(row: number, logprobs: Float32Array): void;
  dispose(): void;
}

/**
 * Items that finished since the last take(), in the order in which they did. Logprobs: natural log, temperature 1,
 * full vocabulary, double precision.
 */
export interface NativeAnswers {
  readonly items: Int32Array;
  /** [items] generated tokens of each. */
  readonly counts: Int32Array;
  /**
   * Generated ids, item after item, the token that ended each included; logprobs, margins (best minus second-best
   * logit) and entropies (nats) of the same positions.
   */
  readonly tokenIds: Int32Array;
  readonly logprobs: Float64Array;
  readonly margins: Float64Array;
  readonly entropies: Float64Array;
  /** [items] 1: ended with a token that ends an answer, 0: at maxTokens. */
  readonly ended: Uint8Array;
  /** [items] scored tokens of each, and their logprobs item after item. */
  readonly scoreCounts: Int32Array;
  readonly scores: Float64Array;
  /** [items] log Σ exp(logit) at the first answer position. */
  readonly logSumExps: Float64Array;
  /** [items × min(topTokens, vocabulary)] most likely first, equal ones by id. */
  readonly topIds: Int32Array;
  readonly topLogprobs: Float64Array;
  /** [items × readIds] */
  readonly readLogprobs: Float64Array;
  /** Where positionTokens was given: log Σ exp(logit) at the position of every generated token, item after item. */
  readonly positionLogSumExps: Float64Array;
  /** [generated tokens × min(positionTokens, vocabulary)] most likely first, equal ones by id. */
  readonly positionIds: Int32Array;
  readonly positionLogprobs: Float64Array;
  /** [items] captured tokens of each, and the position of each of these, ascending; empty where nothing was to be captured. */
  readonly stateCounts: Int32Array;
  readonly statePositions: Int32Array;
  /**
   * Item after item, and of each item site after site, in the order of setCapture: one row for each of the item's captured tokens. Attention
   * weights have position + 1 a head. An addon that was built earlier has it by another name and in another order.
   */
  readonly siteStates?: Uint8Array;
  /**
   * [items] edits of the states of its tokens, each counted where it was done. Of what nobody reads, the last layer's states of tokens without
   * logits, nothing is done. Absent in an addon that was built before it counted.
   */
  readonly editsDone?: Int32Array;
}

export interface NativeCounts {
  readonly evaluatedTokens: number;
  /** Nodes of the group's prefix tree, plus generated tokens that were evaluated. */
  readonly distinctTokens: number;
  readonly decodes: number;
  readonly mostSequences: number;
  /** Times an item had to wait for cells. */
  readonly waited: number;
  /** Of the KV cache, and how many the group could have used; fewer where `mostCells` or memory forbade more. */
  readonly cells: number;
  readonly wantedCells: number;
  /** In llama_decode, and in reading its logits. */
  readonly decodeSeconds: number;
  readonly readSeconds: number;
}

/**
 * libllama, or our own forward pass, behind a scheduler over the prefix tree of a group. Throws like Trainer, with
 * ENGINE_*, MODEL_*, ADAPTER_* codes; the message of MODEL_LOAD is llama.cpp's log, lines that a caller makes readable.
 */
export interface NativeVocabulary {
  /** [tokens] bits as llama.cpp has them (`llama_token_attr`). */
  readonly attributes: Int32Array;
  /** [tokens] whether generation stops there. */
  readonly ends: Uint8Array;
  /** -1: there is none, or the first two are no control tokens. */
  readonly bos: number;
  readonly eos: number;
  readonly eot: number;
  readonly addsBos: boolean;
  readonly addsEos: boolean;
}

/** What an engine says of its tokens, and a file's vocabulary alone. */
export interface NativeTokens {
  /** What llama.cpp says of the vocabulary's tokens; absent in an addon that was built before it was there. */
  vocabulary?(): NativeVocabulary;
  /** @returns ids of a text in which nothing is a control token, nothing added @throws TRAIN_SHAPE */
  tokenize(text: string): Int32Array;
  /** As llama.cpp reads the tokens, control tokens by their names. @throws TRAIN_SHAPE */
  detokenize(tokenIds: Int32Array): string;
}

/** A file's vocabulary without its weights and without a device. @throws MODEL_LOAD with the lines of llama.cpp's log */
export class Vocabulary implements NativeTokens {
  constructor(options: Pick<NativeEngineOptions, "modelPath" | "binariesFolder">);
  vocabulary(): NativeVocabulary;
  tokenize(text: string): Int32Array;
  detokenize(tokenIds: Int32Array): string;
  /** Lines that llama.cpp warned with while it read the file. */
  loadLog(): string;
  dispose(): void;
}

export class Engine implements NativeTokens {
  constructor(options: NativeEngineOptions);
  describe(): {
    readonly llamaCpp: string;
    readonly deviceName: string;
    readonly vocabularySize: number;
    readonly contextTokens: number;
    /** What is kept of a text is whole or nothing (a recurrent state): prompts share no beginning. */
    readonly wholePrompts: boolean;
    /** Whether it knows `temperatures` and `positionTokens`; an addon that was built before they were there would pass over them. */
    readonly anyTemperature?: boolean;
    /** Whether it knows `interventions`; an addon that was built before would pass over them. */
    readonly intervenes?: boolean;
    /** Tokens that llama.cpp's layers with a window see; 0: there are none, or our own forward pass evaluates. */
    readonly window: number;
    /** Instruction set of our own forward pass. */
    readonly kernels?: "avx512" | "avx2" | "plain";
    /** Lines that llama.cpp warned with while it loaded the file. */
    readonly loadLog: string;
  };
  vocabulary?(): NativeVocabulary;
  tokenize(text: string): Int32Array;
  detokenize(tokenIds: Int32Array): string;
  /** Replaces all adapters; forgets everything evaluated. */
  setAdapters(adapters: readonly { readonly path: string; readonly scale: number }[]): void;
  /**
   * llama.cpp's own way to add a vector to every token's state after each layer from `first` to `last`: for proofs of interventions, which
   * do the same. Forgets everything evaluated.
   * @param vector values: [layers × width] from layer 1 on, none to take it away
   * @throws PROBE_INVALID · ENGINE_UNAVAILABLE by our own forward pass
   */
  setControlVector(vector: {
    readonly values: Float32Array;
    readonly width: number;
    readonly first: number;
    readonly last: number;
  }): void;
  /**
   * What is captured from the next group on; nothing where there are no sites. Forgets everything evaluated. No logit changes a bit.
   * @throws PROBE_SITE
   */
  setCapture(capture: NativeCapture): void;
  begin(work: NativeWork): void;
  /** One evaluation. @returns whether the group goes on */
  step(): boolean;
  /** @param statesInto captured states lie at its beginning, where they have room in it; else in an array of their own */
  take(statesInto?: Uint8Array): NativeAnswers;
  /** Drops the rest of the group. */
  cancel(): void;
  counts(): NativeCounts;
  dispose(): void;
}
