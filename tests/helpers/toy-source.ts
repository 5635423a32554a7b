/** A made-up model over a few token pieces: logits are a function of the path, and every continuation can be enumerated. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { type ContinuationSource, settledText } from "../../src/ask/expand-distribution.js";
import type { TextDecider } from "../../src/properties/deciders.js";
import type { Extraction } from "../../src/properties/property.js";

export interface ToySource extends ContinuationSource {
  /** Paths asked for, one entry a call. */
  readonly asked: (readonly (readonly number[])[])[];
  probabilities(path: readonly number[]): number[];
  text(path: readonly number[]): string;
  ends(id: number): boolean;
}

/** @param pieces bytes or text of each token; "" ends generation @param noise greatest difference of a logit between calls, nats */
export function toySource(
  pieces: readonly (string | Uint8Array)[],
  { seed, spread = 2, noise = 0 }: { readonly seed: number; readonly spread?: number; readonly noise?: number },
): ToySource {
  const asked: ToySource["asked"] = [];
  const bytes = pieces.map((piece) => (typeof piece === "string" ? new TextEncoder().encode(piece) : piece));
  const logits = (path: readonly number[]) => draws(path.reduce((hash, id) => (hash * 31 + id + 1) | 0, seed));
  const draws = (state: number) => {
    const random = xoroshiro128plus(state);
    return pieces.map(() => (random.next() / 2 ** 31) * spread);
  };
  const softmax = (path: readonly number[], call: number) => {
    const shaken = draws(call + 1000);
    const weights = logits(path).map((logit, id) => Math.exp(logit + (noise * (shaken[id] as number)) / spread));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  };
  const text = (path: readonly number[]) =>
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      Uint8Array.from(path.flatMap((id) => [...(bytes[id] as Uint8Array)])),
    );
  const ends = (id: number) => (bytes[id] as Uint8Array).length === 0;
  return {
    ends,
    vocabularySize: pieces.length,
    asked,
    text,
    probabilities: (path) => softmax(path, 0),
    settled: settledText,
    tokensFor: (paths) => paths.length,
    async next(paths, topTokens) {
      asked.push(paths);
      const steps = paths.map((path, at) => {
        const probabilities = softmax(path, noise === 0 ? 0 : asked.length);
        const ids = pieces
          .map((_, id) => id)
          .sort((a, b) => (probabilities[b] as number) - (probabilities[a] as number) || a - b)
          .slice(0, topTokens[at]);
        return {
          ids,
          logprobs: ids.map((id) => Math.log(probabilities[id] as number)),
          ends: ids.map((id) => (ends(id) ? 1 : 0)),
          texts: ids.map((id) => text([...path, id])),
        };
      });
      return { steps, evaluatedTokens: paths.length };
    },
  };
}

/** Probability of every extraction over all answers of up to `maxTokens` tokens, by writing every answer out. */
export function enumerate(source: ToySource, decider: TextDecider, maxTokens: number): Map<string, number> {
  const found = new Map<string, number>();
  const add = (shown: Extraction, mass: number) => {
    const key = nameOf(shown);
    found.set(key, (found.get(key) ?? 0) + mass);
  };
  const walk = (path: readonly number[], mass: number) => {
    if (path.length === maxTokens) {
      add(decider.atEnd(source.text(path), "max_tokens"), mass);
      return;
    }
    source.probabilities(path).forEach((probability, id) => {
      if (source.ends(id)) add(decider.atEnd(source.text(path), "end_of_generation"), mass * probability);
      else walk([...path, id], mass * probability);
    });
  };
  walk([], 1);
  return found;
}

/** A value as it is, a reason with a mark before it. */
export function nameOf(shown: Extraction): string {
  return shown.ok ? shown.value : `!${shown.reason}`;
}
