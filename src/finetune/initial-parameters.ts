/** Where training starts from when no adapter is given. Pure. */
import type { NativeTensor } from "../../native/index.js";
import { InwardError } from "../errors.js";
import { seededRandom } from "./seeded-random.js";

/**
 * A uniform within ±1/√in, which is what PEFT draws from too; B zero, so that the adapted model is the base. The numbers of a
 * tensor depend on its name, its size and the seed alone, not on the other tensors or on where it lies.
 * @param tensors of NativeDescription
 * @param parameters floats in all
 * @returns [parameters]
 * @throws TRAIN_SHAPE a tensor that is no LoRA matrix or lies outside
 */
export function initialParameters(tensors: readonly NativeTensor[], parameters: number, seed: number): Float32Array {
  const values = new Float32Array(parameters);
  for (const { name, dimensions, offset } of tensors) {
    const [inputs, rank] = dimensions;
    const size = inputs * rank;
    if (!/\.lora_[ab]$/.test(name) || offset < 0 || offset + size > parameters) {
      throw new InwardError(
        "TRAIN_SHAPE",
        `The trainer describes a tensor ${name} of ${dimensions.join(" × ")} at ${offset}, among ${parameters} parameters.`,
      );
    }
    if (name.endsWith(".lora_a"))
      fillUniform(values.subarray(offset, offset + size), 1 / Math.sqrt(inputs), `${seed}/${name}`);
  }
  return values;
}

function fillUniform(values: Float32Array, bound: number, stream: string): void {
  const random = seededRandom(`initial/${stream}`);
  for (let index = 0; index < values.length; index++) {
    // The middle of one of 2^24 equal parts: symmetric, and as fine as a float holds. The generator's low bits are its weakest.
    const part = ((random.next() >>> 8) + 0.5) / 2 ** 24;
    values[index] = (2 * part - 1) * bound;
  }
}
