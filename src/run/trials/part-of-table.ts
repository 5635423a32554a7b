/** Some rows of a table of trials as a table of its own, whose lists hold what these rows name and nothing else. Pure. */

import type { TrialTable } from "./trial-shapes.js";

/** @param rows places in the table, in the order that they are to have */
export function partOfTable(table: TrialTable, rows: readonly number[]): TrialTable {
  const { columns } = table;
  type Column = keyof TrialTable["columns"];
  const part = Object.fromEntries(
    Object.entries(columns).map(([name, column]) => [name, rows.map((row) => column[row])]),
  ) as Record<Column, number[]>;
  /** Leaves of a list what columns name, and has them name its new places. */
  const kept = <Value>(values: readonly Value[], ...named: readonly Column[]): Value[] => {
    const places = new Map<number, number>();
    for (const name of named) {
      part[name] = part[name].map((place) => {
        if (place < 0) return place;
        if (!places.has(place)) places.set(place, places.size);
        return places.get(place) as number;
      });
    }
    return [...places.keys()].map((place) => values[place] as Value);
  };
  const states = kept(table.states, "predictorOf", "targetOf");
  const properties = kept(table.properties, "propertyOf");
  const variants = kept(table.variants, "variantOf");
  const scopes = kept(table.scopes, "scopeOf");
  const items = kept(table.items, "itemOf");
  const texts = kept(table.texts, "answerAsked", "replyOf");
  const extractions = kept(table.extractions, "behaviorOf", "predictionOf");
  const places = table.words.map((_, place) => place);
  const used = kept(places, "becauseOf", "reasonOf");
  return {
    ...table,
    rows: rows.length,
    states,
    properties,
    variants,
    scopes,
    items,
    texts,
    extractions,
    words: used.map((place) => table.words[place] as string),
    says: used.map((place) => table.says[place] as string),
    columns: part,
  };
}
