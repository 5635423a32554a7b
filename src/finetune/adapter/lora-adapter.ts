/** A LoRA adapter in memory, wherever it came from. */

export interface LoraMatrix {
  /** ggml order, fastest first: A is [in, rank], B is [rank, out]. */
  readonly dimensions: readonly [number, number];
  /** Row by row: A's rank rows of `in` values, B's `out` rows of `rank` values, just as PEFT keeps them. */
  readonly values: Float32Array;
}

export interface LoraAdapter {
  readonly name?: string;
  /** What the adapter's own file calls its base; a claim, not a proof. */
  readonly baseName?: string;
  /** The pair's product is scaled by alpha / rank. */
  readonly alpha: number;
  readonly rank: number;
  /** By GGUF name, e.g. `blk.0.attn_q.weight.lora_a`. */
  readonly tensors: ReadonlyMap<string, LoraMatrix>;
  /** Tensors of the file that llama.cpp skips (vectors of norms), and that are therefore not in `tensors` either. */
  readonly skipped?: readonly string[];
}
