/** Which letters a target says where options stand under letters, and whether it means the option: what the two orders of a scenario tell. */

import { optionsOf } from "../tasks/option-lines.js";
import type { TaskItem } from "../tasks/task.js";
import type { Share, ValueCount } from "./scores.js";
import { countValues } from "./tally.js";

export interface LetterUse {
  /** Letters of compliant answers, the most common first. */
  readonly letters: readonly ValueCount[];
  /**
   * Scenarios whose two orders led to the same option, of those with an option chosen in both; a model that always says one letter is
   * at 0, one that goes by what the options say near all. Absent where every string was asked in one order.
   */
  readonly sameOption?: Share;
}

/** The letter of one answer to one item. */
interface ItemLetter {
  readonly item: string;
  readonly sample: number;
  readonly letter: string;
}

/** @param items all that were asked, answered or not */
export function letterUseOf(items: readonly TaskItem[], said: readonly ItemLetter[]): LetterUse {
  const asked = items.map((item) => ({ ...item, options: optionsOf(item.text) }));
  const letters = countValues(said.map(({ letter }) => letter));
  const pairs = bothOrdersOf(asked);
  if (pairs.length === 0) return { letters };
  const letterOf = new Map(said.map(({ item, sample, letter }) => [JSON.stringify([item, sample]), letter]));
  const samples = new Set(said.map(({ sample }) => sample));
  const same = pairs.flatMap((pair) =>
    [...samples].flatMap((sample) => {
      const chosen = pair.map(({ id, options }) => options.get(letterOf.get(JSON.stringify([id, sample])) ?? ""));
      return chosen.every((option) => option !== undefined) ? [chosen[0] === chosen[1]] : [];
    }),
  );
  return { letters, sameOption: { count: same.filter(Boolean).length, of: same.length } };
}

type AskedOptions = TaskItem & { readonly options: ReadonlyMap<string, string> };

/** Two items of a cluster that offer the same options in other places. */
function bothOrdersOf(items: readonly AskedOptions[]): [AskedOptions, AskedOptions][] {
  const clusters = new Map<string, AskedOptions[]>();
  for (const item of items) {
    if (item.cluster === undefined || item.options.size < 2) continue;
    clusters.set(item.cluster, [...(clusters.get(item.cluster) ?? []), item]);
  }
  return [...clusters.values()].flatMap((some): [AskedOptions, AskedOptions][] => {
    const [first, ...others] = some as [AskedOptions, ...AskedOptions[]];
    const other = others.find((one) => offered(one) === offered(first) && one.text !== first.text);
    return other ? [[first, other]] : [];
  });
}

function offered({ options }: AskedOptions): string {
  return JSON.stringify([...options.values()].sort());
}
