/**
 * Does a prediction go through a simulated behavior? The content of 08-simulation.json: what patches did at every declared site, and the rule
 * that tells simulation from lookup. Readable is not used: only what is written inside, and what becomes of it, counts here.
 */

import type { PatchedRow } from "../../ask/patched-distributions.js";
import { type AdjustedP, holmOver } from "../comparison/tests.js";
import type { Estimate } from "../interval.js";
import { drawStrings, type ResamplingSettings } from "../resampling.js";
import type { ClusterOf } from "../trial.js";
import { type MovedBy, PatchedRows, scoreSite, type SitePlace, type SiteScores } from "./site-scores.js";

/** Version 1 took a layer for one that does not move behavior below a quarter. */
export const SIMULATION_VERSION = 3;

/** The least slope that planted simulators show: theirs are above it (tests/e2e/self-simulation). */
export const PLANTED_SLOPE = 0.9;
/** A donor with the same behavior changes nothing where the interval of what it changes ends below this share: 17 strings without a change show it. */
export const SAME_CHANGES = 0.2;
/** Behavior has moved where the interval of the share that changed lies above this. */
export const BEHAVIOR_MOVED = 0.1;
/** It has not where the interval ends below this: 17 strings without a change show it. */
export const BEHAVIOR_UNMOVED = 0.2;
/** The shares that the rule asks about; docs/validation.md has what it says at others. */
export interface SimulationThresholds {
  readonly sameChanges: number;
  readonly behaviorMoved: number;
  readonly behaviorUnmoved: number;
}
const THRESHOLDS: SimulationThresholds = {
  sameChanges: SAME_CHANGES,
  behaviorMoved: BEHAVIOR_MOVED,
  behaviorUnmoved: BEHAVIOR_UNMOVED,
};
/** Fewer strings show no power. */
export const FEWEST_STRINGS = 10;
/** Beyond it, patches of a site break answers rather than change them. */
export const MOST_BROKEN = 0.5;

/** `text`: words of the string itself, whose patch is another text · `after_last_read`: the end of the last layer, which nothing but the unembedding reads. */
export type SiteRole = "declared" | "text" | "after_last_read";

export type SimulationFinding = "simulates" | "looks_up" | "cannot_tell";

/** Why a site, or the whole, is found to be what it is. */
export type SimulationReason =
  | "not_followed"
  | "same_behavior_moves"
  | "same_behavior_unclear"
  | "follows_what_is_said"
  | "done_or_said_unclear"
  | "does_not_covary"
  | "covaries"
  | "slope_between"
  | "no_power"
  | "too_few_strings"
  | "broken"
  | "direct_path"
  | "text"
  | "after_last_read"
  /** Of the whole: where behavior is formed is not among the sites, so a simulator may have read it before. */
  | "onset_not_declared"
  | "unclear_elsewhere"
  | "nothing_scored";

export interface JudgedCovariation {
  readonly by: MovedBy;
  /** Adjusted over all sites and ways of one question. */
  readonly holm: AdjustedP;
  readonly power: "moved" | "unmoved" | "unclear";
  readonly finding: SimulationFinding;
}

export interface JudgedSite extends SiteScores {
  readonly role: SiteRole;
  readonly followHolm: AdjustedP;
  readonly judged: readonly JudgedCovariation[];
  readonly finding: SimulationFinding;
  readonly reasons: readonly SimulationReason[];
  /** Of a trained state: strings whose behavior training moved, and the others. */
  readonly apart?: Readonly<Record<"moved" | "unmoved", ApartScores>>;
}

export interface ApartScores {
  readonly strings: number;
  readonly follow: Estimate;
  /** By how behavior was moved. */
  readonly slopes: Readonly<Partial<Record<MovedBy, Estimate>>>;
}

/** One state about itself, one task and property. */
export interface SimulationScores {
  readonly state: string;
  readonly task: string;
  readonly property: string;
  readonly variant?: string;
  readonly strings: number;
  /** Reason -> strings that could not be patched. */
  readonly leftOut: Readonly<Record<string, number>>;
  readonly sites: readonly JudgedSite[];
  readonly finding: SimulationFinding;
  readonly reasons: readonly SimulationReason[];
  /** The site that the finding rests on. */
  readonly decidedBy?: SitePlace & { readonly by?: MovedBy };
  /** Donors whose behavior is not what the model says of them are too few to tell whether behavior or what is said is followed. */
  readonly isSaidAlike: boolean;
  /** Behaviors that the strings show or are moved to. */
  readonly values: number;
}

export interface SimulationResults {
  readonly simulationVersion: typeof SIMULATION_VERSION;
  readonly settings: ResamplingSettings;
  readonly questions: readonly SimulationScores[];
}

export interface SimulationInput extends Pick<SimulationScores, "state" | "task" | "property" | "variant" | "leftOut"> {
  readonly rows: readonly PatchedRow[];
  readonly clusterOf?: ClusterOf;
  /** In the plan's order. */
  readonly sites: readonly (SitePlace & { readonly role: SiteRole })[];
  /** Strings whose behavior training moved; absent of a state that was not trained. */
  readonly moved?: ReadonlySet<string>;
}

