/** Lexicographic order of token sequences: in it, sequences that begin alike are neighbours. Pure. */

export interface PrefixOrder {
  /** Indices of the sequences, sorted; equal sequences keep their order. */
  readonly order: readonly number[];
  /** [order] tokens that a sequence's beginning has in common with its predecessor's in the order; 0 for the first. */
  readonly shared: readonly number[];
}

/** The beginning that any two sequences have in common is as long as the least of `shared` between them. */
export function prefixOrder(sequences: readonly (readonly number[])[]): PrefixOrder {
  const sequence = (index: number) => sequences[index] as readonly number[];
  const order = sequences
    .map((_, index) => index)
    .sort((a, b) => {
      const length = commonLength(sequence(a), sequence(b));
      // A sequence that ends stands before those that go on; no token id is -1.
      return (sequence(a)[length] ?? -1) - (sequence(b)[length] ?? -1) || a - b;
    });
  const shared = order.map((index, at) =>
    at === 0 ? 0 : commonLength(sequence(order[at - 1] as number), sequence(index)),
  );
  return { order, shared };
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
