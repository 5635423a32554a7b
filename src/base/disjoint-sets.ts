/** Places that are linked, directly or through others. */
export class DisjointSets {
  private readonly parents: Int32Array;

  constructor(places: number) {
    this.parents = Int32Array.from({ length: places }, (_, place) => place);
  }

  /** The first place of those that this one is linked with. */
  firstOf(place: number): number {
    let first = place;
    while (this.parents[first] !== first) first = this.parents[first] as number;
    for (let one = place; one !== first; ) {
      const next = this.parents[one] as number;
      this.parents[one] = first;
      one = next;
    }
    return first;
  }

  link(a: number, b: number): void {
    const [one, other] = [this.firstOf(a), this.firstOf(b)];
    this.parents[Math.max(one, other)] = Math.min(one, other);
  }

  /** @returns the values of linked places, in the order of the places, groups by their first */
  groups<Value>(values: readonly Value[]): Value[][] {
    const groups = new Map<number, Value[]>();
    values.forEach((value, place) => {
      const group = groups.get(this.firstOf(place));
      if (group) group.push(value);
      else groups.set(this.firstOf(place), [value]);
    });
    return [...groups.values()];
  }
}
