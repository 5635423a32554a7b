/** y = g · x / √(mean(x²) + ε), over neighbours of as many numbers as there are gains: a whole row, or each head of it. */
import { Matrix } from "./matrix.js";

export interface NormPass {
  readonly output: Matrix;
  /** ∂loss/∂output to ∂loss/∂input; the gain is frozen. */
  backward(dOutput: Matrix): Matrix;
}

/** @param gain [1 × width], of which each row of the input has a whole number; undefined where there is no norm */
export function rmsNorm(input: Matrix, gain: Matrix | undefined, epsilon: number): NormPass {
  if (gain === undefined) return { output: input, backward: (dOutput) => dOutput };
  const width = gain.columns;
  const parts = input.columns / width;
  if (!Number.isInteger(parts)) throw new Error(`${width} gains for rows of ${input.columns}`);
  const rms = input.map((_, row, column) => {
    if (column % width !== 0) return 0;
    let squares = 0;
    for (let i = column; i < column + width; i++) squares += input.at(row, i) ** 2;
    return Math.sqrt(squares / width + epsilon);
  });
  const rmsOf = (row: number, column: number) => rms.at(row, column - (column % width));
  return {
    output: input.map((x, row, i) => (gain.at(0, i % width) * x) / rmsOf(row, i)),
    backward(dOutput) {
      const dInput = new Matrix(input.rows, input.columns);
      for (let row = 0; row < input.rows; row++) {
        for (let first = 0; first < input.columns; first += width) {
          const r = rms.at(row, first);
          const scaled = (i: number) => dOutput.at(row, first + i) * gain.at(0, i);
          // Through the rms, which every x of the part is in: ∂rms/∂x_i = x_i / (width · rms).
          let dRms = 0;
          for (let i = 0; i < width; i++) dRms -= (scaled(i) * input.at(row, first + i)) / r ** 2;
          for (let i = 0; i < width; i++) {
            dInput.set(row, first + i, scaled(i) / r + (dRms * input.at(row, first + i)) / (width * r));
          }
        }
      }
      return dInput;
    },
  };
}
