/**
 * 08-injection.json: whether a model can tell that a vector was added to its states, which, where and how strong; by concept, beside
 * what any vector does and what the same vector does to questions about something else.
 */

import type { InjectedRow } from "../../ask/injected-answers.js";
import { FEWEST_CONTROLS, type InjectionAbility, type PlannedInjection } from "../../study/injection-schema.js";
import type { TestResult } from "../comparison/comparison.js";
import { type AdjustedP, holmOver, signFlipTest } from "../comparison/tests.js";
import { type Estimate, estimate } from "../interval.js";
import { drawResamples, type ResamplingSettings } from "../resampling.js";
import { studentCumulative } from "../probability.js";
import { DIFFERENCE, PROPORTION } from "../tally.js";

/** Version 1 had one control question of an ability. */
export const INJECTION_VERSION = 2;

/**
 * `shown`: beyond every control at one setting or more · `shift_towards_yes` (notice alone): yes becomes likelier, and a random vector, or
 * an unrelated question, does as much · `any_vector` (notice alone): beyond unrelated questions, and a random vector is noticed as well ·
 * `cannot_tell`.
 */
export type InjectionOutcome = "shown" | "shift_towards_yes" | "any_vector" | "cannot_tell";

export interface InjectionResults {
  readonly injectionVersion: typeof INJECTION_VERSION;
  readonly confidence: number;
  readonly results: readonly AbilityResult[];
}

export interface AbilityResult {
  readonly state: string;
  readonly ability: InjectionAbility;
  readonly outcome: InjectionOutcome;
  /** Over which p-values are adjusted. */
  readonly settings: readonly InjectionSetting[];
}

export interface InjectionSetting {
  readonly site: string;
  /** Absent for `rate`, which is over all of them. */
  readonly strength?: number;
  /** Concepts that are counted, and those that lack an answer. */
  readonly concepts: number;
  readonly leftOut: number;
  /** Mean over concepts, nats (of `rate`, nats a level for each unit of strength); 0 where the injection does nothing. */
  readonly effect: Tested;
  /** The effect less that of each control. All of them must be above LEAST_INJECTION_EFFECT. */
  readonly beyond: readonly (Tested & { readonly control: string })[];
  /** Of all but `notice`: whether the question stands out among its controls further than one more of their kind would by chance. */
  readonly among?: AmongQuestions;
  /** The greatest of all p-values: whoever can tell is beyond all controls, and stands out among them. */
  readonly p: TestResult;
  readonly adjusted: AdjustedP;
  readonly found: boolean;
  /** Share of injections of which the likeliest answer, held against the answers without one, is right; and with random vectors. */
  readonly right?: { readonly concept: Estimate; readonly chance: number; readonly random?: Estimate };
  /** Told beside, and decide nothing. */
  readonly beside: Readonly<Record<string, Estimate>>;
}

/** Questions as draws of one kind, whose effects lie about their mean as Student's t has it. */
export interface AmongQuestions {
  /** Control questions, and their mean effect and its scatter (the standard deviation of one), nats. */
  readonly controls: number;
  readonly mean: number;
  readonly deviation: number;
  /** One-sided. */
  readonly p: number;
}

interface Tested {
  readonly estimate: Estimate;
  readonly test: TestResult;
}

/** @param rows of 07-injections.jsonl */
export function injectionResults(
  plan: PlannedInjection,
  rows: readonly InjectedRow[],
  settings: ResamplingSettings,
): InjectionResults {
  const states = [...new Set(rows.map(({ state }) => state))];
  const results = states.flatMap((state) => {
    const answers = new Answers(rows.filter((row) => row.state === state));
    return plan.abilities.map((ability): AbilityResult => {
      const measured = MEASURES[ability](plan, answers);
      const scored = measured.map((one) => scoredSetting(one, settings));
      const adjusted = holmOver(scored.map(({ p }) => p));
      const judged = scored.map((one, at): InjectionSetting => {
        const p = adjusted[at] as AdjustedP;
        const isBeyond = [one.effect, ...one.beyond].every(isAbove);
        return { ...one, adjusted: p, found: isBeyond && p.ok && p.p <= 1 - settings.confidence };
      });
      return { state, ability, outcome: outcomeOf(ability, judged, 1 - settings.confidence), settings: judged };
    });
  });
  return { injectionVersion: INJECTION_VERSION, confidence: settings.confidence, results };
}