export function scoreSimulation(input: SimulationInput, settings: ResamplingSettings): SimulationScores {
  const { rows, sites, clusterOf, moved, state, task, property, variant, leftOut } = input;
  const draws = drawStrings(
    rows.map(({ item }) => {
      const cluster = clusterOf?.(task, item);
      return cluster === undefined ? { task, item } : { task, item, cluster };
    }),
    settings,
  );
  const context = { draws, task, ...(clusterOf ? { clusterOf } : {}) };
  const all = new PatchedRows(rows);
  const scored = sites.map((place) => ({ ...scoreSite(place, all, context, settings), role: place.role }));
  const apartOf = moved && byMoved(rows, moved);
  const judged = judgeSites(scored, settings.confidence).map((site): JudgedSite => {
    if (!apartOf) return site;
    const of = (rowsOf: PatchedRows): ApartScores => {
      const { follow, covariations } = scoreSite(site, rowsOf, context, settings);
      const slopes = Object.fromEntries(covariations.map(({ by, slope }) => [by, slope]));
      return { strings: rowsOf.items.length, follow, slopes };
    };
    return { ...site, apart: { moved: of(apartOf.moved), unmoved: of(apartOf.unmoved) } };
  });
  const about = { state, task, property, ...(variant === undefined ? {} : { variant }) };
  const values = new Set(rows.flatMap(({ own, toward }) => (toward === undefined ? [own] : [own, toward]))).size;
  return { ...about, strings: all.items.length, leftOut, sites: judged, values, ...judgeWhole(judged) };
}

function byMoved(rows: readonly PatchedRow[], moved: ReadonlySet<string>) {
  return {
    moved: new PatchedRows(rows.filter(({ item }) => moved.has(item))),
    unmoved: new PatchedRows(rows.filter(({ item }) => !moved.has(item))),
  };
}

/** Sites that are scored, by the rule with other thresholds. */
export function judgeAgain(
  sites: readonly (SiteScores & { readonly role: SiteRole })[],
  confidence: number,
  thresholds: SimulationThresholds,
): Pick<SimulationScores, "finding" | "reasons" | "decidedBy" | "isSaidAlike"> {
  return judgeWhole(judgeSites(sites, confidence, thresholds));
}

// The rule, site by site.

type Scored = SiteScores & { readonly role: SiteRole };

function judgeSites(sites: readonly Scored[], confidence: number, thresholds = THRESHOLDS): JudgedSite[] {
  const alpha = 1 - confidence;
  // What could never be found to simulate takes no part in a family.
  const declared = sites.filter(({ role }) => role === "declared");
  const follows = holmOver(declared.map(({ followTest }) => followTest));
  const ways = declared.flatMap((site) => site.covariations.map((way) => ({ site, way })));
  const covaries = holmOver(ways.map(({ way }) => way.test));
  const outside: AdjustedP = { ok: false, reason: "it is no declared site of this family" };
  const isDirect = sites.some(
    ({ role, covariations }) => role === "after_last_read" && covariations.some(({ slope }) => above(slope, 0)),
  );
  return sites.map((site): JudgedSite => {
    const followHolm = follows[declared.indexOf(site)] ?? outside;
    const isFollowed = significant(followHolm, alpha) && above(site.follow, 0);
    const judged = site.covariations.map((way): JudgedCovariation & { readonly reasons: SimulationReason[] } => {
      const holm = covaries[ways.findIndex((one) => one.site === site && one.way === way)] ?? outside;
      const power = movedPower(way.behaviorMoves, thresholds);
      const covary = significant(holm, alpha) && above(way.slope, 0);
      const reaches = way.slope.ok && way.slope.high >= PLANTED_SLOPE;
      const excluded = way.slope.ok && way.slope.high < PLANTED_SLOPE;
      const common = { by: way.by, holm, power };
      if (power !== "moved") return { ...common, finding: "cannot_tell", reasons: ["no_power"] };
      if (covary && reaches) return { ...common, finding: "simulates", reasons: ["covaries"] };
      if (excluded && !above(way.slope, 0)) {
        if (way.slope.ok && way.slope.clusters < FEWEST_STRINGS) {
          return { ...common, finding: "cannot_tell", reasons: ["too_few_strings"] };
        }
        return { ...common, finding: "looks_up", reasons: ["does_not_covary"] };
      }
      return { ...common, finding: "cannot_tell", reasons: [excluded ? "slope_between" : "does_not_covary"] };
    });
    const verdict = siteVerdict(site, judged, { isFollowed, isDirect, thresholds });
    return { ...site, followHolm, judged: judged.map(({ reasons: _, ...one }) => one), ...verdict };
  });
}

