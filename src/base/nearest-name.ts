/** Which known name someone meant by a slip of typing: for error messages that name the nearest one. */

/** Names written with hyphens, spaces or capitals are the same name to a person. */
function plain(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s-]+/g, "_");
}

/** Edits (insert, delete, replace, swap two neighbours) that turn `from` into `to`: optimal string alignment distance. */
function editDistance(from: string, to: string): number {
  const a = [...from];
  const b = [...to];
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (last[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let best = Math.min(replaced, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}

/**
 * @param name what was written
 * @param known the names there are
 * @returns the nearest known name as it is written there, the first of equals; undefined when none is near enough to have been meant
 *   (more than a third of the longer name would have to change)
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const written = plain(name);
  let nearest: { readonly name: string; readonly share: number } | undefined;
  for (const candidate of known) {
    const length = Math.max(written.length, candidate.length);
    // Every character more is an edit: names of very different lengths need no table.
    const apart = Math.abs(written.length - candidate.length) > length / 3;
    const share = length === 0 || apart ? 1 : editDistance(written, plain(candidate)) / length;
    if (share <= 1 / 3 && (nearest === undefined || share < nearest.share)) nearest = { name: candidate, share };
  }
  return nearest?.name;
}
