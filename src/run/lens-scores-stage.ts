/** Stage 08, lenses: what was read of the strings' own values, beside those of other strings and other states. Needs no model. */

import { writeJson } from "../base/files.js";
import {
  type BesideModel,
  type LensedSite,
  type LensedState,
  lensGain,
  type LensLine,
  type LensQuestion,
  type LensReadSite,
  type LensResults,
  lensSummary,
  LENS_VERSION,
  type PromptReading,
} from "../probe/lens-results.js";
import {
  LEAST_NATS,
  lensDifference,
  type LensedString,
  type LensScore,
  type LensSettings,
  scoreLens,
} from "../probe/lens-scores.js";
import { PROBE_SETTINGS } from "../probe/linear-probe-score.js";
import type { Estimate } from "../score/interval.js";
import { holmOver } from "../score/comparison/tests.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import { lensNames } from "../study/probe-schema.js";
import { statesOf } from "../study/states.js";
import type { BegunLine } from "./finished-lines.js";
import type { StageContext, StageWork } from "./open-models.js";
import { otherModelState, sameDepth } from "./probe-beside.js";
import { StringLabels, type QuestionToRead, wantedQuestions } from "./probe-labels.js";
import { probedStates } from "./probe-prompts.js";
import { type CapturedPrompt, CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";

export async function scoreLenses({ run, onProgress }: StageContext, { stage }: StageWork): Promise<void> {
  const { plan } = run;
  const probe = plan.probe as PlannedProbe;
  const { lenses = [] } = probe;
  const files = lenses.filter((one) => typeof one !== "string");
  const { confidence, bootstrapReplicates } = plan.score;
  const settings: LensSettings = {
    ...{ confidence, bootstrapReplicates, bootstrapSeed: plan.seed },
    permutations: PROBE_SETTINGS.permutations,
    leastNats: LEAST_NATS,
  };
  const lines = await readLines(run, "lens");
  const labels = await StringLabels.read(run);
  const read = new Map<string, ReadState>();
  for (const { name } of probedStates(plan)) {
    const captured = await CapturedStates.read(run, name);
    const own = lenses.filter((one) => typeof one === "string" || one.model === statesOf(plan).of(name).model);
    const state = ReadState.of(name, captured, lines, new Set(lensNames(own)));
    if (state) read.set(name, state);
  }
  // What a lens cannot say: two values as one, and a property of which the answer itself is known.
  const wanted = wantedQuestions(plan).filter(
    ({ label, predictor }) => label !== "both" && label !== "property_given_behavior" && read.has(predictor),
  );
  const questions: LensQuestion[] = [];
  for (const [at, question] of wanted.entries()) {
    onProgress(stage, at, wanted.length);
    const { model } = statesOf(plan).of(question.predictor);
    for (const lens of lensNames(lenses.filter((one) => typeof one === "string" || one.model === model)))
      questions.push(scoreQuestion(plan, question, lens, read, labels, settings));
  }
  const results: LensResults = {
    lensVersion: LENS_VERSION,
    settings,
    spanTokens: probe.tokens,
    states: [...read.values()].map(({ about: { state, end }, sites }) => ({
      state,
      end,
      tuned: sites.flatMap(({ site, tuned }) => (tuned === undefined ? [] : [{ site, ...tuned }])),
      ...(files.length === 0
        ? {}
        : { given: sites.flatMap(({ lens, site, given }) => (given === undefined ? [] : [{ lens, site, ...given }])) }),
    })),
    ...(files.length === 0 ? {} : { files }),
    unread: [...new Map(lines.flatMap((one) => (one.what === "unread" ? [[one.state, one.reason] as const] : [])))].map(
      ([state, reason]) => ({ state, reason }),
    ),
    questions,
  };
  await writeJson(run.file("lensScores"), results);
  onProgress(stage, wanted.length, wanted.length);
}

/** The lines of one state. */
class ReadState {
  private constructor(
    readonly about: LensedState,
    readonly captured: CapturedStates,
    readonly sites: readonly LensedSite[],
    /** Lenses that read its model. */
    readonly ofItsModel: ReadonlySet<string>,
    private readonly readings: ReadonlyMap<string, PromptReading>,
  ) {}

  /** @returns undefined where the end of its model is not known here */
  static of(
    state: string,
    captured: CapturedStates,
    lines: readonly (LensLine | BegunLine)[],
    ofItsModel: ReadonlySet<string>,
  ): ReadState | undefined {
    const about = lines.find((one): one is LensedState => one.what === "state" && one.state === state);
    if (!about) return undefined;
    const sites = lines.filter((one): one is LensedSite => one.what === "site" && one.state === state);
    const readings = new Map<string, PromptReading>();
    for (const { site, lens, readings: own } of sites) {
      for (const one of own) readings.set(JSON.stringify([lens, site, one.span, one.prompt]), one);
    }
    return new ReadState(about, captured, sites, ofItsModel, readings);
  }

  reading(lens: string, site: string, span: string, prompt: string): PromptReading | undefined {
    return this.readings.get(JSON.stringify([lens, site, span, prompt]));
  }

  values(group: string): readonly string[] {
    return this.about.groups[group]?.targets.map(({ name }) => name) ?? [];
  }
}

/** Held-out prompts of a question, each with the value that is its own. */
interface Rows {
  readonly prompts: readonly { readonly prompt: CapturedPrompt; readonly value: string; readonly given?: string }[];
  readonly leftOut: Readonly<Record<string, number>>;
}

function rowsOf({ captured, ...state }: ReadState, wanted: QuestionToRead, labels: StringLabels, group: string): Rows {
  const { task, prompt: kind, property, label } = wanted;
  const leftOut: Record<string, number> = {};
  const drop = (reason: string) => {
    leftOut[reason] = (leftOut[reason] ?? 0) + 1;
  };
  const readable = new Set(state.about.groups[group]?.targets.map(({ name }) => name));
  const prompts: { prompt: CapturedPrompt; value: string; given?: string }[] = [];
  for (const one of captured.prompts) {
    if (one.kind !== kind || one.task !== task || one.split !== "held_out") continue;
    if (kind === "hypothetical" && one.property !== property) continue;
    const found = labels.of({ ...wanted, label }, one.item);
    if ("reason" in found) drop(found.reason);
    else if (one.setAside !== undefined) drop("the engine crashed on the prompt");
    else if (!readable.has(found.label)) drop("its value begins with no token of its own");
    else
      prompts.push({ prompt: one, value: found.label, ...(found.given === undefined ? {} : { given: found.given }) });
  }
  return { prompts, leftOut };
}

function scoreQuestion(
  plan: Plan,
  wanted: QuestionToRead,
  lens: string,
  read: ReadonlyMap<string, ReadState>,
  labels: StringLabels,
  settings: LensSettings,
): LensQuestion {
  const { predictor, target, task, prompt, property, label } = wanted;
  const group = label === "property" ? `${task}/${property}` : task;
  const own = read.get(predictor) as ReadState;
  const rows = rowsOf(own, wanted, labels, group);
  const score = (state: ReadState, site: string, span: string): LensScore => {
    const values = state.values(group);
    const { prompts } = state === own ? rows : rowsOf(state, wanted, labels, group);
    const found = prompts.flatMap(({ prompt: one, value, given }): LensedString[] => {
      const reading = state.reading(lens, site, span, one.id);
      const valued = reading?.groups[group];
      if (!reading || !valued) return [];
      const { logprobs, ranks } = valued;
      const string = labels.clusters(task, one.item);
      const known = given === undefined ? {} : { given };
      return [{ string, own: values.indexOf(value), ...known, logprobs, ranks, entropyNats: reading.entropyNats }];
    });
    if (found.length < prompts.length) {
      const [first] = prompts.filter(({ prompt: { id } }) => !state.reading(lens, site, span, id));
      const why = first?.prompt.lacking[span] ?? mapReason(state, lens, site) ?? "it was not read";
      return { ok: false, reason: `${prompts.length - found.length} of ${prompts.length} prompts lack it: ${why}` };
    }
    return scoreLens(found, values.length, settings);
  };
  const { origin, isTrained } = statesOf(plan).of(predictor);
  const base = isTrained ? read.get(origin) : undefined;
  const other = otherModelState(plan, wanted, new Set(read.keys()));
  const beside = "state" in other ? read.get(other.state) : undefined;
  const { spans } = plan.probe as PlannedProbe;
  const wantedSpans = prompt === "hypothetical" ? spans.hypothetical : spans.objectLevel;
  const sites = wantedSpans.flatMap((span) =>
    own.sites
      .filter((one) => one.lens === lens)
      .map(({ site }) => {
        const whole = score(own, site, span);
        const [part = "", layer = "0"] = site.split(".");
        const plain: LensScore = base
          ? score(base, site, span)
          : { ok: false, reason: isTrained ? `${origin} was not looked into` : "it has no adapter of this study" };
        const there = beside && sameDepth(site, own.captured, beside.captured);
        const cross: LensScore =
          beside && there !== undefined
            ? score(beside, there, span)
            : { ok: false, reason: "reason" in other ? other.reason : "it has no such site" };
        const otherModel: BesideModel =
          beside && there !== undefined && "state" in other
            ? { ok: true, state: other.state, site: there, gainNats: lensGain(lensSummary(cross)) }
            : { ok: false, reason: cross.ok ? "" : cross.reason };
        const found = {
          site,
          part,
          layer: Number(layer),
          span,
          isDeclared: own.captured.declared.has(site),
          score: lensSummary(whole),
          withoutAdapter: lensGain(lensSummary(plain)),
          beyondWithoutAdapter: lensDifference(whole, plain, settings),
          otherModel,
          beyondOtherModel: lensDifference(whole, cross, settings) satisfies Estimate,
        };
        return found;
      }),
  );
  const declared = sites.filter(({ isDeclared }) => isDeclared);
  const holm = holmOver(declared.map(({ score: one }) => (one.ok ? one.test : one)));
  const variant = rows.prompts[0]?.prompt.variant;
  return {
    ...{ predictor, target, task, prompt, label, lens },
    ...(property === undefined ? {} : { property }),
    ...(variant === undefined ? {} : { variant }),
    heldOutStrings: new Set(rows.prompts.map(({ prompt: { item } }) => labels.clusters(task, item))).size,
    leftOut: rows.leftOut,
    values: own.values(group).length,
    sites: sites.map((site): LensReadSite => {
      const at = declared.indexOf(site);
      return { ...site, holm: holm[at] ?? { ok: false, reason: "it was not declared: it is in no family of tests" } };
    }),
  };
}

function mapReason({ sites, about, ofItsModel }: ReadState, lens: string, site: string): string | undefined {
  const { tuned, given } = sites.find((one) => one.lens === lens && one.site === site) ?? {};
  const map = tuned ?? given;
  if (map) return "ok" in map ? map.reason : undefined;
  return ofItsModel.has(lens) ? undefined : `the lens ${lens} is of another model than ${about.state}`;
}
