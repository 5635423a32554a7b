/** LoRA pairs in float64, by the names and in the layout that an adapter file has. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { LoraTarget } from "../../../src/study/schema.js";
import { Matrix } from "./matrix.js";
import type { ReferenceModel } from "./reference-model.js";

/** `<base tensor>.lora_a` [rank × in] and `<base tensor>.lora_b` [out × rank], row-major. */
export type LoraTensors = ReadonlyMap<string, Matrix>;

export interface ReferenceAdapter {
  /** alpha / rank */
  readonly scale: number;
  readonly tensors: LoraTensors;
}

/** Where a tensor lies in the native trainer's flat arrays; NativeTensor has this shape. */
export interface FlatTensor {
  readonly name: string;
  /** ggml order, fastest first. */
  readonly dimensions: readonly [number, number];
  readonly offset: number;
}

/** A uniform in ±1/√in, B uniform in ±`spreadOfB`: with 0 the adapted model is the base. */
export function randomAdapter(
  model: ReferenceModel,
  lora: { readonly rank: number; readonly alpha: number; readonly targets: readonly LoraTarget[] },
  spreadOfB: number,
  seed = 1,
): ReferenceAdapter {
  const random = xoroshiro128plus(seed);
  const draw = (rows: number, columns: number, spread: number) =>
    new Matrix(rows, columns).map(() => (random.next() / 2 ** 31) * spread);
  const tensors = new Map<string, Matrix>();
  for (const { qkv, o, gateUp, down } of model.blocks) {
    for (const { name, weight, targets } of [...qkv, o, ...gateUp, down]) {
      // A matrix that is several projections has one pair for all of them.
      if (!targets.some((target) => lora.targets.includes(target))) continue;
      tensors.set(`${name}.lora_a`, draw(lora.rank, weight.columns, 1 / Math.sqrt(weight.columns)));
      tensors.set(`${name}.lora_b`, draw(weight.rows, lora.rank, spreadOfB));
    }
  }
  return { scale: lora.alpha / lora.rank, tensors };
}

/** Cuts the native trainer's flat parameters, moments or gradients into tensors. */
export function fromFlat(places: readonly FlatTensor[], flat: ArrayLike<number>): LoraTensors {
  return new Map(
    places.map(({ name, dimensions: [columns, rows], offset }) => {
      const matrix = new Matrix(rows, columns);
      return [name, matrix.map((_, row, column) => flat[offset + row * columns + column] as number)];
    }),
  );
}

/** The opposite of `fromFlat`, rounded to float32. */
export function toFlat(places: readonly FlatTensor[], tensors: LoraTensors): Float32Array {
  const length = Math.max(0, ...places.map(({ dimensions, offset }) => offset + dimensions[0] * dimensions[1]));
  const flat = new Float32Array(length);
  for (const { name, offset } of places) {
    const matrix = tensors.get(name);
    if (matrix === undefined) throw new Error(`the adapter has no tensor ${name}`);
    flat.set(matrix.values, offset);
  }
  return flat;
}

/** Zeros in the shapes of these tensors. */
export function zerosLike(tensors: LoraTensors): LoraTensors {
  return new Map([...tensors].map(([name, { rows, columns }]) => [name, new Matrix(rows, columns)]));
}
