import type { NextTokens } from "../model/next-tokens.js";
import type { Branch } from "./branch-queue.js";

/** Factor on the tokens listed when a text is asked about again. */
const WIDEN = 8;

export interface SharedMass {
  /** Next tokens that were not followed before: where they stand in the step, and their probability after this branch. */
  readonly tokens: readonly { readonly at: number; readonly mass: number }[];
  /** The tokens that were not listed, as a branch to ask about again, more widely. */
  readonly rest?: Branch;
}

/**
 * Shares a branch's mass out over its next tokens so that nothing is lost or invented: the masses sum to the branch's, also where
 * the same text gets other last bits in another batch.
 */
export function shareMass(branch: Branch, step: NextTokens, vocabularySize: number): SharedMass {
  const probabilities = Array.from(step.logprobs, (logprob) => Math.exp(logprob));
  const fresh = probabilities.flatMap((_, at) => (branch.followed.has(step.ids[at] as number) ? [] : [at]));
  const listed = sum(probabilities);
  const freshListed = sum(fresh.map((at) => probabilities[at] as number));
  const whole = branch.topTokens >= vocabularySize;
  const total = whole ? freshListed : Math.max(freshListed, 1 - (listed - freshListed));
  const tokens = fresh
    .map((at) => ({ at, mass: branch.mass * ((probabilities[at] as number) / total) }))
    .filter(({ mass }) => mass > 0);
  const left = branch.mass - sum(tokens.map(({ mass }) => mass));
  if (whole || left <= 0) return { tokens };
  const followed = new Set([...branch.followed, ...fresh.map((at) => step.ids[at] as number)]);
  return { tokens, rest: { ...branch, mass: left, topTokens: branch.topTokens * WIDEN, followed } };
}

/** Most likely first is what comes in; added from the end, so that small numbers are not lost. */
function sum(numbers: readonly number[]): number {
  return numbers.reduceRight((total, number) => total + number, 0);
}
