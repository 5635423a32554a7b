/** What a plan comes to before it is run: the content of `inward run --dry-run --json`. */

/**
 * `exact` by the model's own tokenizer. `estimate` from characters, because the model's file is not here. Numbers of generated
 * tokens are upper bounds either way, and what training reads of an answer is assumed.
 */
export type TokenBasis = "exact" | "estimate";

/**
 * `measured` on this machine, with this model. `scaled` from a measurement of another model or other work, by operations.
 * Both are forecasts; a second process on the same cores spoils either.
 */
export type TimeEstimate =
  | { readonly ok: true; readonly seconds: number; readonly basis: "measured" | "scaled"; readonly atMost?: true }
  | { readonly ok: false; readonly reason: string };

export interface AskedSize {
  readonly questions: number;
  /** Distinct strings that they are about. */
  readonly items: number;
  readonly promptTokens: number;
  /** Of the prompts, each shared beginning of a group once: what the native engine evaluates. */
  readonly distinctTokens: number;
  readonly generatedTokensAtMost: number;
  /** Of one question, prompt and answer. */
  readonly longestTokens: number;
}

export const STAGES = ["object_level", "object_level_adapted", "hypothetical", "noise_floor", "distributions"] as const;

export interface StageEstimate extends AskedSize {
  readonly stage: (typeof STAGES)[number];
  readonly state: string;
  readonly tokens: TokenBasis;
  readonly time: TimeEstimate;
}

export interface TrainingSize {
  /** When every train string that may be learnt from has a behavior. */
  readonly examplesAtMost: number;
  readonly steps: number;
  /** Each example counted whole, over all epochs. */
  readonly exampleTokens: number;
  /** With shared beginnings once per microbatch. */
  readonly evaluatedTokens: number;
  readonly microbatchTokens: number;
  readonly microbatchRows: number;
}

export interface TrainingEstimate extends TrainingSize {
  readonly adapter: string;
  readonly base: string;
  readonly tokens: TokenBasis;
  /** Absent where the network's shape is not known. */
  readonly parameters?: number;
  readonly memory?: TrainingMemory;
  readonly time: TimeEstimate;
}

/** Bytes. Rough where it says so: ggml lays out what a graph needs only when it has one. */
export interface AskingMemory {
  readonly weights: number;
  /** Keys and values of all cells of the cache. */
  readonly cache: number;
  /** Logits and activations of one batch; rough. */
  readonly compute: number;
  readonly total: number;
}

export interface TrainingMemory {
  readonly weights: number;
  readonly parameters: number;
  readonly gradients: number;
  readonly moments: number;
  /** Of the largest microbatch; rough. */
  readonly activations: number;
  readonly total: number;
}

export interface AskingRate {
  readonly basis: "measured" | "scaled";
  /** Distinct prompt tokens and generated tokens together. */
  readonly tokensPerSecond: number;
  /** Distinct prompt tokens alone, of a few questions without an answer. */
  readonly readTokensPerSecond: number;
  /** Generated tokens, as a share of the most that could be. */
  readonly generatedShare: number;
  /** A line of the answers' file. */
  readonly bytesPerAnswer: number;
  /** What was measured, in words. */
  readonly of: string;
}

export type Rated = { readonly ok: true; readonly rate: AskingRate } | { readonly ok: false; readonly reason: string };

export interface ModelEstimate {
  readonly model: string;
  readonly source: string;
  /** Why the file that would run is not here; absent when it is. */
  readonly missing?: string;
  readonly parameters?: number;
  /** Those that every token is multiplied with: without embeddings and output. */
  readonly layerParameters?: number;
  readonly weights?: { readonly bytes: number; readonly exact: boolean };
  readonly tokens: TokenBasis;
  readonly memory?: AskingMemory;
  readonly rates: { readonly objectLevel: Rated; readonly hypothetical: Rated };
}

/** Bytes. */
export interface DiskEstimate {
  readonly answers: number;
  readonly adapters: number;
  /** Beside an adapter in training; gone when it is there. */
  readonly checkpoint: number;
  readonly modelsToDownload: number;
  readonly modelsToWrite: number;
  /** Sizes that are not known, with the reason. */
  readonly unknown: readonly string[];
}

export interface PlanEstimate {
  readonly models: readonly ModelEstimate[];
  readonly stages: readonly StageEstimate[];
  readonly training: readonly TrainingEstimate[];
  readonly disk: DiskEstimate;
  /** What the numbers rest on. */
  readonly assumptions: readonly string[];
}
