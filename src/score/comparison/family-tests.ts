/**
 * Many effects that are measured on the same strings, such as one for each head of a model, tested together: strings change sides, or
 * places, in all effects at once, and the largest effect of each draw is what an effect is held against. The share of studies with any
 * false alarm stays below the level however many effects there are and whatever they share, and no draws are needed for each of them.
 * Westfall & Young 1993, single step; each effect is first divided by its own spread over all sign patterns, or orders.
 */

import { randomStream, shuffled } from "../../base/random.js";
import type { TestResult } from "./comparison.js";
import type { AdjustedP } from "./tests.js";

interface FamilySettings {
  readonly draws: number;
  /** Any safe integer. */
  readonly seed: number;
}

/** Two-sided. */
export interface FamilyTest {
  readonly test: TestResult;
  /** Over all effects of the family that have a test. */
  readonly adjusted: AdjustedP;
}

/** Up to this many strings every sign pattern is listed. */
const LISTED_STRINGS = 11;
/** A statistic so close to the observed one is the same in another order of addition. */
const SAME_STATISTIC = 1e-9;

/**
 * Does each effect lie on one side of 0? Where nothing is different, a string's differences might as well have the other sign.
 * @param effects [effects][strings] what each string adds; 0 where it has none
 */
export function signFlipFamily(effects: readonly (readonly number[])[], { draws, seed }: FamilySettings): FamilyTest[] {
  const strings = effects[0]?.length ?? 0;
  const spreads = effects.map((own) => Math.sqrt(own.reduce((sum, one) => sum + one * one, 0)));
  const statistics = (signs: (string: number) => 1 | -1) =>
    effects.map((own, effect) => {
      const spread = spreads[effect] as number;
      return spread === 0 ? 0 : Math.abs(own.reduce((sum, one, string) => sum + signs(string) * one, 0)) / spread;
    });
  const observed = statistics(() => 1);
  const isListed = strings <= LISTED_STRINGS;
  const random = randomStream("family signs", seed);
  const drawn = function* () {
    if (isListed)
      for (let pattern = 0; pattern < 2 ** strings; pattern++) yield statistics((at) => (pattern & (1 << at) ? 1 : -1));
    else {
      for (let draw = 0; draw < draws; draw++) {
        const signs = Array.from({ length: strings }, () => (random.next() < 0 ? -1 : 1));
        yield statistics((at) => signs[at] as 1 | -1);
      }
    }
  };
  const tested = effects.map((own) => own.filter((one) => one !== 0).length);
  return heldAgainst(observed, drawn(), {
    method: isListed ? "exact" : "drawn",
    informative: (effect) => tested[effect] as number,
    why: () => (strings === 0 ? "no string has a paired trial" : undefined),
  });
}

/**
 * Does each effect follow the strings' labels? Where it does not, labels might as well stand with other strings.
 * @param effects [effects][strings][labels] what each label would add there @param labels [strings]
 */
export function permutedFamily(
  effects: readonly (readonly (readonly number[])[])[],
  labels: readonly number[],
  { draws, seed }: FamilySettings,
): FamilyTest[] {
  const strings = labels.length;
  const kinds = Math.max(-1, ...labels) + 1;
  const counts = Array.from({ length: kinds }, (_, kind) => labels.filter((label) => label === kind).length);
  const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  // Of the matrix of strings and labels' places, means of rows and columns taken out: its sum has the mean 0 over all orders, and Σ² / (n − 1) for a variance.
  const centred = effects.map((rows) => {
    const ofRow = rows.map(
      (row) => row.slice(0, kinds).reduce((sum, one, kind) => sum + one * (counts[kind] as number), 0) / strings,
    );
    const ofKind = counts.map((_, kind) => mean(rows.map((row) => row[kind] as number)));
    const all = mean(ofRow);
    return rows.map((row, string) =>
      counts.map((_, kind) => (row[kind] as number) - (ofRow[string] as number) - (ofKind[kind] as number) + all),
    );
  });
  const spreads = centred.map((rows, effect) => {
    const squares = rows.reduce(
      (sum, row) => sum + row.reduce((own, one, kind) => own + (counts[kind] as number) * one * one, 0),
      0,
    );
    const size = (effects[effect] as readonly (readonly number[])[]).reduce(
      (most, row) => row.reduce((own, one) => Math.max(own, Math.abs(one)), most),
      0,
    );
    const spread = Math.sqrt(squares / Math.max(1, strings - 1));
    // What is left of means that are all alike is rounding.
    return spread > 1e-12 * size * strings ? spread : 0;
  });
  const statistics = (order: readonly number[]) =>
    centred.map((rows, effect) => {
      const spread = spreads[effect] as number;
      if (spread === 0) return 0;
      return Math.abs(rows.reduce((sum, row, string) => sum + (row[order[string] as number] as number), 0)) / spread;
    });
  const random = randomStream("family orders", seed);
  const drawn = function* () {
    for (let draw = 0; draw < draws; draw++) yield statistics(shuffled(labels, random));
  };
  const varied = counts.filter((count) => count > 0).length > 1;
  return heldAgainst(statistics(labels), varied ? drawn() : [], {
    method: "drawn",
    informative: () => strings,
    why: () => {
      if (strings < 2) return "one string has nobody to change places with";
      return varied ? undefined : "all strings have one label: nothing can change places";
    },
  });
}

function heldAgainst(
  observed: readonly number[],
  drawn: Iterable<readonly number[]>,
  {
    method,
    informative,
    why,
  }: {
    readonly method: "exact" | "drawn";
    readonly informative: (effect: number) => number;
    readonly why: () => string | undefined;
  },
): FamilyTest[] {
  const reason = why();
  if (reason !== undefined)
    return observed.map(() => ({ test: { ok: false, reason }, adjusted: { ok: false, reason } }));
  const [alone, among] = [observed.map(() => 0), observed.map(() => 0)];
  let draws = 0;
  for (const statistics of drawn) {
    draws++;
    const most = Math.max(...statistics);
    for (const [effect, own] of observed.entries()) {
      if ((statistics[effect] as number) >= own - SAME_STATISTIC) alone[effect] = (alone[effect] as number) + 1;
      if (most >= own - SAME_STATISTIC) among[effect] = (among[effect] as number) + 1;
    }
  }
  const share = (count: number) => (method === "exact" ? count / draws : (1 + count) / (1 + draws));
  return observed.map((_, effect) => {
    const informativeStrings = informative(effect);
    const p = share(alone[effect] as number);
    return {
      test:
        method === "exact"
          ? { ok: true, p, informativeStrings, method }
          : { ok: true, p, informativeStrings, method, draws },
      adjusted: { ok: true, p: share(among[effect] as number), of: observed.length },
    };
  });
}
