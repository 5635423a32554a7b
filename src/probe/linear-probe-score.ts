/** How much a linear probe reads off states: split by string, its penalty chosen inside the train strings, held against what it must beat. */

import { inSeededOrder, randomStream, seededRandom, shuffled } from "../base/random.js";
import { InwardError } from "../errors.js";
import type { TestResult } from "../score/comparison/comparison.js";
import { type AdjustedP, holmOver, signFlipTest } from "../score/comparison/tests.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { DIFFERENCE, type PointRange, PROPORTION } from "../score/tally.js";
import type { Split } from "../tasks/task.js";
import { fitSoftmax, penaltyOf, requireRows, type RowMatrix, RowSpace, softmaxLogprobs } from "./linear-probe.js";
import { estimateOverStrings } from "./string-estimates.js";

/** What is known of a row of states. */
export interface ProbeExample {
  /** The string, or the cluster that it is of: rows of one are on one side of the split and are drawn together. */
  readonly string: string;
  readonly split: Split;
  readonly label: string;
  /** What is known already: the probe is scored by what it adds to it. On all rows or on none. */
  readonly given?: string;
}

export interface ProbeSettings extends ResamplingSettings {
  /** scikit-learn's C, of states scaled to a mean square length of 1 around their mean. */
  readonly cs: readonly number[];
  /** Parts of the train strings, each held out in turn to choose C. */
  readonly folds: number;
  /** Draws of the permutation test. */
  readonly permutations: number;
}

export const PROBE_SETTINGS: ProbeSettings = {
  cs: [0.01, 0.1, 1, 10, 100, 1000],
  folds: 4,
  permutations: 999,
  confidence: 0.95,
  bootstrapReplicates: 2000,
  bootstrapSeed: 0,
};

/** What became of one held-out string. */
export interface ProbedString {
  readonly string: string;
  readonly rows: number;
  readonly right: number;
  readonly baseRight: number;
  /** Sums over the rows whose label a train string has, and how many those are. */
  readonly gainNats: number;
  readonly gainRows: number;
}

export type ProbeScore =
  | {
      readonly ok: true;
      readonly classes: readonly string[];
      readonly c: number;
      readonly trainStrings: number;
      readonly heldOutStrings: number;
      /** Held-out rows whose label no train string has: wrong, and in no sum of nats. */
      readonly unseen: number;
      readonly accuracy: Estimate;
      /** Of who knows no states: the most frequent label of the train strings, or of those with the same `given`. */
      readonly baseAccuracy: Estimate;
      readonly gainAccuracy: Estimate;
      /** Mean ln P(label) of the probe less that of the base. */
      readonly gainNats: Estimate;
      /** Are the labels independent of what the probe says? By permuting the held-out strings' labels, those of one `given` among themselves; one-sided. */
      readonly test: TestResult;
      readonly strings: readonly ProbedString[];
    }
  | { readonly ok: false; readonly reason: string };

/**
 * @param states [rows × width]
 * @param examples [rows]
 * @throws PROBE_INVALID rows and examples that do not match, a string on both sides of the split, numbers that are not finite
 */
