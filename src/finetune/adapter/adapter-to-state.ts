/** An adapter as the trainer's flat parameters, to go on training it. Pure. */
import type { NativeTensor } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { LoraAdapter } from "./lora-adapter.js";

export interface StateLayout {
  readonly tensors: readonly NativeTensor[];
  /** Floats in all. */
  readonly parameters: number;
  /** What the trainer scales by: alpha / rank. */
  readonly alpha: number;
}

/**
 * @returns [parameters], every tensor of the layout filled
 * @throws InwardError ADAPTER_SHAPE when a tensor is missing, superfluous or of another shape · TRAIN_SETTINGS when the trainer's alpha
 * is another, for the same A and B would then be another adapter
 */
export function adapterToState(adapter: LoraAdapter, layout: StateLayout): Float32Array {
  const wanted = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, { dimensions }] of adapter.tensors) {
    if (!wanted.has(name))
      throw new InwardError(
        "ADAPTER_SHAPE",
        `The adapter has ${name} ${shape(dimensions)}; the trainer has no such tensor: it does not train that projection, or the base has fewer layers.`,
      );
  }
  const parameters = new Float32Array(layout.parameters);
  for (const { name, dimensions, offset } of layout.tensors) {
    const found = adapter.tensors.get(name);
    if (found?.dimensions[0] !== dimensions[0] || found.dimensions[1] !== dimensions[1]) {
      const has = found === undefined ? "no such tensor" : shape(found.dimensions);
      throw new InwardError("ADAPTER_SHAPE", `${name} is ${shape(dimensions)} in the trainer; the adapter has ${has}.`);
    }
    parameters.set(found.values, offset);
  }
  // The file keeps single precision.
  if (Math.fround(adapter.alpha) !== Math.fround(layout.alpha))
    throw new InwardError(
      "TRAIN_SETTINGS",
      `lora.alpha is ${layout.alpha}; the adapter was made with ${adapter.alpha}.`,
    );
  return parameters;
}

const shape = (dimensions: readonly [number, number]) => `[${dimensions.join(", ")}]`;
