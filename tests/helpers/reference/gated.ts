/** silu(gate) · up, element by element, where silu(x) = x σ(x). */
import type { Matrix } from "./matrix.js";

export interface SwigluPass {
  readonly output: Matrix;
  backward(dOutput: Matrix): { readonly dGate: Matrix; readonly dUp: Matrix };
}

export function swiglu(gate: Matrix, up: Matrix): SwigluPass {
  return {
    output: gate.map((x, row, column) => x * sigmoid(x) * up.at(row, column)),
    backward: (dOutput) => ({
      dGate: gate.map((x, row, column) => {
        const slope = sigmoid(x) * (1 + x * (1 - sigmoid(x)));
        return dOutput.at(row, column) * up.at(row, column) * slope;
      }),
      dUp: gate.map((x, row, column) => dOutput.at(row, column) * x * sigmoid(x)),
    }),
  };
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
