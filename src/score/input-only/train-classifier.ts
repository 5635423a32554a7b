/** A classifier of strings: dictionary, penalty by cross-validation, weights. No randomness: the same pairs give the same one. */
import type { Share } from "../../records/scores.js";
import { countValues } from "../value-counts.js";
import { type FeatureDictionary, featureDictionary } from "./feature-dictionary.js";
import { fitLogistic, type LogisticModel, logProbabilities } from "./multinomial-logistic.js";

/** A string and the value that belongs to it. */
export interface LabelledString {
  readonly text: string;
  readonly value: string;
}

export interface StringClassifier {
  /** Of the values that train strings have, the likeliest; of equally likely ones the first in code-unit order. */
  readonly classify: (text: string) => string;
  /** What it can say, in code-unit order. */
  readonly values: readonly string[];
  /** Rarer values of train strings, which it never says. */
  readonly valuesLeftOut: number;
  readonly features: number;
  /** Absent where all train strings have one value: there is nothing to learn. */
  readonly fitted?: {
    readonly penalty: number;
    /** Right answers about train strings by classifiers that had not seen them, with that penalty. */
    readonly crossValidated: Share;
    readonly model: LogisticModel;
  };
}

/** From strong to weak. With the first, hardly more than the most common value is learnt. */
export const PENALTIES = [10_000, 100, 10, 1, 0.1] as const;
const FOLDS = 5;
/** The most common values; of rarer ones a few hundred strings teach next to nothing, while the time grows with their number. */
export const MOST_VALUES = 64;
/** A gradient is a sum over strings: within this, no class is predicted more or less often than it occurs by a hundredth string. */
const SETTINGS = { tolerance: 0.01, mostSteps: 200 } as const;
/** Which penalty is best shows sooner. */
const ROUGH_SETTINGS = { tolerance: 0.1, mostSteps: 50 } as const;

/**
 * The penalty is the one that is most often right in cross-validation, of equal ones the strongest. Not the usual more careful
 * choice (the strongest within an error of the best), since a third party that is made weak would flatter the model.
 * @param pairs at least one; a string may stand several times, as sampled behaviors do
 */
export function trainClassifier(pairs: readonly LabelledString[]): StringClassifier {
  const sorted = [...pairs].sort((a, b) => compare(a.text, b.text) || compare(a.value, b.value));
  const values = learnableValues(sorted);
  const valuesLeftOut = new Set(sorted.map(({ value }) => value)).size - values.length;
  const first = values[0] as string;
  if (values.length === 1) return { classify: () => first, values, valuesLeftOut, features: 0 };
  const right = crossValidate(sorted);
  const best = right.indexOf(Math.max(...right));
  const path = fitPath(sorted, values, PENALTIES.slice(0, best + 1), SETTINGS);
  const model = path.models[best] as LogisticModel;
  return {
    classify: (text) => likeliest(values, path.dictionary, model, text),
    values,
    valuesLeftOut,
    features: path.dictionary.size,
    fitted: {
      penalty: PENALTIES[best] as number,
      crossValidated: { count: right[best] as number, of: sorted.length },
      model,
    },
  };
}

/** @returns for each penalty how many pairs are predicted right by what the other folds taught */
function crossValidate(pairs: readonly LabelledString[]): number[] {
  const right = PENALTIES.map(() => 0);
  const folds = foldOf(pairs);
  for (let fold = 0; fold < FOLDS; fold++) {
    const learnt = pairs.filter(({ text }) => folds.get(text) !== fold);
    const tested = pairs.filter(({ text }) => folds.get(text) === fold);
    if (learnt.length === 0 || tested.length === 0) continue;
    const values = learnableValues(learnt);
    const { dictionary, models } = fitPath(learnt, values, PENALTIES, ROUGH_SETTINGS);
    models.forEach((model, index) => {
      const hits = tested.filter(({ text, value }) => likeliest(values, dictionary, model, text) === value).length;
      right[index] = (right[index] as number) + hits;
    });
  }
  return right;
}

/** Strings dealt out in the order of their values, so that every fold has its share of each. */
function foldOf(pairs: readonly LabelledString[]): ReadonlyMap<string, number> {
  const values = new Map<string, string>();
  for (const { text, value } of pairs) if (!values.has(text)) values.set(text, value);
  const dealt = [...values].sort(([a, ofA], [b, ofB]) => compare(ofA, ofB) || compare(a, b));
  return new Map(dealt.map(([text], place) => [text, place % FOLDS]));
}

function learnableValues(pairs: readonly LabelledString[]): string[] {
  const counts = countValues(pairs.map(({ value }) => value));
  return counts
    .slice(0, MOST_VALUES)
    .map(({ value }) => value)
    .sort();
}

/** Each model begins where the one before ended. Pairs of other values are left out. */
function fitPath(
  all: readonly LabelledString[],
  values: readonly string[],
  penalties: readonly number[],
  settings: { readonly tolerance: number; readonly mostSteps: number },
) {
  const pairs = all.filter(({ value }) => values.includes(value));
  const dictionary = featureDictionary([...new Set(pairs.map(({ text }) => text))]);
  const data = {
    rows: pairs.map(({ text }) => dictionary.encode(text)),
    labels: pairs.map(({ value }) => values.indexOf(value)),
    classes: values.length,
    features: dictionary.size,
  };
  const models: LogisticModel[] = [];
  // The intercepts of "always as often as it occurs", from which strong penalties hardly move.
  let start = new Float64Array(values.length * (dictionary.size + 1));
  for (const { value, count } of countValues(pairs.map((pair) => pair.value))) {
    start[values.length * dictionary.size + values.indexOf(value)] = Math.log(count);
  }
  for (const penalty of penalties) {
    const model = fitLogistic(data, { ...settings, penalty, start });
    models.push(model);
    start = Float64Array.from(model.parameters);
  }
  return { dictionary, models };
}

function likeliest(
  values: readonly string[],
  dictionary: FeatureDictionary,
  model: LogisticModel,
  text: string,
): string {
  const logprobs = logProbabilities(model, dictionary.encode(text));
  return values[logprobs.indexOf(Math.max(...logprobs))] as string;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
