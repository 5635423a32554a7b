/** What the positions come to: divergence, differences of probability, agreement and perplexity, each with its interval by text or string. */

import type { ComparedItem } from "./compare-logits.js";
import { COMPARISON, COMPARISON_FIELDS } from "./compare-logits.js";
import { type Estimate, estimate } from "../score/interval.js";
import { drawStrings, type ResamplingSettings, type StringDraws, type StringWeights } from "../score/resampling.js";
import type { ClusteredRow } from "../score/trial.js";
import { weightedSum } from "../score/calibration/measures.js";
import { type PointRange, PROPORTION } from "../score/tally.js";

/** Where positions are, for intervals: one entry an item. */
export type ItemPlace = ClusteredRow;

/** A number without an interval of its own, and why. */
export interface PlainNumber {
  readonly value: number;
  readonly interval: string;
}

export interface DivergenceScores {
  /** Positions looked at, and texts or strings that they are of. */
  readonly positions: number;
  readonly clusters: number;
  /** Kullback-Leibler divergence of the file from the source, nats: Σ p_source (log p_source − log p). */
  readonly kl: {
    readonly mean: Estimate;
    readonly median: Estimate;
    readonly percentile99: Estimate;
    readonly percentile999: PlainNumber;
    readonly most: PlainNumber;
    readonly least: number;
    /** The other way round: Σ p (log p − log p_source). */
    readonly backward: Estimate;
    /** As llama-perplexity sums it, without an interval. */
    readonly llama: number;
  };
  /** Probability of the token that follows, less the source's, as shares. */
  readonly probability: {
    readonly mean: Estimate;
    readonly rootMeanSquare: Estimate;
    /** By percent: 0 is the least, 100 the most. */
    readonly percentiles: Readonly<Record<string, number>>;
  };
  /** Share of positions whose most likely token is the source's. */
  readonly sameTop: Estimate;
  readonly perplexity: Perplexity;
  /** The source's on the same positions. */
  readonly sourcePerplexity: Perplexity;
  /** ln(perplexity ÷ the source's), paired. */
  readonly logRatio: Estimate;
}

export interface Perplexity {
  readonly value: Estimate;
  /** As llama-perplexity prints it behind ±: tokens taken as independent, which they are not. */
  readonly llamaError: number;
}

/** How far a file is from itself when the same texts are put before it in another way. */
export interface FileFloor {
  readonly positions: number;
  readonly klMean: number;
  readonly klMost: number;
  /** Of the log-probability of the token that follows, nats. */
  readonly logprobMean: number;
  readonly logprobMost: number;
  readonly probabilityRms: number;
  readonly sameTop: number;
}

const PERCENTS = [0, 0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100] as const;

/**
 * @param values [positions × COMPARISON_FIELDS], item after item
 * @param places of the items
 */
export function scoreDivergence(
  values: Float64Array,
  items: readonly ComparedItem[],
  places: readonly ItemPlace[],
  settings: ResamplingSettings,
): DivergenceScores {
  const columns = new Columns(values, items, places, settings);
  const kl = columns.of(COMPARISON.klForward);
  const sorted = [...kl].sort((a, b) => a - b);
  const [target, kept] = [columns.of(COMPARISON.target), columns.of(COMPARISON.keptTarget)];
  const change = target.map((logprob, at) => Math.exp(logprob) - Math.exp(kept[at] as number));
  const sortedChange = [...change].sort((a, b) => a - b);
  const [best, keptBest] = [columns.of(COMPARISON.best), columns.of(COMPARISON.keptBest)];
  const tail = (what: string): string => `none: resampling ${kl.length} positions cannot tell ${what}`;
  const most = Number.POSITIVE_INFINITY;
  return {
    positions: kl.length,
    clusters: columns.clusters,
    kl: {
      mean: columns.mean(kl, { least: 0, most }),
      median: columns.quantile(kl, 0.5),
      percentile99: columns.quantile(kl, 0.99),
      percentile999: { value: quantileOf(sorted, 0.999), interval: tail("how far its last thousandth reaches") },
      most: { value: sorted.at(-1) as number, interval: tail("how much larger another position's would be") },
      least: sorted[0] as number,
      backward: columns.mean(columns.of(COMPARISON.klBackward), { least: 0, most }),
      llama: meanValue(columns.of(COMPARISON.klLlama)),
    },
    probability: {
      mean: columns.mean(change, { least: -1, most: 1 }),
      rootMeanSquare: columns.mean(
        change.map((one) => one * one),
        { least: 0, most: 1 },
        Math.sqrt,
      ),
      percentiles: Object.fromEntries(
        PERCENTS.map((percent) => [String(percent), quantileOf(sortedChange, percent / 100)]),
      ),
    },
    sameTop: columns.mean(
      best.map((id, at) => (id === keptBest[at] ? 1 : 0)),
      PROPORTION,
    ),
    perplexity: perplexityOf(columns, target),
    sourcePerplexity: perplexityOf(columns, kept),
    logRatio: columns.mean(
      target.map((logprob, at) => (kept[at] as number) - logprob),
      { least: Number.NEGATIVE_INFINITY, most },
    ),
  };
}

