/** Whole-number amounts of rows, summed over whatever strings and seeds a replicate draws; every estimate here is a function of such sums. */
import type { StringDraws } from "../calibration/string-draws.js";

/** What one row adds. */
export interface TableRow {
  readonly task: string;
  readonly item: string;
  /** Place of its contrast: the seed it belongs to. */
  readonly seed: number;
  readonly property: string;
  /** Rows of a task and property that are averaged first, before the strata are; "" where there is one. */
  readonly stratum: string;
  /** As many as the table has measures; zeros add nothing. */
  readonly amounts: readonly number[];
}

export interface TableCell {
  /** Place of its task among the tasks drawn. */
  readonly task: number;
  /** Where the sums of each of its strata begin. */
  readonly strata: readonly number[];
}

/** Entry k: string `strings[k]` under seed `seeds[k]` adds `amounts[k]` to sum `places[k]`. */
export interface StringTable {
  readonly cells: readonly TableCell[];
  /** Sums in all: strata times measures. */
  readonly sums: number;
  readonly strings: Int32Array;
  readonly seeds: Int32Array;
  readonly places: Int32Array;
  readonly amounts: Float64Array;
}

/** How often a replicate draws each string (by its place), seed and task. */
export interface Draw {
  // One kind of array throughout: the sums are a run's innermost loop.
  readonly strings: Uint16Array;
  readonly seeds: Uint16Array;
  readonly tasks: Uint16Array;
}

/**
 * Cells are (task, property), their wordings pooled, in code-unit order, as are their strata: so the order of rows never shows.
 * @param measures amounts of every row
 * @param tasks all tasks among the rows, in the order in which they are drawn
 */
export function stringTable(
  rows: readonly TableRow[],
  measures: number,
  { tasks, draws }: { readonly tasks: readonly string[]; readonly draws: Pick<StringDraws, "placeOf"> },
): StringTable {
  const cells = new Map<string, { task: number; strata: Set<string> }>();
  for (const { task, property, stratum } of rows) {
    const key = JSON.stringify([task, property]);
    const cell = cells.get(key) ?? { task: tasks.indexOf(task), strata: new Set<string>() };
    cell.strata.add(stratum);
    cells.set(key, cell);
  }
  const starts = new Map<string, number>();
  const sorted = [...cells]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { task, strata }]): TableCell => {
      const places = [...strata].sort().map((stratum) => {
        const start = starts.size * measures;
        starts.set(JSON.stringify([key, stratum]), start);
        return start;
      });
      return { task, strata: places };
    });
  const entries = new Map<string, { string: number; seed: number; place: number; amount: number }>();
  for (const row of rows) {
    const string = draws.placeOf(row);
    const start = starts.get(JSON.stringify([JSON.stringify([row.task, row.property]), row.stratum])) as number;
    row.amounts.forEach((amount, measure) => {
      if (amount === 0) return;
      const key = `${string}/${row.seed}/${start + measure}`;
      const entry = entries.get(key);
      if (entry) entry.amount += amount;
      else entries.set(key, { string, seed: row.seed, place: start + measure, amount });
    });
  }
  const all = [...entries.values()];
  return {
    cells: sorted,
    sums: starts.size * measures,
    strings: Int32Array.from(all, ({ string }) => string),
    seeds: Int32Array.from(all, ({ seed }) => seed),
    places: Int32Array.from(all, ({ place }) => place),
    amounts: Float64Array.from(all, ({ amount }) => amount),
  };
}

/** Fills `into` with the sums over a draw; exact, since all factors are whole numbers. */
export function sumOver(table: StringTable, draw: Draw, into: Float64Array): void {
  const { strings, seeds, places, amounts } = table;
  into.fill(0);
  for (let entry = 0; entry < amounts.length; entry++) {
    const times = (draw.strings[strings[entry] as number] as number) * (draw.seeds[seeds[entry] as number] as number);
    if (times === 0) continue;
    const place = places[entry] as number;
    into[place] = (into[place] as number) + times * (amounts[entry] as number);
  }
}
