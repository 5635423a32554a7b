/**
 * What patches at one site did, string by string: whether predictions follow a donor's behavior, whether a donor with the same behavior
 * leaves them alone, and whether they move with behavior when behavior is moved and the text stays.
 */

import type { PatchedRow, PatchKind } from "../../ask/patched-distributions.js";
import { weightedSum } from "../calibration/measures.js";
import { estimateWeighted, meanStatistic } from "../calibration/statistics.js";
import { SIGN_FLIP_DRAWS, type TestResult } from "../comparison/comparison.js";
import { signFlipTest } from "../comparison/tests.js";
import type { Estimate } from "../interval.js";
import type { ResamplingSettings, StringDraws, StringWeights } from "../resampling.js";
import { DIFFERENCE, type PointRange, PROPORTION } from "../tally.js";
import { type ClusterOf, type ClusteredRow, stringKey } from "../trial.js";
import { changedShare, movedToward, shareChanges, type ShownValues, shownValues } from "./patch-effects.js";

/** How behavior was moved while the text stayed. */
export type MovedBy = "steered" | "changed";

/** Tests 3 and 4: behavior moved by a vector, or by another state of the model, each held against one as long that leads elsewhere. */
export interface Covariation {
  readonly by: MovedBy;
  /** Share of object-level answers that change their value: the power. */
  readonly behaviorMoves: Estimate;
  /** Half of how much the lead of the new behavior over the string's own grows among predictions. */
  readonly predictionMoves: Estimate;
  /** Of Δ prediction on Δ behavior, over all values, through the origin: 1 who simulates, 0 who looks up. */
  readonly slope: Estimate;
  /** Of Δ prediction · Δ behavior, summed by string. */
  readonly test: TestResult;
}

/** Rows of one kind at a site, and those after which more answers show no value than show one. */
export interface BrokenRows {
  readonly kind: PatchKind;
  readonly side: PatchedRow["side"];
  readonly rows: number;
  readonly broken: number;
}

/** One string of the slope: where a plot has its points. */
export interface MovedString {
  readonly item: string;
  readonly by: MovedBy;
  /** Of the behavior that it was moved to, in the object-level answers and in the predictions, beside the counter. */
  readonly behavior: number;
  readonly prediction: number;
}

export interface SiteScores {
  readonly site: string;
  readonly part: string;
  readonly layer: number;
  readonly span: string;
  readonly strings: number;
  /** Test 1: how far predictions go to the behavior of a donor with another one, less how far they go there with a donor with the same one. */
  readonly follow: Estimate;
  readonly followTest: TestResult;
  /** The same, nothing taken off. */
  readonly followPlain: Estimate;
  /** Test 2: share of predictions that change with a donor with the same behavior. */
  readonly sameChanges: Estimate;
  /** Donors whose behavior is not what the model says of them: how far predictions go to their behavior rather than to what is said. */
  readonly behaviorNotSaid: Estimate;
  readonly covariations: readonly Covariation[];
  /** Nulls: how far predictions go to the new behavior with each of them. */
  readonly nulls: Readonly<Record<"random" | "shifted" | "other_task", Estimate>>;
  readonly broken: readonly BrokenRows[];
  readonly points: readonly MovedString[];
}

interface EffectRow extends ClusteredRow {
  readonly value: number;
}

interface MovedRow extends ClusteredRow {
  readonly xy: number;
  readonly xx: number;
  readonly behaviorMoves: number;
  readonly predictionMoves: number;
  readonly point: Omit<MovedString, "by">;
}

/** What is scored together: one state, task and property. */
export interface PatchedSet {
  readonly rows: readonly PatchedRow[];
  readonly draws: StringDraws;
  readonly clusterOf?: ClusterOf;
}

/** Rows by what they are. */
export class PatchedRows {
  private readonly places = new Map<string, PatchedRow[]>();
  private readonly shown = new Map<PatchedRow, ShownValues | undefined>();
  readonly items: readonly string[];

  constructor(rows: readonly PatchedRow[]) {
    for (const row of rows) {
      const place = placeKey(row.side, row.item, row.kind, row.site, row.span);
      this.places.set(place, [...(this.places.get(place) ?? []), row]);
    }
    this.items = [...new Set(rows.map(({ item }) => item))];
  }

  of(side: PatchedRow["side"], item: string, kind: PatchKind, site?: SitePlace): readonly PatchedRow[] {
    return this.places.get(placeKey(side, item, kind, site?.site, site?.span)) ?? [];
  }

  /** Of one without an answer, or whose answers show too little, nothing. */
  shownBy(row: PatchedRow | undefined): ShownValues | undefined {
    if (!row?.distribution) return undefined;
    if (!this.shown.has(row)) this.shown.set(row, shownValues(row.distribution));
    return this.shown.get(row);
  }
}