/** Nats, as everywhere inside: what is the same rounding in all concepts would be as sure as any effect. */
export const LEAST_INJECTION_EFFECT = 0.01;

function isAbove({ estimate: it }: Tested): boolean {
  return it.ok && it.low > LEAST_INJECTION_EFFECT;
}

function outcomeOf(ability: InjectionAbility, settings: readonly InjectionSetting[], alpha: number): InjectionOutcome {
  if (settings.some(({ found }) => found)) return "shown";
  if (ability !== "notice") return "cannot_tell";
  const alone = holmOver(settings.map(({ effect }) => effect.test));
  const shifted = settings.filter(({ effect }, at) => {
    const p = alone[at] as AdjustedP;
    return isAbove(effect) && p.ok && p.p <= alpha;
  });
  if (shifted.length === 0) return "cannot_tell";
  const isOfAll = ({ beyond }: InjectionSetting) =>
    beyond.filter(({ control }) => /^denied_\d+$/.test(control)).every(isAbove);
  return shifted.some(isOfAll) ? "any_vector" : "shift_towards_yes";
}

/** Of one setting: by concept, undefined where an answer is missing. */
interface Measured {
  readonly site: string;
  readonly strength?: number;
  readonly concepts: readonly ConceptEffect[];
}

interface ConceptEffect {
  readonly effect: number | undefined;
  /** The same of each control: what the effect has to be beyond. */
  readonly controls: Readonly<Record<string, number | undefined>>;
  /** Right answers among those asked. */
  readonly right?: { readonly of: number; readonly count: number; readonly chance: number };
  readonly rightAtRandom?: { readonly of: number; readonly count: number };
  readonly beside: Readonly<Record<string, number | undefined>>;
}

function scoredSetting(
  { site, strength, concepts }: Measured,
  settings: ResamplingSettings,
): Omit<InjectionSetting, "adjusted" | "found"> {
  const isWhole = ({ effect, controls }: ConceptEffect) =>
    effect !== undefined && Object.values(controls).every((one) => one !== undefined);
  const whole = concepts.filter(isWhole);
  const names = Object.keys(concepts[0]?.controls ?? {});
  const tested = (values: readonly number[]): Tested => ({
    estimate: conceptMean(values, settings),
    test: signFlipTest(values, { draws: settings.bootstrapReplicates, seed: settings.bootstrapSeed }),
  });
  const effects = whole.map(({ effect }) => effect as number);
  const effect = tested(effects);
  const beyond = names.map((control) => ({
    control,
    ...tested(whole.map((one) => (one.effect as number) - (one.controls[control] as number))),
  }));
  const among = amongQuestions(
    average(effects),
    names
      .filter((control) => control.startsWith("control_"))
      .map((control) => average(whole.map(({ controls }) => controls[control] as number))),
  );
  const tests: TestResult[] = [effect, ...beyond].map(({ test }) => test);
  if (among) tests.push({ ok: true, p: among.p, informativeStrings: effects.length, method: "exact" });
  const besides = [...new Set(concepts.flatMap(({ beside }) => Object.keys(beside)))];
  const shares = (of: (one: ConceptEffect) => { readonly of: number; readonly count: number } | undefined) =>
    conceptMean(
      concepts.flatMap((one) => {
        const counted = of(one);
        return counted === undefined || counted.of === 0 ? [] : [counted.count / counted.of];
      }),
      settings,
      true,
    );
  const { chance } = concepts.find(({ right }) => right !== undefined)?.right ?? {};
  const random = concepts.some(({ rightAtRandom }) => rightAtRandom !== undefined)
    ? { random: shares(({ rightAtRandom }) => rightAtRandom) }
    : {};
  return {
    site,
    ...(strength === undefined ? {} : { strength }),
    concepts: whole.length,
    leftOut: concepts.length - whole.length,
    effect,
    beyond,
    ...(among ? { among } : {}),
    p: greatest(tests),
    ...(chance === undefined ? {} : { right: { concept: shares(({ right }) => right), chance, ...random } }),
    beside: Object.fromEntries(
      besides.map((name) => [
        name,
        conceptMean(
          concepts.flatMap(({ beside }) => (beside[name] === undefined ? [] : [beside[name]])),
          settings,
        ),
      ]),
    ),
  };
}

