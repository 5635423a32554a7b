/** The trainer's flat parameters as an adapter. Pure. */
import type { NativeTensor } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { LoraAdapter, LoraMatrix } from "./lora-adapter.js";

export interface FlatState {
  readonly layout: readonly NativeTensor[];
  /** Views of this array stand in the adapter: it is not copied. */
  readonly parameters: Float32Array;
  readonly alpha: number;
  readonly rank: number;
  readonly name?: string;
  readonly baseName?: string;
}

/** @throws InwardError TRAIN_SHAPE when a tensor of the layout lies outside the parameters */
export function stateToAdapter(state: FlatState): LoraAdapter {
  const { layout, parameters, ...rest } = state;
  const tensors = new Map<string, LoraMatrix>();
  for (const { name, dimensions, offset } of layout) {
    const end = offset + dimensions[0] * dimensions[1];
    if (!(offset >= 0 && end <= parameters.length))
      throw new InwardError("TRAIN_SHAPE", `${name} lies at ${offset} to ${end} of ${parameters.length} parameters`);
    tensors.set(name, { dimensions, values: parameters.subarray(offset, end) });
  }
  return { ...rest, tensors };
}
