/** Least squares on factored columns: coefficients, what is left over, and what standard errors need. */
import { type Orthonormal, projectOut } from "./orthonormal-columns.js";

export interface LeastSquares {
  /** Of each kept column, in their order. A dependent column has none: it counts as left out. */
  readonly coefficients: Float64Array;
  readonly residualSumOfSquares: number;
  /** Rows minus kept columns. */
  readonly degreesOfFreedom: number;
}

/** @param response one number per row, finite */
export function leastSquares(factors: Orthonormal, response: Float64Array): LeastSquares {
  const { coordinates, rest } = projectOut(response, factors.basis);
  return {
    coefficients: solveUpper(factors, coordinates),
    residualSumOfSquares: rest.reduce((sum, value) => sum + value ** 2, 0),
    degreesOfFreedom: response.length - factors.kept.length,
  };
}

/** The diagonal of (X'X)⁻¹ for the kept columns: times the variance of an error, the variance of each coefficient. */
export function unscaledVariances(factors: Orthonormal): Float64Array {
  const size = factors.kept.length;
  const variances = new Float64Array(size);
  for (let unit = 0; unit < size; unit++) {
    const direction = new Float64Array(size);
    direction[unit] = 1;
    solveUpper(factors, direction).forEach((value, index) => {
      variances[index] = (variances[index] as number) + value ** 2;
    });
  }
  return variances;
}

/** From the last row upwards. */
function solveUpper({ upper }: Orthonormal, coordinates: Float64Array): Float64Array {
  const solution = Float64Array.from(coordinates);
  for (let column = upper.length - 1; column >= 0; column--) {
    const entries = upper[column] as Float64Array;
    const value = (solution[column] as number) / (entries[column] as number);
    solution[column] = value;
    for (let row = 0; row < column; row++) solution[row] = (solution[row] as number) - (entries[row] as number) * value;
  }
  return solution;
}