/** undefined where there are too few, or nothing was counted. */
function amongQuestions(own: number, controls: readonly number[]): AmongQuestions | undefined {
  const many = controls.length;
  if (many < FEWEST_CONTROLS || !Number.isFinite(own)) return undefined;
  const middle = average(controls);
  const deviation = Math.sqrt(controls.reduce((sum, one) => sum + (one - middle) ** 2, 0) / (many - 1));
  // One more question of the same kind, beside a mean of so many.
  const scale = deviation * Math.sqrt(1 + 1 / many);
  const p = scale > 0 ? studentCumulative((middle - own) / scale, many - 1) : own > middle ? 0 : 1;
  return { controls: many, mean: middle, deviation, p: Math.max(p, 1e-300) };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}

/** A yes wants all of them, so that its p-value is the worst one's. */
function greatest(tests: readonly TestResult[]): TestResult {
  let worst: TestResult | undefined;
  for (const test of tests) {
    if (!test.ok) return test;
    if (worst === undefined || (worst.ok && test.p > worst.p)) worst = test;
  }
  return worst ?? { ok: false, reason: "nothing was measured" };
}

/** Concepts are drawn with replacement. */
function conceptMean(values: readonly number[], settings: ResamplingSettings, isShare = false): Estimate {
  const clusters = values.length;
  const mean = (sum: number, count: number) => (count === 0 ? undefined : sum / count);
  const { bootstrapReplicates, bootstrapSeed, confidence } = settings;
  const { draws, replicates } = drawResamples("injection", clusters, bootstrapReplicates, bootstrapSeed);
  const drawn = Array.from({ length: replicates }, (_, replicate) => {
    const sum = values.reduce((all, value, at) => all + value * (draws[replicate * clusters + at] as number), 0);
    return mean(sum, clusters);
  });
  const value = mean(
    values.reduce((all, one) => all + one, 0),
    clusters,
  );
  const range = isShare ? PROPORTION : DIFFERENCE;
  // Nats have no range: what is the same for all concepts is so in every draw, and the sign-flip test says how much that tells.
  const unmoved = isShare ? "bound" : "as_drawn";
  const undefinedBecause = "no concept has all answers";
  return estimate({ value, n: clusters, clusters, tasks: 1, range, undefinedBecause }, drawn, { confidence, unmoved });
}

// What was answered.

type Where = InjectedRow["where"];

class Answers {
  /** As they were written to, in the order of the rows. */
  readonly sites: readonly string[];
  private readonly rows = new Map<string, Readonly<Record<string, number>>>();

  constructor(rows: readonly InjectedRow[]) {
    this.sites = [...new Set(rows.flatMap(({ site }) => (site === undefined ? [] : [site])))];
    for (const { vector, concept, site, strength, draw, where, question, answers } of rows) {
      if (answers) this.rows.set(keyOf({ vector, concept, site, strength, draw, where, question }), answers);
    }
  }

  none(question: string): Readonly<Record<string, number>> | undefined {
    return this.rows.get(keyOf({ vector: "none", where: "nowhere", question }));
  }

  with(at: {
    readonly concept: string;
    readonly site: string;
    readonly strength: number;
    readonly draw?: number;
    readonly where: Where;
    readonly question: string;
  }): Readonly<Record<string, number>> | undefined {
    return this.rows.get(keyOf({ vector: at.draw === undefined ? "concept" : "random", ...at }));
  }
}

function keyOf(at: Partial<InjectedRow>): string {
  const { vector, concept, site, strength, draw, where, question } = at;
  return JSON.stringify([vector, concept, site, strength, draw, where, question]);
}