export interface SitePlace {
  readonly site: string;
  readonly span: string;
}

function placeKey(side: string, item: string, kind: string, site = "", span = ""): string {
  return [side, item, kind, site, span].join("\n");
}

/** @param of the rows of one question, at all sites */
export function scoreSite(
  place: SitePlace,
  of: PatchedRows,
  { draws, task, clusterOf }: { readonly draws: StringDraws; readonly task: string; readonly clusterOf?: ClusterOf },
  settings: ResamplingSettings,
): SiteScores {
  const located = (item: string): ClusteredRow => {
    const cluster = clusterOf?.(task, item);
    return cluster === undefined ? { task, item } : { task, item, cluster };
  };
  const effects = new SiteEffects(place, of, located);
  const mean = (rows: readonly EffectRow[], range: PointRange, undefinedBecause: string): Estimate =>
    estimateWeighted(
      meanStatistic(rows, ({ value }) => value, { range, undefinedBecause }, draws),
      draws,
      settings.confidence,
    );
  const { follow, followPlain, sameChanges, behaviorNotSaid } = effects.ofDonors();
  const ways = (["steered", "changed"] as const).map((by) => ({ by, rows: effects.movedBy(by) }));
  const [part = "", layer = "0"] = place.site.split(".");
  return {
    ...place,
    part,
    layer: Number(layer),
    strings: of.items.length,
    follow: mean(follow, DIFFERENCE, "no string has donors with another and with the same behavior"),
    followTest: flipped(follow, settings),
    followPlain: mean(followPlain, DIFFERENCE, "no string has a donor with another behavior"),
    sameChanges: mean(sameChanges, PROPORTION, "no string has a donor with the same behavior"),
    behaviorNotSaid: mean(behaviorNotSaid, DIFFERENCE, "of no donor the model says something else than it does"),
    covariations: ways
      .filter(({ rows }) => rows.length > 0)
      .map(({ by, rows }): Covariation => {
        const each = (value: (row: MovedRow) => number) =>
          rows.map((row): EffectRow => ({ ...row, value: value(row) }));
        const products = each(({ xy }) => xy);
        return {
          by,
          behaviorMoves: mean(
            each((row) => row.behaviorMoves),
            PROPORTION,
            "",
          ),
          predictionMoves: mean(
            each((row) => row.predictionMoves),
            DIFFERENCE,
            "",
          ),
          slope: slopeOf(rows, draws, settings.confidence),
          test: flipped(products, settings),
        };
      }),
    nulls: {
      random: mean(effects.ofNull("random"), DIFFERENCE, "no such vector was written"),
      shifted: mean(effects.ofNull("shifted"), DIFFERENCE, "no such vector was written"),
      other_task: mean(effects.ofNull("other_task"), DIFFERENCE, "there is no donor of another task"),
    },
    broken: effects.broken(),
    points: ways.flatMap(({ by, rows }) => rows.map(({ point }): MovedString => ({ ...point, by }))),
  };
}

/** Strings whose rows are one cluster flip their signs together. */
function flipped(rows: readonly EffectRow[], { bootstrapSeed }: ResamplingSettings): TestResult {
  const sums = new Map<string, number>();
  // Twice a move is a whole number where answers are certain, and whole numbers are tested exactly.
  for (const row of rows) sums.set(stringKey(row), (sums.get(stringKey(row)) ?? 0) + 2 * row.value);
  return signFlipTest([...sums.values()], { draws: SIGN_FLIP_DRAWS, seed: bootstrapSeed });
}

/** What one string says about a slope, where all say the same. */
const SLOPES: PointRange = { least: -1, most: 1 };
/** Squares of changes that add up to less are rounding. */
const NO_CHANGE = 1e-9;

function slopeOf(rows: readonly MovedRow[], draws: StringDraws, confidence: number): Estimate {
  const [products, squares] = [new Float64Array(draws.strings), new Float64Array(draws.strings)];
  const strings = rows.map((row) => {
    const at = draws.placeOf(row);
    products[at] = (products[at] as number) + row.xy;
    squares[at] = (squares[at] as number) + row.xx;
    return at;
  });
  const at = (weights: StringWeights) => {
    const square = weightedSum(squares, weights);
    return square < NO_CHANGE ? undefined : weightedSum(products, weights) / square;
  };
  return estimateWeighted(
    { at, strings, range: SLOPES, undefinedBecause: "behavior did not move at all" },
    draws,
    confidence,
  );
}

