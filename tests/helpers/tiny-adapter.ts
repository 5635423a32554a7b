/** Writes a real, tiny, random LoRA adapter for the model of tiny-model.ts. The same options give the same bytes. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";

export interface TinyAdapterOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Default 4. */
  readonly rank?: number;
  /** Largest absolute value in A and B; 0 for B alone is what training starts from. Default 0.3. */
  readonly a?: number;
  readonly b?: number;
  /** [in, out] of the weights that get a pair; default all seven projections of both blocks. */
  readonly weights?: Readonly<Record<string, readonly [number, number]>>;
  /** Added last, replacing a key of the same name; false leaves it out. */
  readonly metadata?: Readonly<Record<string, GgufValue | false>>;
}

const PROJECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  attn_q: [64, 64],
  attn_k: [64, 32],
  attn_v: [64, 32],
  attn_output: [64, 64],
  ffn_gate: [64, 128],
  ffn_up: [64, 128],
  ffn_down: [128, 64],
};

export async function writeTinyAdapter(path: string, options: TinyAdapterOptions = {}): Promise<void> {
  const { rank = 4, a = 0.3, b = 0.3 } = options;
  const random = xoroshiro128plus(options.seed ?? 1);
  const matrix = (name: string, columns: number, rows: number, largest: number) => {
    const values = Float32Array.from({ length: columns * rows }, () => (random.next() / 2 ** 31) * largest);
    return { name, dimensions: [columns, rows], type: "F32" as const, chunks: () => [new Uint8Array(values.buffer)] };
  };
  const all = [0, 1].flatMap((block) =>
    Object.entries(PROJECTIONS).map(([name, shape]) => [`blk.${block}.${name}.weight`, shape] as const),
  );
  const tensors = Object.entries(options.weights ?? Object.fromEntries(all)).flatMap(([name, [columns, rows]]) => [
    matrix(`${name}.lora_a`, columns, rank, a),
    matrix(`${name}.lora_b`, rank, rows, b),
  ]);
  const metadata: Record<string, GgufValue | false> = {
    "general.type": { type: "string", value: "adapter" },
    "general.architecture": { type: "string", value: "llama" },
    "adapter.type": { type: "string", value: "lora" },
    "adapter.lora.alpha": { type: "f32", value: 8 },
    ...options.metadata,
  };
  const kept = Object.entries(metadata).filter((entry): entry is [string, GgufValue] => entry[1] !== false);
  await writeGguf(path, new Map(kept), tensors);
}
