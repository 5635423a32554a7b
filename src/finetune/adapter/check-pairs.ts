/** What makes a set of tensors a LoRA adapter. Pure. */
import { InwardError } from "../../errors.js";
import type { LoraMatrix } from "./lora-adapter.js";

/** ggml's own limit, its terminating zero not counted. llama.cpp refuses a file with a longer name. */
const MAX_NAME_BYTES = 63;

/**
 * Every tensor is half of a pair, all pairs have one rank, all values are finite.
 * @param source what to call the adapter in messages
 * @returns the rank
 * @throws InwardError ADAPTER_INVALID
 */
export function checkPairs(tensors: ReadonlyMap<string, LoraMatrix>, source: string): number {
  const invalid = (what: string) => new InwardError("ADAPTER_INVALID", `${source}: ${what}`);
  let first: { readonly base: string; readonly rank: number } | undefined;
  for (const [name, matrix] of tensors) {
    const half = /^(.+)\.lora_([ab])$/.exec(name);
    if (half === null) throw invalid(`tensor ${name} is neither a .lora_a nor a .lora_b`);
    if (Buffer.byteLength(name) > MAX_NAME_BYTES)
      throw invalid(`tensor name ${name} is longer than ${MAX_NAME_BYTES} bytes`);
    const base = half[1] as string;
    const other = half[2] === "a" ? "lora_b" : "lora_a";
    if (!tensors.has(`${base}.${other}`)) throw invalid(`${name} has no ${other} beside it`);
    const [columns, rows] = matrix.dimensions;
    if (columns < 1 || rows < 1 || matrix.values.length !== columns * rows)
      throw invalid(`${name} is [${columns}, ${rows}] with ${matrix.values.length} values`);
    const bad = matrix.values.findIndex((value) => !Number.isFinite(value));
    if (bad !== -1) throw invalid(`value ${bad} of ${name} is ${matrix.values[bad]}`);
    const rank = rankOf(base, half[2] as "a" | "b", matrix);
    first ??= { base, rank };
    if (rank !== first.rank) throw invalid(`${name} has rank ${rank}, ${first.base} has rank ${first.rank}`);
  }
  if (first === undefined) throw invalid("it holds no LoRA tensor");
  return first.rank;
}

/** Beside the token embedding, which is looked up and not multiplied, llama.cpp keeps A the other way round: [rank, vocabulary]. */
function rankOf(base: string, half: "a" | "b", { dimensions }: LoraMatrix): number {
  return half === "b" || base === "token_embd.weight" ? dimensions[0] : dimensions[1];
}