export function scoreProbe(
  states: RowMatrix,
  examples: readonly ProbeExample[],
  settings: ProbeSettings = PROBE_SETTINGS,
): ProbeScore {
  requireProbeExamples(requireRows(states), examples);
  const places = [...examples.keys()];
  const train = places.filter((row) => examples[row]?.split === "train");
  const heldOut = places.filter((row) => examples[row]?.split === "held_out");
  const strings = (rows: readonly number[]) => [...new Set(rows.map((row) => (examples[row] as ProbeExample).string))];
  const classes = [...new Set(train.map((row) => (examples[row] as ProbeExample).label))].sort();
  const lacks = (reason: string): ProbeScore => ({ ok: false, reason });
  if (classes.length < 2) return lacks(`all train strings have one label (${classes[0] ?? "none"})`);
  if (heldOut.length === 0) return lacks("no string is held out");
  const trainStrings = strings(train);
  if (trainStrings.length < 2 * settings.folds) {
    return lacks(`${trainStrings.length} train strings are too few to choose a penalty in ${settings.folds} folds`);
  }
  const space = RowSpace.of(states, train);
  if (space.size === 0) return lacks("the states of all train strings are the same");
  const located = places.map((row) => space.place(states, row).map((value) => value / space.spread));
  const c = chooseC(located, examples, train, trainStrings, settings);
  const probe = fitted(located, examples, train, c);
  const base = baseOf(
    train.map((row) => examples[row] as ProbeExample),
    classes,
  );
  const said = heldOut.map((row) => {
    const example = examples[row] as ProbeExample;
    const offsets = example.given === undefined ? undefined : base(example.given);
    const logprobs = softmaxLogprobs(probe, located[row] as Float64Array, offsets);
    return { example, logprobs, base: base(example.given) };
  });
  const probed = strings(heldOut).map((string): ProbedString => {
    const own = said.filter(({ example }) => example.string === string);
    const seen = own.filter(({ example }) => classes.includes(example.label));
    return {
      string,
      rows: own.length,
      right: own.filter(({ example, logprobs }) => likeliest(logprobs, classes) === example.label).length,
      baseRight: own.filter(({ example, base }) => likeliest(base, classes) === example.label).length,
      gainNats: seen.reduce((sum, one) => sum + gainOf(one, classes.indexOf(one.example.label)), 0),
      gainRows: seen.length,
    };
  });
  const share = (value: (one: ProbedString) => number, range: PointRange) =>
    estimateOverStrings(
      probed.map((one) => ({ sum: value(one), rows: one.rows })),
      range,
      settings,
    );
  return {
    ok: true,
    classes,
    c,
    trainStrings: trainStrings.length,
    heldOutStrings: probed.length,
    unseen: said.filter(({ example }) => !classes.includes(example.label)).length,
    accuracy: share(({ right }) => right, PROPORTION),
    baseAccuracy: share(({ baseRight }) => baseRight, PROPORTION),
    gainAccuracy: share(moreRight, DIFFERENCE),
    gainNats: estimateOverStrings(
      probed.map(({ gainNats, gainRows }) => ({ sum: gainNats, rows: gainRows })),
      undefined,
      settings,
    ),
    test: permuteLabels(said, classes, settings),
    strings: probed,
  };
}

const moreRight = ({ right, baseRight }: ProbedString) => right - baseRight;

function requireProbeExamples(rows: number, examples: readonly ProbeExample[]): void {
  const refuse = (why: string): never => {
    throw new InwardError("PROBE_INVALID", why);
  };
  if (rows !== examples.length) refuse(`${rows} rows of states have ${examples.length} examples.`);
  const sides = new Map<string, Split>();
  for (const { string, split } of examples) {
    if ((sides.get(string) ?? split) !== split)
      refuse(`The string ${JSON.stringify(string)} is on both sides of the split.`);
    sides.set(string, split);
  }
  const given = examples.filter((example) => example.given !== undefined).length;
  if (given !== 0 && given !== examples.length) refuse(`${given} of ${examples.length} examples have something given.`);
}

// Fitting.

function fitted(
  located: readonly Float64Array[],
  examples: readonly ProbeExample[],
  rows: readonly number[],
  c: number,
  start?: Float64Array,
) {
  const own = rows.map((row) => examples[row] as ProbeExample);
  const classes = [...new Set(own.map(({ label }) => label))].sort();
  const base = baseOf(own, classes);
  const isGiven = own[0]?.given !== undefined;
  const data = {
    rows: rows.map((row) => located[row] as Float64Array),
    labels: own.map(({ label }) => classes.indexOf(label)),
    classes: classes.length,
    ...(isGiven ? { offsets: own.map(({ given }) => base(given)) } : {}),
  };
  return { ...fitSoftmax(data, penaltyOf(c, classes.length), start), names: classes, base };
}

/** The C whose probes of the other folds' strings give the labels of a fold the most probability; of equals the smallest. */
function chooseC(
  located: readonly Float64Array[],
  examples: readonly ProbeExample[],
  train: readonly number[],
  strings: readonly string[],
  { cs, folds, bootstrapSeed }: ProbeSettings,
): number {
  const order = inSeededOrder(strings, (string) => `probe folds/${bootstrapSeed}/${string}`);
  const foldOf = new Map(order.map((string, at) => [string, at % folds]));
  const sorted = [...cs].sort((a, b) => a - b);
  const losses = sorted.map(() => 0);
  for (let fold = 0; fold < folds; fold++) {
    const inFold = (row: number) => foldOf.get((examples[row] as ProbeExample).string) === fold;
    const [rest, tested] = [train.filter((row) => !inFold(row)), train.filter(inFold)];
    if (new Set(rest.map((row) => (examples[row] as ProbeExample).label)).size < 2) continue;
    let start: Float64Array | undefined;
    for (const [at, c] of sorted.entries()) {
      const probe = fitted(located, examples, rest, c, start);
      start = probe.parameters;
      for (const row of tested) {
        const { label, given } = examples[row] as ProbeExample;
        const place = probe.names.indexOf(label);
        if (place < 0) continue;
        const offsets = given === undefined ? undefined : probe.base(given);
        const logprobs = softmaxLogprobs(probe, located[row] as Float64Array, offsets);
        losses[at] = (losses[at] as number) - (logprobs[place] as number);
      }
    }
  }
  return sorted[losses.indexOf(Math.min(...losses))] as number;
}