function perplexityOf(columns: Columns, logprobs: Float64Array): Perplexity {
  const losses = logprobs.map((one) => -one);
  const mean = meanValue(losses);
  const variance = meanValue(losses.map((one) => one * one)) - mean * mean;
  return {
    value: columns.mean(losses, { least: 0, most: Number.POSITIVE_INFINITY }, Math.exp),
    llamaError: variance > 0 ? Math.exp(mean) * Math.sqrt(variance / (losses.length - 1)) : 0,
  };
}

/** @param values of a file against itself */
export function fileFloor(values: Float64Array): FileFloor {
  const column = (field: number) => columnOf(values, field);
  const [kl, target, kept] = [column(COMPARISON.klForward), column(COMPARISON.target), column(COMPARISON.keptTarget)];
  const [best, keptBest] = [column(COMPARISON.best), column(COMPARISON.keptBest)];
  const apart = target.map((one, at) => Math.abs(one - (kept[at] as number)));
  return {
    positions: kl.length,
    klMean: meanValue(kl),
    klMost: kl.reduce((most, one) => Math.max(most, one), 0),
    logprobMean: meanValue(apart),
    logprobMost: apart.reduce((most, one) => Math.max(most, one), 0),
    probabilityRms: Math.sqrt(meanValue(target.map((one, at) => (Math.exp(one) - Math.exp(kept[at] as number)) ** 2))),
    sameTop: meanValue(best.map((id, at) => (id === keptBest[at] ? 1 : 0))),
  };
}

/** Sums in pairs, so that a hundred thousand positions lose no digits. */
function meanValue(values: Float64Array): number {
  const sum = (from: number, to: number): number => {
    if (to - from <= 32) {
      let total = 0;
      for (let at = from; at < to; at++) total += values[at] as number;
      return total;
    }
    const middle = (from + to) >>> 1;
    return sum(from, middle) + sum(middle, to);
  };
  return sum(0, values.length) / values.length;
}

/** Linear between order statistics, as llama-perplexity has it. */
function quantileOf(sorted: ArrayLike<number>, probability: number): number {
  const place = probability * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)] as number, sorted[Math.ceil(place)] as number];
  return below + (above - below) * (place - Math.floor(place));
}

function columnOf(values: Float64Array, field: number): Float64Array {
  return Float64Array.from(
    { length: values.length / COMPARISON_FIELDS },
    (_, row) => values[row * COMPARISON_FIELDS + field] as number,
  );
}

/** Positions with the strings that they are of. */
class Columns {
  readonly clusters: number;
  private readonly draws: StringDraws;
  /** [positions] place of its string. */
  private readonly strings: Int32Array;
  private readonly tasks: number;
  private readonly counts: Float64Array;

  constructor(
    private readonly values: Float64Array,
    items: readonly ComparedItem[],
    places: readonly ItemPlace[],
    private readonly settings: ResamplingSettings,
  ) {
    this.draws = drawStrings(places, settings);
    this.strings = Int32Array.from(
      items.flatMap(({ ids, scoreFrom }, item) => {
        const place = this.draws.placeOf(places[item] as ItemPlace);
        return Array.from({ length: ids.length - scoreFrom }, () => place);
      }),
    );
    this.counts = new Float64Array(this.draws.strings);
    for (const place of this.strings) this.counts[place] = (this.counts[place] as number) + 1;
    this.clusters = this.counts.filter((count) => count > 0).length;
    this.tasks = new Set([...new Set(this.strings)].map(this.draws.taskAt)).size;
  }

  of(field: number): Float64Array {
    return columnOf(this.values, field);
  }

  /** @param then of the mean, such as a root */
  mean(amounts: Float64Array, range: PointRange, then: (mean: number) => number = (mean) => mean): Estimate {
    const sums = new Float64Array(this.draws.strings);
    amounts.forEach((amount, position) => {
      const place = this.strings[position] as number;
      sums[place] = (sums[place] as number) + amount;
    });
    const at = (weights: StringWeights) => {
      const counted = weightedSum(this.counts, weights);
      return counted === 0 ? undefined : then(weightedSum(sums, weights) / counted);
    };
    return this.estimate(then(meanValue(amounts)), at, range);
  }

  /** Weighted by how often a position's string was drawn; between two positions none is made up. */
  quantile(amounts: Float64Array, probability: number): Estimate {
    const order = Int32Array.from(amounts.keys()).sort((a, b) => (amounts[a] as number) - (amounts[b] as number));
    const sorted = Float64Array.from(order, (position) => amounts[position] as number);
    const at = (weights: StringWeights) => {
      const wanted = probability * weightedSum(this.counts, weights);
      let below = 0;
      for (const position of order) {
        below += weights[this.strings[position] as number] as number;
        if (below >= wanted) return amounts[position];
      }
      return undefined;
    };
    return this.estimate(quantileOf(sorted, probability), at, { least: 0, most: Number.POSITIVE_INFINITY });
  }

  private estimate(value: number, at: (weights: StringWeights) => number | undefined, range: PointRange): Estimate {
    const { confidence } = this.settings;
    const counted = { n: this.strings.length, clusters: this.clusters, tasks: this.tasks };
    const drawn = this.clusters < 2 ? [] : this.draws.replicates.map(at);
    // A share that no string moves is bounded; of a number without bounds there is nothing to tell.
    const unmoved = range === PROPORTION ? "bound" : "as_drawn";
    return estimate({ value, ...counted, range }, drawn, { confidence, unmoved });
  }
}