/** All concepts at each site and strength. */
function settingsOf(
  plan: PlannedInjection,
  { sites }: Answers,
  of: (at: { readonly concept: string; readonly site: string; readonly strength: number }) => ConceptEffect,
): Measured[] {
  return sites.flatMap((site) =>
    plan.strengths.map((strength) => ({
      site,
      strength,
      concepts: plan.concepts.map((concept) => of({ concept, site, strength })),
    })),
  );
}

const draws = ({ randomVectors }: PlannedInjection) => Array.from({ length: randomVectors }, (_, draw) => draw + 1);

/** undefined where one is. */
function mean(values: readonly (number | undefined)[]): number | undefined {
  const known = values.flatMap((one) => (one === undefined ? [] : [one]));
  if (known.length < values.length || known.length === 0) return undefined;
  return known.reduce((sum, one) => sum + one, 0) / known.length;
}

function less(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one - other;
}

type MaybeAnswers = Readonly<Record<string, number>> | undefined;
const yesLead = (answers: MaybeAnswers) => less(answers?.yes, answers?.no);

const MEASURES: Readonly<Record<InjectionAbility, (plan: PlannedInjection, answers: Answers) => Measured[]>> = {
  /**
   * Nats by which the lead of yes over no grows. Beyond random vectors; beyond each unrelated question that is denied; and beyond these
   * by more than random vectors are, so that neither a question that any vector moves nor a vector that moves any question counts.
   */
  notice: (plan, answers) =>
    settingsOf(plan, answers, (at) => {
      const shift = (question: string, draw?: number) =>
        less(
          yesLead(answers.with({ ...at, where: "all", question, ...(draw === undefined ? {} : { draw }) })),
          yesLead(answers.none(question)),
        );
      const atRandom = (question: string) => mean(draws(plan).map((draw) => shift(question, draw)));
      const [own, random] = [shift("notice"), atRandom("notice")];
      const denied = plan.controls.denied.map((_, number) => `denied_${number + 1}`);
      const affirmed = plan.controls.affirmed.map((_, number) => shift(`affirmed_${number + 1}`));
      const controls: Record<string, number | undefined> = { random };
      for (const name of denied) {
        const [unrelated, unrelatedAtRandom] = [shift(name), atRandom(name)];
        controls[name] = unrelated;
        // own − random − (unrelated − unrelatedAtRandom), written as own less what has to be exceeded.
        const beyondRandom = less(unrelated, unrelatedAtRandom);
        controls[`${name}_and_random`] =
          random === undefined || beyondRandom === undefined ? undefined : random + beyondRandom;
      }
      return {
        effect: own,
        controls,
        beside: {
          random,
          denied: mean(denied.map((name) => shift(name))),
          denied_at_random: mean(denied.map(atRandom)),
          affirmed: mean(affirmed),
        },
      };
    }),
  /** Nats by which the concept's word is likelier, held against the concepts' mean, than under the other concepts' vectors. */
  name: (plan, answers) =>
    settingsOf(plan, answers, (at) => {
      const gain = (question: string) =>
        ownGain(plan.concepts, at.concept, (concept) => answers.with({ ...at, concept, where: "all", question }));
      const said = answers.with({ ...at, where: "all", question: "name" });
      return {
        effect: gain("name"),
        controls: controlsOf(plan, "name", gain),
        right: rightAmong([{ said, before: answers.none("name"), right: at.concept }], plan.concepts),
        beside: {},
      };
    }),
  /** Nats by which the number of the sentence is likelier, held against the numbers' mean, than under injections into the others. */
  locate: (plan, answers) =>
    settingsOf(plan, answers, (at) => {
      const places = plan.sentences.map((_, number) => String(number + 1));
      const asked = (question: string, place: string, draw?: number) =>
        answers.with({ ...at, where: Number(place), question, ...(draw === undefined ? {} : { draw }) });
      const gain = (question: string, draw?: number) =>
        mean(places.map((place) => ownGain(places, place, (other) => asked(question, other, draw))));
      const said = (draw?: number) =>
        places.map((place) => ({ said: asked("locate", place, draw), before: answers.none("locate"), right: place }));
      const atRandom = draws(plan).map((draw) => gain("locate", draw));
      return {
        effect: gain("locate"),
        controls: controlsOf(plan, "locate", gain),
        right: rightAmong(said(), places),
        rightAtRandom: rightAmong(draws(plan).flatMap(said), places),
        beside: { random: mean(atRandom) },
      };
    }),
  /** Nats a level by which higher ratings grow likelier than lower ones, for each unit of strength. */
  rate: (plan, answers) =>
    answers.sites.map((site) => ({
      site,
      concepts: plan.concepts.map((concept): ConceptEffect => {
        const slope = (question: string, draw?: number) =>
          slopeOf([
            [0, rating(answers.none(question))],
            ...plan.strengths.map((strength): [number, number | undefined] => [
              strength,
              rating(
                answers.with({
                  concept,
                  site,
                  strength,
                  where: "all",
                  question,
                  ...(draw === undefined ? {} : { draw }),
                }),
              ),
            ]),
          ]);
        const random = mean(draws(plan).map((draw) => slope("rate", draw)));
        return {
          effect: slope("rate"),
          controls: controlsOf(plan, "rate", slope),
          beside: { random },
        };
      }),
    })),
};

