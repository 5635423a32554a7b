/** Trials grouped into cells: one predictor about one target on one task, property and wording. */
import type { Trial } from "../records/trial.js";

export type CellKey = Pick<Trial, "target" | "predictor" | "task" | "property" | "variant">;

export interface Cell extends CellKey {
  readonly trials: readonly Trial[];
}

/** @returns cells in code-unit order of target, predictor, task, property, variant; so the order of trials never shows */
export function cellsOf(trials: readonly Trial[]): Cell[] {
  const cells = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = JSON.stringify(namesOf(trial));
    const cell = cells.get(key);
    if (cell) cell.push(trial);
    else cells.set(key, [trial]);
  }
  return [...cells.values()]
    .map((cell): Cell => {
      const { target, predictor, task, property, variant } = cell[0] as Trial;
      return { target, predictor, task, property, variant, trials: cell };
    })
    .sort((a, b) => compareNames(namesOf(a), namesOf(b)));
}

function namesOf({ target, predictor, task, property, variant }: CellKey): string[] {
  return [target, predictor, task, property, variant];
}

/** Code-unit order of the first names that differ. */
export function compareNames(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((name, index) => name !== b[index]);
  return at < 0 ? 0 : (a[at] as string) < (b[at] as string) ? -1 : 1;
}
