/** y = x Wᵀ + b + s (x Aᵀ) Bᵀ: a frozen projection with the LoRA pair beside it, if the adapter has one. */
import type { LoraTensors, ReferenceAdapter } from "./adapter.js";
import { beside, columnsOf, type Matrix, product, productWithTransposed, sum, transposedProduct } from "./matrix.js";
import type { Projection } from "./reference-model.js";

export interface ProjectPass {
  /** [tokens × out] */
  readonly output: Matrix;
  /**
   * Adds this pair's gradient to `gradients`.
   * @param dOutput ∂loss/∂output
   * @returns ∂loss/∂input
   */
  backward(dOutput: Matrix, gradients: LoraTensors): Matrix;
}

/** @param input [tokens × in] */
export function project(input: Matrix, projection: Projection, adapter: ReferenceAdapter | undefined): ProjectPass {
  const { weight, bias } = projection;
  const base = productWithTransposed(input, weight).map((value, _, column) => value + (bias?.at(0, column) ?? 0));
  const nameOfA = `${projection.name}.lora_a`;
  const nameOfB = `${projection.name}.lora_b`;
  const a = adapter?.tensors.get(nameOfA);
  const b = adapter?.tensors.get(nameOfB);
  if (adapter === undefined || a === undefined || b === undefined) {
    return { output: base, backward: (dOutput) => product(dOutput, weight) };
  }
  const scaled = (x: Matrix) => x.map((value) => adapter.scale * value);
  const low = productWithTransposed(input, a);
  return {
    output: sum(base, scaled(productWithTransposed(low, b))),
    backward(dOutput, gradients) {
      const dLow = scaled(product(dOutput, b));
      addInto(gradients.get(nameOfA), transposedProduct(dLow, input));
      addInto(gradients.get(nameOfB), scaled(transposedProduct(dOutput, low)));
      return sum(product(dOutput, weight), product(dLow, a));
    },
  };
}

/** Projections of one input, their outputs beside each other. @param input [tokens × in] */
export function projectAll(
  input: Matrix,
  projections: readonly Projection[],
  adapter: ReferenceAdapter | undefined,
): ProjectPass {
  const passes = projections.map((projection) => project(input, projection, adapter));
  return {
    output: beside(passes.map(({ output }) => output)),
    backward(dOutput, gradients) {
      let first = 0;
      const parts = passes.map(({ output, backward }) => {
        first += output.columns;
        return backward(columnsOf(dOutput, first - output.columns, output.columns), gradients);
      });
      return parts.reduce(sum);
    },
  };
}

function addInto(total: Matrix | undefined, part: Matrix): void {
  if (total === undefined) throw new Error("there is no room for the gradient of a LoRA tensor");
  for (let row = 0; row < part.rows; row++) {
    for (let column = 0; column < part.columns; column++) total.add(row, column, part.at(row, column));
  }
}
