/** Rotary positions as llama.cpp's "norm" mode has them: neighbours 2i and 2i + 1 of each head turn together. */
import { Matrix } from "./matrix.js";

/**
 * @param input [tokens × heads · headWidth]; a token's position is its row
 * @param angles radians per position, [headWidth / 2]
 * @param direction 1 rotates; −1 rotates back, which is also what the gradient needs
 */
export function rotate(input: Matrix, angles: readonly number[], direction: 1 | -1): Matrix {
  const output = new Matrix(input.rows, input.columns);
  for (let position = 0; position < input.rows; position++) {
    for (let pair = 0; pair < input.columns / 2; pair++) {
      const angle = direction * position * (angles[pair % angles.length] as number);
      const x = input.at(position, 2 * pair);
      const y = input.at(position, 2 * pair + 1);
      output.set(position, 2 * pair, x * Math.cos(angle) - y * Math.sin(angle));
      output.set(position, 2 * pair + 1, x * Math.sin(angle) + y * Math.cos(angle));
    }
  }
  return output;
}
