/** Watches how fast groups are evaluated: another busy process on the same cores shows here, worst of all with a BLAS. */
import type { AskCost } from "../model/language-model.js";

/** A group this much slower per token than the run's median is no accident of what it holds. */
const SLOW = 3;
/** Below this many groups a median says little. */
const FEWEST_GROUPS = 3;

export interface SlowGroup {
  readonly tokensPerSecond: number;
  /** Median over the groups before it. */
  readonly usualTokensPerSecond: number;
}

export class RateWatch {
  private readonly rates: number[] = [];

  /** @returns what is wrong with this group's rate, if anything */
  add({ evaluatedTokens, decodeSeconds }: AskCost): SlowGroup | undefined {
    if (evaluatedTokens === 0 || decodeSeconds <= 0) return undefined;
    const tokensPerSecond = evaluatedTokens / decodeSeconds;
    const usual = median(this.rates);
    const known = this.rates.length >= FEWEST_GROUPS;
    this.rates.push(tokensPerSecond);
    return known && tokensPerSecond * SLOW < usual ? { tokensPerSecond, usualTokensPerSecond: usual } : undefined;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return sorted.length === 0 ? 0 : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
