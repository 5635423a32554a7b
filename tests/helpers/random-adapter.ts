/** A LoRA adapter with random A and B (neither of them zero), laid out as the trainer lays out its parameters. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { NativeTensor } from "../../native/index.js";
import { type LoraAdapter, stateToAdapter } from "../../src/finetune/adapter/adapter.js";
import { loraName, projectionMatrices } from "../../src/finetune/adapter/projections.js";
import { LORA_TARGETS, type LoraTarget } from "../../src/study/schema.js";

/** The shape of `writeTinyModel`'s model. */
export const TINY_SHAPE = {
  architecture: "llama",
  layers: 2,
  embedding: 64,
  heads: 4,
  keyValueHeads: 2,
  feedForward: 128,
} as const;

export interface RandomAdapterOptions {
  readonly seed?: number;
  /** Default 3. */
  readonly rank?: number;
  /** Default 5. */
  readonly alpha?: number;
  /** Default all. */
  readonly targets?: readonly LoraTarget[];
  /** B is uniform in ± this; A in ±1. Default 1. */
  readonly scaleB?: number;
}

export function tinyLayout(rank: number, targets: readonly LoraTarget[] = LORA_TARGETS): NativeTensor[] {
  const { layers, embedding, heads, keyValueHeads, feedForward } = TINY_SHAPE;
  const keyValue = (embedding / heads) * keyValueHeads;
  const shapes: Record<LoraTarget, readonly [number, number]> = {
    q: [embedding, embedding],
    k: [embedding, keyValue],
    v: [embedding, keyValue],
    o: [embedding, embedding],
    gate: [embedding, feedForward],
    up: [embedding, feedForward],
    down: [feedForward, embedding],
  };
  const layout: NativeTensor[] = [];
  let offset = 0;
  for (let layer = 0; layer < layers; layer++) {
    for (const matrix of projectionMatrices("llama")) {
      const [target] = matrix.targets;
      if (target === undefined || !targets.includes(target)) continue;
      const [inputs, outputs] = shapes[target];
      for (const half of ["a", "b"] as const) {
        const dimensions: [number, number] = half === "a" ? [inputs, rank] : [rank, outputs];
        layout.push({ name: loraName({ layer, matrix, half }), dimensions, offset });
        offset += dimensions[0] * dimensions[1];
      }
    }
  }
  return layout;
}

export function layoutFloats(layout: readonly NativeTensor[]): number {
  return layout.reduce((sum, { dimensions }) => sum + dimensions[0] * dimensions[1], 0);
}

export function randomAdapter(options: RandomAdapterOptions = {}): LoraAdapter {
  const { seed = 1, rank = 3, alpha = 5, targets = LORA_TARGETS, scaleB = 1 } = options;
  const layout = tinyLayout(rank, targets);
  const random = xoroshiro128plus(seed);
  const parameters = new Float32Array(layoutFloats(layout));
  for (const { name, dimensions, offset } of layout) {
    const scale = name.endsWith("lora_b") ? scaleB : 1;
    for (let at = offset; at < offset + dimensions[0] * dimensions[1]; at++)
      parameters[at] = scale * (random.next() / 2 ** 31);
  }
  return stateToAdapter({
    architecture: "llama",
    layout,
    parameters,
    alpha,
    rank,
    name: "random",
    baseName: "Tiny Random",
  });
}
