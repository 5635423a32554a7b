/** Rotary positions: within each head pairs of numbers turn together, each pair by its own angle for every position. */
import { Matrix } from "./matrix.js";

export interface Rope {
  /** Radians per position, one for each pair. A head's numbers beyond the pairs' stay as they are. */
  readonly angles: readonly number[];
  /** A pair is neighbours (2i and 2i + 1), or stands half of the pairs' numbers apart (i and i + pairs). */
  readonly pairs: "neighbours" | "halves";
  /** What is turned is multiplied by it. */
  readonly magnitude: number;
}

/**
 * @param input [tokens × heads · headWidth]; a token's position is its row
 * @param direction 1 turns; −1 turns back, with the same magnitude, which is what the gradient needs
 */
export function rotate(input: Matrix, rope: Rope | undefined, headWidth: number, direction: 1 | -1): Matrix {
  if (rope === undefined) return input;
  const { angles, magnitude } = rope;
  const output = new Matrix(input.rows, input.columns, input.values.slice());
  for (let position = 0; position < input.rows; position++) {
    for (let head = 0; head < input.columns; head += headWidth) {
      for (const [pair, perPosition] of angles.entries()) {
        const [first, second] = rope.pairs === "halves" ? [pair, pair + angles.length] : [2 * pair, 2 * pair + 1];
        const angle = direction * position * perPosition;
        const [cosine, sine] = [magnitude * Math.cos(angle), magnitude * Math.sin(angle)];
        const x = input.at(position, head + first);
        const y = input.at(position, head + second);
        output.set(position, head + first, x * cosine - y * sine);
        output.set(position, head + second, x * sine + y * cosine);
      }
    }
  }
  return output;
}
