/** What must be known of a base to move query and key rows between PEFT's order and llama.cpp's. */
import { InwardError } from "../../../errors.js";
import type { LoraMatrix } from "../lora-adapter.js";
import type { LoraPlace } from "../lora-names.js";
import { toHalvedRows, toInterleavedRows } from "./rotary-rows.js";

/** As `NativeDescription` and a GGUF's header name them. */
export interface BaseHeads {
  readonly heads: number;
  readonly keyValueHeads: number;
}

/**
 * @returns the matrix in the other side's order of rows; itself unless it is B of q or k
 * @throws InwardError ADAPTER_SHAPE when its rows are not whole heads of even width
 */
export function reorderRows(
  matrix: LoraMatrix,
  place: LoraPlace,
  base: BaseHeads,
  to: "llama.cpp" | "peft",
  name: string,
): LoraMatrix {
  if (place.half === "a" || (place.target !== "q" && place.target !== "k")) return matrix;
  const heads = place.target === "q" ? base.heads : base.keyValueHeads;
  const [rank, rows] = matrix.dimensions;
  if (!Number.isInteger(heads) || heads < 1 || rows % (2 * heads) !== 0)
    throw new InwardError("ADAPTER_SHAPE", `${name} has ${rows} rows, which are not ${heads} heads of even width.`);
  const move = to === "peft" ? toHalvedRows : toInterleavedRows;
  return { ...matrix, values: move(matrix.values, rank, heads) };
}
