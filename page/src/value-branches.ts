/** Values of a distribution as branches: likely ones by themselves, the many others under what they begin with. Pure. */

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