/** What is said without states: each class as often as train rows have it, of the same `given` where one is, half a row added to each. */
function baseOf(train: readonly ProbeExample[], classes: readonly string[]): (given: string | undefined) => number[] {
  const logs = (rows: readonly ProbeExample[]) => {
    const total = rows.length + classes.length / 2;
    return classes.map((name) => Math.log((rows.filter(({ label }) => label === name).length + 0.5) / total));
  };
  const all = logs(train);
  const known = new Map<string | undefined, number[]>([[undefined, all]]);
  for (const given of new Set(train.map((example) => example.given))) {
    if (given !== undefined) known.set(given, logs(train.filter((example) => example.given === given)));
  }
  return (given) => known.get(given) ?? all;
}

function likeliest(logprobs: ArrayLike<number>, classes: readonly string[]): string {
  let best = 0;
  for (let at = 1; at < logprobs.length; at++) if ((logprobs[at] as number) > (logprobs[best] as number)) best = at;
  return classes[best] as string;
}

// Inference.

/** What is said of a held-out row. */
export interface SaidRow {
  readonly example: ProbeExample;
  /** [classes] */
  readonly logprobs: ArrayLike<number>;
  readonly base: ArrayLike<number>;
}

function gainOf({ logprobs, base }: Pick<SaidRow, "logprobs" | "base">, label: number): number {
  return (logprobs[label] as number) - (base[label] as number);
}

/** Are labels independent of what is said? Labels of strings change places, those of one `given` among themselves; one-sided, by ln P(label) beyond the base. */
export function permuteLabels(
  said: readonly SaidRow[],
  classes: readonly string[],
  { permutations, bootstrapSeed }: Pick<ProbeSettings, "permutations" | "bootstrapSeed">,
): TestResult {
  const strings = new Map<string, SaidRow[]>();
  for (const one of said) strings.set(one.example.string, [...(strings.get(one.example.string) ?? []), one]);
  const uneven = [...strings.values()].some((own) => {
    const first = own[0]?.example;
    return own.some(({ example }) => example.label !== first?.label || example.given !== first?.given);
  });
  if (uneven) return { ok: false, reason: "a string's rows have several labels, so strings cannot change places" };
  const seen = [...strings.values()].filter(([first]) => classes.includes((first as SaidRow).example.label));
  const groups = new Map<string, { gains: number[][]; labels: number[] }>();
  for (const own of seen) {
    const { given = "", label } = (own[0] as SaidRow).example;
    const group = groups.get(given) ?? { gains: [], labels: [] };
    group.gains.push(classes.map((_, place) => own.reduce((sum, one) => sum + gainOf(one, place), 0)));
    group.labels.push(classes.indexOf(label));
    groups.set(given, group);
  }
  const varied = [...groups.values()].filter(({ labels }) => new Set(labels).size > 1);
  const informativeStrings = varied.reduce((sum, { labels }) => sum + labels.length, 0);
  if (informativeStrings === 0) {
    return { ok: false, reason: "held-out strings of one kind all have one label: nothing can change places" };
  }
  const total = (order: (labels: readonly number[]) => readonly number[]) =>
    varied.reduce((sum, { gains, labels }) => {
      return order(labels).reduce((all, label, at) => all + (gains[at]?.[label] as number), sum);
    }, 0);
  const observed = total((labels) => labels);
  const random = randomStream("probe permutations", bootstrapSeed);
  let reached = 0;
  for (let draw = 0; draw < permutations; draw++) {
    // A sum in another order may differ in its last digits.
    if (total((labels) => shuffled(labels, random)) >= observed - 1e-9 * Math.max(1, Math.abs(observed))) reached++;
  }
  return { ok: true, p: (1 + reached) / (1 + permutations), informativeStrings, method: "drawn", draws: permutations };
}

// What stands beside a probe.

export interface ProbeDifference {
  /** Accuracy of the first less that of the second, on the same held-out rows. */
  readonly difference: Estimate;
  readonly test: TestResult;
}

/**
 * Two probes about the same strings: states of another layer, of the embedding, of random weights, of another model, or a control task.
 * @throws PROBE_INVALID they were not scored on the same held-out strings
 */
