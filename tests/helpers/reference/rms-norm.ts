/** y = g · x / √(mean(x²) + ε), row by row. */
import { Matrix } from "./matrix.js";

export interface NormPass {
  readonly output: Matrix;
  /** ∂loss/∂output to ∂loss/∂input; the gain is frozen. */
  backward(dOutput: Matrix): Matrix;
}

/** @param gain [1 × width] */
export function rmsNorm(input: Matrix, gain: Matrix, epsilon: number): NormPass {
  const width = input.columns;
  const rms = Array.from({ length: input.rows }, (_, row) => {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += input.at(row, i) ** 2;
    return Math.sqrt(squares / width + epsilon);
  });
  return {
    output: input.map((x, row, i) => (gain.at(0, i) * x) / (rms[row] as number)),
    backward(dOutput) {
      const dInput = new Matrix(input.rows, width);
      for (let row = 0; row < input.rows; row++) {
        const r = rms[row] as number;
        // Through the rms, which every x of the row is in: ∂rms/∂x_i = x_i / (width · rms).
        let dRms = 0;
        for (let i = 0; i < width; i++) dRms -= (dOutput.at(row, i) * gain.at(0, i) * input.at(row, i)) / r ** 2;
        for (let i = 0; i < width; i++) {
          dInput.set(row, i, (dOutput.at(row, i) * gain.at(0, i)) / r + (dRms * input.at(row, i)) / (width * r));
        }
      }
      return dInput;
    },
  };
}
