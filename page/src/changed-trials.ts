/** Trials of two runs side by side: the same predictor, target, string by its text, property, wording and sample. Pure. */

import type { Extraction } from "../../src/properties/property.js";
import type { TrialTable } from "../../src/run/trials/trial-shapes.js";

export interface ChangedTrial {
  readonly string: string;
  readonly task: string;
  readonly property: string;
  readonly variant: string;
  readonly predictor: string;
  readonly target: string;
  /** First run, second run. */
  readonly lines: readonly [number, number];
  readonly outcomes: readonly [string, string];
  /** Behavior and prediction of each. */
  readonly values: readonly [readonly [Extraction, Extraction], readonly [Extraction, Extraction]];
}

const OUTCOMES = ["right", "wrong", "excluded"] as const;

export function changedTrials(
  was: TrialTable,
  is: TrialTable,
): { readonly changed: ChangedTrial[]; readonly both: number } {
  const places = new Map<string, number>();
  for (let row = 0; row < is.rows; row++) places.set(keyOf(is, row), row);
  const changed: ChangedTrial[] = [];
  let both = 0;
  for (let row = 0; row < was.rows; row++) {
    const other = places.get(keyOf(was, row));
    if (other === undefined) continue;
    both++;
    const [before, after] = [valuesAt(was, row), valuesAt(is, other)];
    const outcomes = [outcomeAt(was, row), outcomeAt(is, other)] as const;
    if (outcomes[0] === outcomes[1] && JSON.stringify(before) === JSON.stringify(after)) continue;
    const item = was.items[was.columns.itemOf[row] as number];
    changed.push({
      string: item?.text ?? "",
      task: item?.task ?? "",
      property: was.properties[was.columns.propertyOf[row] as number] as string,
      variant: was.variants[was.columns.variantOf[row] as number] as string,
      predictor: was.states[was.columns.predictorOf[row] as number] as string,
      target: was.states[was.columns.targetOf[row] as number] as string,
      lines: [was.columns.line[row] as number, is.columns.line[other] as number],
      outcomes,
      values: [before, after],
    });
  }
  return { changed, both };
}

function keyOf({ columns, items, states, properties, variants }: TrialTable, row: number): string {
  const item = items[columns.itemOf[row] as number];
  return JSON.stringify([
    states[columns.predictorOf[row] as number],
    states[columns.targetOf[row] as number],
    item?.task,
    item?.text,
    properties[columns.propertyOf[row] as number],
    variants[columns.variantOf[row] as number],
    columns.sample[row],
  ]);
}

function valuesAt({ columns, extractions }: TrialTable, row: number): [Extraction, Extraction] {
  return [
    extractions[columns.behaviorOf[row] as number] as Extraction,
    extractions[columns.predictionOf[row] as number] as Extraction,
  ];
}

function outcomeAt({ columns }: TrialTable, row: number): string {
  return OUTCOMES[columns.outcome[row] as number] ?? "excluded";
}
