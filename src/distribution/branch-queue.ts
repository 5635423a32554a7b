/** Open branches, the most likely first: a binary heap, equal masses in the order in which they came. */

/** Continuations of one text that were not looked into yet. */
export interface Branch {
  /** Generated token ids. */
  readonly path: readonly number[];
  readonly text: string;
  /** Probability of these continuations together. */
  readonly mass: number;
  /** How many next tokens to ask for. */
  readonly topTokens: number;
  /** Next tokens that were followed already. */
  readonly followed: ReadonlySet<number>;
}

interface Queued {
  readonly branch: Branch;
  readonly order: number;
}

export class BranchQueue {
  readonly #heap: Queued[] = [];
  #pushed = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Sum of all masses, smallest first so that nothing is lost in rounding. */
  mass(): number {
    return this.#heap
      .map(({ branch }) => branch.mass)
      .sort((a, b) => a - b)
      .reduce((sum, mass) => sum + mass, 0);
  }

  first(): Branch | undefined {
    return this.#heap[0]?.branch;
  }

  push(branch: Branch): void {
    const heap = this.#heap;
    const queued = { branch, order: this.#pushed++ };
    let at = heap.push(queued) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!before(queued, heap[above] as Queued)) break;
      heap[at] = heap[above] as Queued;
      at = above;
    }
    heap[at] = queued;
  }

  pop(): Branch | undefined {
    const heap = this.#heap;
    const best = heap[0];
    const last = heap.pop();
    if (best === undefined || last === undefined || best === last) return best?.branch;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1] as Queued, heap[below] as Queued)) below++;
      if (!before(heap[below] as Queued, last)) break;
      heap[at] = heap[below] as Queued;
      at = below;
    }
    heap[at] = last;
    return best.branch;
  }
}

function before(a: Queued, b: Queued): boolean {
  return a.branch.mass > b.branch.mass || (a.branch.mass === b.branch.mass && a.order < b.order);
}