/** Effects of one site by string, of those strings whose answers show values where nothing is written. */
class SiteEffects {
  constructor(
    private readonly place: SitePlace,
    private readonly of: PatchedRows,
    private readonly located: (item: string) => ClusteredRow,
  ) {}

  ofDonors() {
    const all = { follow: [], followPlain: [], sameChanges: [], behaviorNotSaid: [] } as {
      follow: EffectRow[];
      followPlain: EffectRow[];
      sameChanges: EffectRow[];
      behaviorNotSaid: EffectRow[];
    };
    for (const { item, before } of this.asked()) {
      const row = (value: number): EffectRow => ({ ...this.located(item), value });
      const same = this.hypothetical(item, "same").flatMap((one) => this.of.shownBy(one) ?? []);
      for (const after of same) all.sameChanges.push(row(changedShare(before, after)));
      for (const one of this.hypothetical(item, "other")) {
        const after = this.of.shownBy(one);
        const { toward, own, donorSays } = one;
        if (!after || toward === undefined) continue;
        const moved = movedToward(before, after, toward, own);
        all.followPlain.push(row(moved));
        if (same.length > 0) {
          const besides = same.map((other) => movedToward(before, other, toward, own));
          all.follow.push(row(moved - besides.reduce((sum, each) => sum + each, 0) / besides.length));
        }
        if (donorSays !== undefined && donorSays !== toward && donorSays !== own) {
          all.behaviorNotSaid.push(row(movedToward(before, after, toward, donorSays)));
        }
      }
    }
    return all;
  }

  movedBy(by: MovedBy): MovedRow[] {
    const counter = by === "steered" ? "counter" : "changed_counter";
    return this.of.items.flatMap((item) =>
      this.of.of("object_level", item, by, this.place).flatMap((one): MovedRow[] => {
        const shownAs = (side: PatchedRow["side"], kind: PatchKind) =>
          this.of.shownBy(this.of.of(side, item, kind, this.place).find(({ number }) => number === one.number));
        const [behavior, otherBehavior] = [shownAs("object_level", by), shownAs("object_level", counter)];
        const [prediction, otherPrediction] = [shownAs("hypothetical", by), shownAs("hypothetical", counter)];
        const { own, toward } = one;
        if (!behavior || !otherBehavior || !prediction || !otherPrediction || toward === undefined) return [];
        const x = shareChanges(otherBehavior, behavior);
        const y = shareChanges(otherPrediction, prediction);
        const sums = [...x].map(([value, change]) => [change * (y.get(value) ?? 0), change * change] as const);
        const total = (at: 0 | 1) => sums.reduce((sum, one) => sum + one[at], 0);
        const point = { item, behavior: x.get(toward) ?? 0, prediction: y.get(toward) ?? 0 };
        return [
          {
            ...this.located(item),
            xy: total(0),
            xx: total(1),
            behaviorMoves: changedShare(otherBehavior, behavior),
            predictionMoves: movedToward(otherPrediction, prediction, toward, own),
            point,
          },
        ];
      }),
    );
  }

  ofNull(kind: "random" | "shifted" | "other_task"): EffectRow[] {
    return this.asked().flatMap(({ item, before }) =>
      this.hypothetical(item, kind).flatMap((one): EffectRow[] => {
        const after = this.of.shownBy(one);
        if (!after || one.toward === undefined) return [];
        return [{ ...this.located(item), value: movedToward(before, after, one.toward, one.own) }];
      }),
    );
  }

  broken(): BrokenRows[] {
    const counts = new Map<string, { kind: PatchKind; side: PatchedRow["side"]; rows: number; broken: number }>();
    for (const item of this.of.items) {
      for (const side of ["object_level", "hypothetical"] as const) {
        for (const kind of WRITTEN) {
          for (const row of this.of.of(side, item, kind, this.place)) {
            const key = `${side}/${kind}`;
            const count = counts.get(key) ?? { kind, side, rows: 0, broken: 0 };
            count.rows++;
            if (!this.of.shownBy(row)) count.broken++;
            counts.set(key, count);
          }
        }
      }
    }
    return [...counts.values()];
  }

  private hypothetical(item: string, kind: PatchKind): readonly PatchedRow[] {
    return this.of.of("hypothetical", item, kind, this.place);
  }

  private asked(): { item: string; before: ShownValues }[] {
    return this.of.items.flatMap((item) => {
      const before = this.of.shownBy(this.of.of("hypothetical", item, "none")[0]);
      return before ? [{ item, before }] : [];
    });
  }
}

const WRITTEN: readonly PatchKind[] = [
  "other",
  "same",
  "other_task",
  "steered",
  "counter",
  "random",
  "shifted",
  "changed",
  "changed_counter",
];
