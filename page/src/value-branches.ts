/** Values of a distribution as branches: likely ones by themselves, the many others under what they begin with. Pure. */

import type { FollowedText } from "../../src/ask/expand-distribution.js";

export interface Branch {
  readonly label: string;
  readonly probability: number;
  /** Most likely first. */
  readonly leaves: readonly Branch[];
}

interface WeighedValue {
  readonly value: string;
  readonly probability: number;
}

/** Values that stand by themselves before the rest is grouped. */
const ALONE = 12;

/** Nothing is lost: the leaves' probabilities sum to the values'. */
export function branchesOf(values: readonly WeighedValue[]): Branch[] {
  const sorted = [...values].sort((a, b) => b.probability - a.probability || (a.value < b.value ? -1 : 1));
  const leaf = ({ value, probability }: WeighedValue): Branch => ({ label: value, probability, leaves: [] });
  if (sorted.length <= 2 * ALONE) return sorted.map(leaf);
  const groups = new Map<string, WeighedValue[]>();
  for (const one of sorted.slice(ALONE)) {
    const first = [...one.value][0] ?? "";
    groups.set(first, [...(groups.get(first) ?? []), one]);
  }
  const grouped = [...groups].map(
    ([first, some]): Branch => ({
      label: `${some.length} ${some.length === 1 ? "value" : "values"} that begin with ${JSON.stringify(first)}`,
      probability: some.reduce((sum, { probability }) => sum + probability, 0),
      leaves: some.map(leaf),
    }),
  );
  return [...sorted.slice(0, ALONE).map(leaf), ...grouped.sort((a, b) => b.probability - a.probability)];
}

/** A text as it grows: each token that was followed under the one before it. */
export interface TokenBranch {
  /** What the token adds; nothing where the turn ends. */
  readonly text: string;
  /** Of all kept texts through here. */
  readonly probability: number;
  /** Where a text was decided here: what it shows, or why it shows none. */
  readonly shows?: FollowedText;
  readonly next: readonly TokenBranch[];
}

/** The kept texts as a tree, likeliest first. @returns branches of the first token */
export function tokenBranches(followed: readonly FollowedText[], depth = 0): TokenBranch[] {
  const groups = new Map<string, FollowedText[]>();
  for (const one of followed) {
    const text = one.texts[depth];
    if (text !== undefined) groups.set(text, [...(groups.get(text) ?? []), one]);
  }
  return [...groups]
    .map(([text, all]): TokenBranch => {
      const shows = all.find(({ texts }) => texts.length === depth + 1);
      return {
        text,
        probability: all.reduce((sum, { probability }) => sum + probability, 0),
        ...(shows === undefined ? {} : { shows }),
        next: tokenBranches(all, depth + 1),
      };
    })
    .sort((a, b) => b.probability - a.probability || (a.text < b.text ? -1 : 1));
}
