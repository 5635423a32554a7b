/** Which features a classifier knows, from train strings only, and strings as sparse rows of them. */
import { stringFeatures } from "./string-features.js";

export interface SparseRow {
  readonly columns: Int32Array;
  readonly values: Float64Array;
}

export interface FeatureDictionary {
  readonly size: number;
  /** A feature that no train string has is left out. */
  readonly encode: (text: string) => SparseRow;
}

/** A feature of one train string says nothing about another. */
const FEWEST_STRINGS = 2;

/**
 * Every column is scaled to a standard deviation of at most 1 over the train strings: those that vary more (lengths, counts)
 * are divided by it and centred; rare ones are left as they are, since scaling them up would make single strings loud.
 * A feature that is the same in all train strings is left out. Features that no train string tells apart share a column: k equal
 * columns under a squared penalty are one column √k times as large, and a string that has only m of them gets m / √k of it.
 * @param texts train strings, each once
 */
export function featureDictionary(texts: readonly string[]): FeatureDictionary {
  const seen = new Map<string, { places: number[]; values: number[] }>();
  for (const [place, text] of texts.entries()) {
    for (const [name, value] of stringFeatures(text)) {
      const of = seen.get(name) ?? { places: [], values: [] };
      of.places.push(place);
      of.values.push(value);
      seen.set(name, of);
    }
  }
  const alike = new Map<string, string[]>();
  const scales = new Map<string, { offset: number; scale: number }>();
  for (const name of [...seen.keys()].sort()) {
    const { places, values } = seen.get(name) as { places: number[]; values: number[] };
    const mean = values.reduce((sum, value) => sum + value, 0) / texts.length;
    const squares = values.reduce((sum, value) => sum + value ** 2, 0) / texts.length;
    const deviation = Math.sqrt(Math.max(0, squares - mean ** 2));
    if (places.length < FEWEST_STRINGS || deviation < 1e-9) continue;
    // Only a feature that every string has can be centred without making rows dense.
    const dense = name.startsWith("log_");
    scales.set(name, { offset: dense ? mean : 0, scale: dense ? deviation : Math.max(1, deviation) });
    const key = dense ? name : `${places.join()}:${values.join()}`;
    alike.set(key, [...(alike.get(key) ?? []), name]);
  }
  const columns = new Map<string, { column: number; offset: number; scale: number }>();
  for (const [column, names] of [...alike.values()].entries()) {
    for (const name of names) {
      const { offset, scale } = scales.get(name) as { offset: number; scale: number };
      columns.set(name, { column, offset, scale: scale * Math.sqrt(names.length) });
    }
  }
  return {
    size: alike.size,
    encode: (text) => {
      const sums = new Map<number, number>();
      for (const [name, value] of stringFeatures(text)) {
        const entry = columns.get(name);
        if (entry) sums.set(entry.column, (sums.get(entry.column) ?? 0) + (value - entry.offset) / entry.scale);
      }
      return { columns: Int32Array.from(sums.keys()), values: Float64Array.from(sums.values()) };
    },
  };
}
