/** Where training starts from when no adapter is given. */

import type { NativeTensor } from "../../native/index.js";
import { seededRandom } from "../base/random.js";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { LoraAdapter } from "./adapter/adapter.js";
import { findAdapter } from "./adapter/found-adapter.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { type BaseCheck, checkAdapterBase, readAdapter } from "./adapter/saved-adapter.js";

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

// The adapter that a training goes on from: a GGUF, ours or llama.cpp's converter's, or a PEFT folder.

export interface InitialAdapter {
  readonly adapter: LoraAdapter;
  /** Of its GGUF, hex; of a PEFT folder that of the GGUF which is made of it. */
  readonly sha256: string;
  /** `no_card`: nothing but shapes says that it is this base's. `forced`: its card names another base. */
  readonly base: BaseCheck["base"];
}

interface Base {
  readonly modelPath: string;
  readonly sha256: string;
}

/**
 * @param path a GGUF, or a folder with adapter_config.json and adapter_model.safetensors
 * @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID · ADAPTER_SHAPE · ADAPTER_BASE another base than its card's, unless forced · MODEL_*
 */
export async function readInitialAdapter(
  path: string,
  base: Base,
  options: { readonly force?: boolean } = {},
): Promise<InitialAdapter> {
  const found = await findAdapter(path, base.modelPath);
  const check = checkAdapterBase(found.card, base.sha256, options);
  const adapter = await readAdapter(found.path);
  const { architecture } = await inspectGguf(base.modelPath);
  if (adapter.architecture !== architecture) {
    throw new InwardError(
      "ADAPTER_SHAPE",
      `${path} is an adapter for models of architecture ${shown(adapter.architecture)}; ${base.modelPath} is of architecture ${shown(architecture)}.`,
    );
  }
  return { base: check.base, adapter, sha256: found.sha256 };
}
