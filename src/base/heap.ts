/** A binary heap: what comes before all others is first, whatever the order in which things came in. */
export class Heap<Item> {
  private readonly heap: Item[] = [];

  /** @param comesBefore a strict order; items of which neither comes before the other come out in either order */
  constructor(private readonly comesBefore: (one: Item, other: Item) => boolean) {}

  get size(): number {
    return this.heap.length;
  }

  /** In no order. */
  items(): readonly Item[] {
    return this.heap;
  }

  first(): Item | undefined {
    return this.heap[0];
  }

  push(item: Item): void {
    const { heap } = this;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.comesBefore(item, heap[above] as Item)) break;
      heap[at] = heap[above] as Item;
      at = above;
    }
    heap[at] = item;
  }

  pop(): Item | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && this.comesBefore(heap[below + 1] as Item, heap[below] as Item)) below++;
      if (!this.comesBefore(heap[below] as Item, last)) break;
      heap[at] = heap[below] as Item;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}
