/** Causal attention with grouped queries: query head h reads key-value head ⌊h / (heads / keyValueHeads)⌋. */
import { Matrix } from "./matrix.js";
import type { ReferenceModel } from "./reference-model.js";

export interface AttentionPass {
  /** [tokens × heads · headWidth] */
  readonly output: Matrix;
  backward(dOutput: Matrix): { readonly dQ: Matrix; readonly dK: Matrix; readonly dV: Matrix };
}

/**
 * @param q [tokens × heads · headWidth], rotated
 * @param k [tokens × keyValueHeads · headWidth], rotated
 * @param v [tokens × keyValueHeads · headWidth]
 */
export function attend(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  { heads, keyValueHeads, headWidth }: Pick<ReferenceModel, "heads" | "keyValueHeads" | "headWidth">,
): AttentionPass {
  const tokens = q.rows;
  const scale = 1 / Math.sqrt(headWidth);
  /** First column of a head's queries, and of the keys and values that it reads. */
  const queryAt = (head: number) => head * headWidth;
  const keyAt = (head: number) => Math.floor(head / (heads / keyValueHeads)) * headWidth;
  const output = new Matrix(tokens, heads * headWidth);
  /** Per head [tokens × tokens]; zero where a token may not look. */
  const weights = Array.from({ length: heads }, (_, head) => {
    const probabilities = new Matrix(tokens, tokens);
    for (let token = 0; token < tokens; token++) {
      const scores = Array.from({ length: token + 1 }, (_, seen) => {
        return scale * dot(q, token, queryAt(head), k, seen, keyAt(head), headWidth);
      });
      const most = Math.max(...scores);
      const exponentials = scores.map((score) => Math.exp(score - most));
      const total = exponentials.reduce((sum, value) => sum + value);
      for (const [seen, exponential] of exponentials.entries()) {
        const probability = exponential / total;
        probabilities.set(token, seen, probability);
        for (let i = 0; i < headWidth; i++) {
          output.add(token, queryAt(head) + i, probability * v.at(seen, keyAt(head) + i));
        }
      }
    }
    return probabilities;
  });

  return {
    output,
    backward(dOutput) {
      const dQ = new Matrix(q.rows, q.columns);
      const dK = new Matrix(k.rows, k.columns);
      const dV = new Matrix(v.rows, v.columns);
      for (const [head, probabilities] of weights.entries()) {
        for (let token = 0; token < tokens; token++) {
          const dProbabilities = Array.from({ length: token + 1 }, (_, seen) => {
            return dot(dOutput, token, queryAt(head), v, seen, keyAt(head), headWidth);
          });
          const mean = dProbabilities.reduce((sum, d, seen) => sum + probabilities.at(token, seen) * d, 0);
          for (const [seen, dProbability] of dProbabilities.entries()) {
            const probability = probabilities.at(token, seen);
            const dScore = probability * (dProbability - mean);
            for (let i = 0; i < headWidth; i++) {
              dQ.add(token, queryAt(head) + i, scale * dScore * k.at(seen, keyAt(head) + i));
              dK.add(seen, keyAt(head) + i, scale * dScore * q.at(token, queryAt(head) + i));
              dV.add(seen, keyAt(head) + i, probability * dOutput.at(token, queryAt(head) + i));
            }
          }
        }
      }
      return { dQ, dK, dV };
    },
  };
}

/** Of `length` neighbours in a row of x, from `xAt`, and in a row of y, from `yAt`. */
function dot(x: Matrix, xRow: number, xAt: number, y: Matrix, yRow: number, yAt: number, length: number): number {
  let total = 0;
  for (let i = 0; i < length; i++) total += x.at(xRow, xAt + i) * y.at(yRow, yAt + i);
  return total;
}