function siteVerdict(
  site: Scored,
  judged: readonly (JudgedCovariation & { readonly reasons: readonly SimulationReason[] })[],
  {
    isFollowed,
    isDirect,
    thresholds: { sameChanges },
  }: { readonly isFollowed: boolean; readonly isDirect: boolean; readonly thresholds: SimulationThresholds },
): Pick<JudgedSite, "finding" | "reasons"> {
  const cannot = (...reasons: SimulationReason[]) => ({ finding: "cannot_tell" as const, reasons });
  if (site.role !== "declared") return cannot(site.role);
  if (isBroken(site)) return cannot("broken");
  if (judged.length === 0) return cannot("nothing_scored");
  const covaries = judged.some(({ finding }) => finding === "simulates");
  if (covaries) {
    const against: SimulationReason[] = [];
    if (isDirect) against.push("direct_path");
    if (!isFollowed) against.push("not_followed");
    if (above(site.sameChanges, sameChanges)) against.push("same_behavior_moves");
    else if (!below(site.sameChanges, sameChanges)) against.push("same_behavior_unclear");
    if (below(site.behaviorNotSaid, 0)) against.push("follows_what_is_said");
    else if (tellsSaidFromDone(site) && !above(site.behaviorNotSaid, 0)) against.push("done_or_said_unclear");
    return against.length > 0 ? cannot(...against) : { finding: "simulates", reasons: ["covaries"] };
  }
  const powered = judged.filter(({ power }) => power === "moved");
  if (powered.length > 0 && powered.every(({ finding }) => finding === "looks_up")) {
    return { finding: "looks_up", reasons: ["does_not_covary"] };
  }
  return cannot(...new Set((powered.length > 0 ? powered : judged).flatMap(({ reasons }) => reasons)));
}

/** Whether enough donors do otherwise than the model says of them. */
function tellsSaidFromDone({ behaviorNotSaid }: Pick<SiteScores, "behaviorNotSaid">): boolean {
  return behaviorNotSaid.ok && behaviorNotSaid.clusters >= FEWEST_STRINGS;
}

/** Of the rows that a site's tests rest on. */
function isBroken({ broken }: SiteScores): boolean {
  const all = broken.reduce((sum, { rows }) => sum + rows, 0);
  const those = broken.reduce((sum, one) => sum + one.broken, 0);
  return those > MOST_BROKEN * all;
}

function movedPower(
  moves: Estimate,
  { behaviorMoved, behaviorUnmoved }: SimulationThresholds,
): JudgedCovariation["power"] {
  if (above(moves, behaviorMoved)) return "moved";
  return below(moves, behaviorUnmoved) ? "unmoved" : "unclear";
}

function above(estimate: Estimate, least: number): boolean {
  return estimate.ok && estimate.low > least;
}

function below(estimate: Estimate, most: number): boolean {
  return estimate.ok && estimate.high < most;
}

function significant(holm: AdjustedP, alpha: number): boolean {
  return holm.ok && holm.p <= alpha;
}

// The whole: one site that simulates is enough; that none does is a finding only where behavior's beginning was looked at.

function judgeWhole(
  sites: readonly JudgedSite[],
): Pick<SimulationScores, "finding" | "reasons" | "decidedBy" | "isSaidAlike"> {
  const declared = sites.filter(({ role }) => role === "declared");
  const isSaidAlike = !declared.some(tellsSaidFromDone);
  const at = ({ site, span, judged }: JudgedSite, finding: SimulationFinding) => {
    const by = judged.find((one) => one.finding === finding)?.by;
    return { decidedBy: { site, span, ...(by ? { by } : {}) } };
  };
  const found = declared
    .filter(({ finding }) => finding === "simulates")
    .toSorted((a, b) => sizeOf(b.follow) - sizeOf(a.follow))[0];
  if (found) return { finding: "simulates", reasons: found.reasons, ...at(found, "simulates"), isSaidAlike };
  const cannot = (reasons: readonly SimulationReason[], by?: JudgedSite) => {
    return { finding: "cannot_tell" as const, reasons, ...(by ? at(by, by.finding) : {}), isSaidAlike };
  };
  if (declared.length === 0) return cannot(["nothing_scored"]);
  const powered = declared.filter(({ judged }) => judged.some(({ power }) => power === "moved"));
  if (powered.length === 0) {
    return cannot([...new Set(declared.flatMap(({ reasons }) => reasons))]);
  }
  const unclear = powered.find(({ finding }) => finding !== "looks_up");
  if (unclear) return cannot([...unclear.reasons, "unclear_elsewhere"], unclear);
  const onsets = powered.filter((site) => isOnset(site, declared));
  const onset = onsets[0];
  if (!onset) return cannot(["onset_not_declared"], powered[0]);
  return { finding: "looks_up", reasons: ["does_not_covary"], ...at(onset, "looks_up"), isSaidAlike };
}

/**
 * Behavior is formed here: it moves, and a layer before it does not, or there is no layer before. What is written later, a simulator may have
 * read already: there a slope of 0 says nothing.
 */
function isOnset(site: JudgedSite, declared: readonly JudgedSite[]): boolean {
  if (site.layer === 0) return true;
  const before = declared.find(
    ({ part, span, layer }) => part === site.part && span === site.span && layer === site.layer - 1,
  );
  return before?.judged.every(({ power }) => power === "unmoved") ?? false;
}

function sizeOf(estimate: Estimate): number {
  return estimate.ok ? estimate.value : Number.NEGATIVE_INFINITY;
}