function controlsOf(
  { controls }: PlannedInjection,
  ability: Exclude<InjectionAbility, "notice">,
  effect: (question: string) => number | undefined,
): Record<string, number | undefined> {
  const names = controls[ability].map((_, at) => `control_${ability}_${at + 1}`);
  return Object.fromEntries(names.map((name) => [name, effect(name)]));
}

export const RATINGS = ["1", "2", "3", "4", "5"] as const;

/**
 * ln P of each of the given answers less their mean: linear in the logits, so that the same push is as long whatever was likely before, in
 * a question and in its control.
 */
function centred(answers: MaybeAnswers, among: readonly string[]): Readonly<Record<string, number>> | undefined {
  const logs = among.map((one) => answers?.[one]);
  const middle = mean(logs);
  if (middle === undefined) return undefined;
  return Object.fromEntries(among.map((one, at) => [one, (logs[at] as number) - middle]));
}

/** How much likelier an answer is under its own injection than under the others', nats. */
function ownGain(all: readonly string[], own: string, under: (one: string) => MaybeAnswers): number | undefined {
  const of = (one: string) => centred(under(one), all)?.[own];
  return less(of(own), mean(all.filter((one) => one !== own).map(of)));
}

/** Right is what has grown most over what it is without an injection: what the text alone invites cancels. */
function rightAmong(
  asked: readonly { readonly said: MaybeAnswers; readonly before: MaybeAnswers; readonly right: string }[],
  among: readonly string[],
): { readonly of: number; readonly count: number; readonly chance: number } {
  let [of, count] = [0, 0];
  for (const { said, before, right } of asked) {
    const [now, then] = [centred(said, among), centred(before, among)];
    if (now === undefined || then === undefined) continue;
    const grown = among.map((one) => (now[one] as number) - (then[one] as number));
    const most = Math.max(...grown);
    const tied = among.filter((_, at) => grown[at] === most);
    of++;
    // Of those that have grown alike one is as good as another.
    if (tied.includes(right)) count += 1 / tied.length;
  }
  return { of, count, chance: 1 / among.length };
}

/** By how many nats ln P grows from one rating to the next: least squares over the five. */
function rating(answers: MaybeAnswers): number | undefined {
  return slopeOf(RATINGS.map((one): [number, number | undefined] => [Number(one), answers?.[one]]));
}

/** Least squares; undefined where a point is. */
function slopeOf(points: readonly (readonly [number, number | undefined])[]): number | undefined {
  const [x, y] = [mean(points.map(([one]) => one)), mean(points.map(([, one]) => one))];
  if (x === undefined || y === undefined) return undefined;
  const squares = points.reduce((sum, [one]) => sum + (one - x) ** 2, 0);
  if (squares === 0) return undefined;
  return points.reduce((sum, [one, value]) => sum + (one - x) * ((value as number) - y), 0) / squares;
}
