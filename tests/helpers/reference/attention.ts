/** Causal attention with grouped queries: query head h reads key-value head ⌊h / (heads / keyValueHeads)⌋. */
import { Matrix } from "./matrix.js";
import { type Cap, capped, capSlope } from "./soft-cap.js";

export interface AttentionPass {
  /** [tokens × heads · headWidth] */
  readonly output: Matrix;
  backward(dOutput: Matrix): { readonly dQ: Matrix; readonly dK: Matrix; readonly dV: Matrix };
}

export interface AttentionSettings {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  /** What scores are multiplied by. */
  readonly attentionScale: number;
  /** What bends the scaled scores. */
  readonly attentionCap: Cap;
  /** How many tokens one sees, itself included; infinite where it sees all before it. */
  readonly window: number;
}

/**
 * @param q [tokens × heads · headWidth], rotated
 * @param k [tokens × keyValueHeads · headWidth], rotated
 * @param v [tokens × keyValueHeads · headWidth]
 */
export function attend(q: Matrix, k: Matrix, v: Matrix, settings: AttentionSettings): AttentionPass {
  const { heads, keyValueHeads, headWidth, attentionScale, attentionCap, window } = settings;
  const tokens = q.rows;
  /** First column of a head's queries, and of the keys and values that it reads. */
  const queryAt = (head: number) => head * headWidth;
  const keyAt = (head: number) => Math.floor(head / (heads / keyValueHeads)) * headWidth;
  const seenBy = (token: number) => {
    const first = Math.max(0, token - window + 1);
    return Array.from({ length: token - first + 1 }, (_, at) => first + at);
  };
  const score = (head: number, token: number, seen: number) =>
    attentionScale * dot(q, token, queryAt(head), k, seen, keyAt(head), headWidth);
  const output = new Matrix(tokens, heads * headWidth);
  /** Per head [tokens × tokens]; zero where a token may not look. */
  const weights = Array.from({ length: heads }, (_, head) => {
    const probabilities = new Matrix(tokens, tokens);
    for (let token = 0; token < tokens; token++) {
      const visible = seenBy(token);
      const scores = visible.map((seen) => capped(score(head, token, seen), attentionCap));
      const most = Math.max(...scores);
      const exponentials = scores.map((one) => Math.exp(one - most));
      const total = exponentials.reduce((sum, value) => sum + value);
      for (const [at, seen] of visible.entries()) {
        const probability = (exponentials[at] as number) / total;
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
          const visible = seenBy(token);
          const dProbabilities = visible.map((seen) =>
            dot(dOutput, token, queryAt(head), v, seen, keyAt(head), headWidth),
          );
          const mean = dProbabilities.reduce(
            (sum, d, at) => sum + probabilities.at(token, visible[at] as number) * d,
            0,
          );
          for (const [at, seen] of visible.entries()) {
            const probability = probabilities.at(token, seen);
            const dCapped = probability * ((dProbabilities[at] as number) - mean);
            const dDot = attentionScale * dCapped * capSlope(score(head, token, seen), attentionCap);
            for (let i = 0; i < headWidth; i++) {
              dQ.add(token, queryAt(head) + i, dDot * k.at(seen, keyAt(head) + i));
              dK.add(seen, keyAt(head) + i, dDot * q.at(token, queryAt(head) + i));
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