export function compareProbes(
  one: ProbeScore & { readonly ok: true },
  other: ProbeScore & { readonly ok: true },
  settings: ProbeSettings = PROBE_SETTINGS,
): ProbeDifference {
  const second = new Map(other.strings.map((string) => [string.string, string]));
  const pairs = one.strings.map((string): ProbedString => {
    const same = second.get(string.string);
    if (same === undefined || same.rows !== string.rows || second.size !== one.strings.length) {
      throw new InwardError("PROBE_INVALID", `Two probes were not scored on the same rows of ${string.string}.`);
    }
    return { ...string, baseRight: same.right };
  });
  return {
    difference: estimateOverStrings(
      pairs.map((pair) => ({ sum: moreRight(pair), rows: pair.rows })),
      DIFFERENCE,
      settings,
    ),
    test: signFlipTest(pairs.map(moreRight), { draws: settings.permutations, seed: settings.bootstrapSeed }),
  };
}

/** Holm's adjustment over the sites that were declared. @returns in the same order */
export function holmOverSites(scores: readonly ProbeScore[]): AdjustedP[] {
  return holmOver(scores.map((score) => (score.ok ? score.test : score)));
}

/**
 * The same examples with the labels of a side's strings dealt out anew: what a probe finds where there is nothing.
 * @throws PROBE_INVALID a string's rows have several labels
 */
export function withShuffledLabels(examples: readonly ProbeExample[], seed: number): ProbeExample[] {
  const dealt = new Map<string, ProbeExample>();
  for (const split of ["train", "held_out"] as const) {
    const own = new Map(examples.filter((one) => one.split === split).map((one) => [one.string, one]));
    const labels = shuffled([...own.values()], seededRandom(`probe labels/${seed}/${split}`));
    [...own.keys()].forEach((string, at) => {
      dealt.set(string, labels[at] as ProbeExample);
    });
    const other = examples.find((one) => one.split === split && own.get(one.string)?.label !== one.label);
    if (other) {
      throw new InwardError(
        "PROBE_INVALID",
        `${JSON.stringify(other.string)} has several labels: none can be dealt out.`,
      );
    }
  }
  return examples.map(({ string, split }) => {
    const { label, given } = dealt.get(string) as ProbeExample;
    return { string, split, label, ...(given === undefined ? {} : { given }) };
  });
}

export interface ControlTask {
  readonly examples: readonly ProbeExample[];
  /** Held-out rows whose key a train row has: only there can a probe show that it has learnt keys by heart. */
  readonly sharedKeys: number;
}

/**
 * The control task of J. Hewitt & P. Liang 2019 (Designing and Interpreting Probes with Control Tasks): every key, such as a word or a token,
 * gets a label by chance, as often as the labels are. What a probe reaches there it has learnt by heart; its accuracy on the task less that is its selectivity.
 * @param keys [rows]
 */
export function controlTask(examples: readonly ProbeExample[], keys: readonly string[], seed: number): ControlTask {
  if (keys.length !== examples.length)
    throw new InwardError("PROBE_INVALID", `${examples.length} examples have ${keys.length} keys.`);
  const labels = examples.filter(({ split }) => split === "train").map(({ label }) => label);
  const labelOf = (key: string) => {
    const drawn = (seededRandom(`probe control/${seed}/${key}`).next() >>> 0) / 2 ** 32;
    return labels[Math.floor(drawn * labels.length)] as string;
  };
  const inTrain = new Set(keys.filter((_, row) => examples[row]?.split === "train"));
  return {
    examples: examples.map(({ string, split }, row) => ({ string, split, label: labelOf(keys[row] as string) })),
    sharedKeys: keys.filter((key, row) => examples[row]?.split === "held_out" && inTrain.has(key)).length,
  };
}

/** How often each token stands in a text, of those that train rows have: what can be read off the input without any model. */
export function bagOfTokens(texts: readonly (readonly number[])[], examples: readonly ProbeExample[]): RowMatrix {
  const known = new Set(texts.filter((_, row) => examples[row]?.split === "train").flat());
  const columns = new Map([...known].sort((a, b) => a - b).map((token, column) => [token, column]));
  const width = Math.max(1, columns.size);
  const values = new Float32Array(texts.length * width);
  for (const [row, tokens] of texts.entries()) {
    for (const token of tokens) {
      const column = columns.get(token);
      if (column !== undefined) values[row * width + column] = (values[row * width + column] as number) + 1;
    }
  }
  return { values, width };
}
