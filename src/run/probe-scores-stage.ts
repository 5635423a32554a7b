/** Stage 08, probes: what can be read off the captured states, split by string as the study is, beside what it must beat. Needs no model. */

import { rm } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { z } from "zod";
import { writeJson } from "../base/files.js";
import { InwardError } from "../errors.js";
import {
  bagOfTokens,
  compareProbes,
  controlTask,
  holmOverSites,
  PROBE_SETTINGS,
  type ProbeExample,
  type ProbeScore,
  type ProbeSettings,
  scoreProbe,
  withShuffledLabels,
} from "../probe/linear-probe-score.js";
import {
  type MaybeDifference,
  type ProbedQuestion,
  type ProbedSite,
  type ProbeResults,
  PROBES_VERSION,
  probeSummary,
} from "../probe/probe-results.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import { FinishedLines } from "./finished-lines.js";
import type { StageContext, StageWork } from "./open-models.js";
import { otherModelState, sameDepth } from "./probe-beside.js";
import { requireAskedPrompts, StringLabels, type QuestionToRead, wantedQuestions } from "./probe-labels.js";
import { probedStates, randomTwin, randomTwins } from "./probe-prompts.js";
import { type CapturedPrompt, CapturedStates } from "./probe-states.js";

/** Fewer penalties than a probe alone has: a study has hundreds of probes. */
export const PENALTIES = [0.01, 1, 100];
const EMBEDDING = "residual_before.0";

export async function scoreProbes(context: StageContext, { stage, reads }: StageWork): Promise<void> {
  const { run, signal, onProgress } = context;
  const { plan } = run;
  const probe = plan.probe as PlannedProbe;
  const settings: ProbeSettings = {
    ...PROBE_SETTINGS,
    cs: PENALTIES,
    confidence: plan.score.confidence,
    bootstrapReplicates: plan.score.bootstrapReplicates,
    bootstrapSeed: plan.seed,
  };
  const labels = await StringLabels.read(run);
  const captured = new Map<string, CapturedStates>();
  for (const { name } of probedStates(plan)) captured.set(name, await CapturedStates.read(run, name));
  await requireAskedPrompts(run, captured);
  const twins = new Map<string, CapturedStates | { readonly missing: string }>();
  for (const { model } of randomTwins(plan)) {
    twins.set(model, await CapturedStates.readIfThere(run, randomTwin(model)));
  }
  const wanted = wantedQuestions(plan);
  const madeFrom = {
    probesVersion: PROBES_VERSION,
    plan,
    reads: Object.fromEntries([...reads].map((file) => [file, run.outputHash(file)])),
  };
  const fits = await ProbeFits.open(run.file("probeFits"), madeFrom, signal);
  const questions: ProbedQuestion[] = [];
  try {
    for (const [at, question] of wanted.entries()) {
      onProgress(stage, at, wanted.length);
      questions.push(await scoreQuestion(plan, question, { captured, twins, labels, settings, fits }));
    }
  } finally {
    await fits.close();
  }
  const results: ProbeResults = { probesVersion: PROBES_VERSION, settings, spanTokens: probe.tokens, questions };
  await writeJson(run.file("probes"), results);
  await rm(run.file("probeFits"), { force: true });
  onProgress(stage, wanted.length, wanted.length);
}

const fitSchema = z.looseObject({ of: z.string(), score: z.looseObject({ ok: z.boolean() }) });

interface FittedLine {
  readonly of: string;
  readonly score: ProbeScore;
}

/** Scores in the order in which they are asked for; those that an earlier process has finished are taken from its file. */
class ProbeFits {
  private next = 0;

  private constructor(
    private readonly lines: FinishedLines<FittedLine>,
    private readonly path: string,
    private readonly signal: AbortSignal | undefined,
  ) {}

  static async open(path: string, madeFrom: unknown, signal: AbortSignal | undefined): Promise<ProbeFits> {
    return new ProbeFits(await FinishedLines.open<FittedLine>(path, madeFrom, fitSchema), path, signal);
  }

  /** @param of which one, for the file @throws INTERRUPTED, STORE_CORRUPT */
  async scored(of: string, score: () => ProbeScore): Promise<ProbeScore> {
    const before = this.lines.before[this.next++];
    if (before) {
      if (before.of === of) return before.score;
      throw new InwardError(
        "STORE_CORRUPT",
        `${this.path}, line ${this.next + 1}: it is of ${before.of}, not of ${of}.`,
      );
    }
    await setImmediate();
    if (this.signal?.aborted)
      throw new InwardError("INTERRUPTED", "Interrupted while states were read; the files of before are kept.");
    const made = score();
    await this.lines.append({ of, score: made });
    return made;
  }

  close(): Promise<void> {
    return this.lines.close();
  }
}

/** Probes that are fitted where all is known, each with its penalty chosen. @param states with their sites, where those are known */
export function probeFits(plan: Plan, states: readonly { readonly state: string; readonly sites?: number }[]): number {
  const sitesOf = new Map(states.map(({ state, sites = 0 }) => [state, sites]));
  const { spans } = plan.probe as PlannedProbe;
  return wantedQuestions(plan).reduce((sum, { predictor, target, prompt }) => {
    const { isTrained, origin, model } = statesOf(plan).of(predictor);
    const isThere = (state: string) => Number(sitesOf.has(state));
    const other = otherModelState(plan, { predictor, target }, new Set(probedStates(plan).map(({ name }) => name)));
    // The probe, shuffled labels, the control task; without its adapter; with random weights; of another model.
    const each =
      3 +
      (isTrained ? isThere(origin) : 0) +
      isThere(randomTwin(model)) +
      ("state" in other ? isThere(other.state) : 0);
    const places = (prompt === "hypothetical" ? spans.hypothetical : spans.objectLevel).length;
    const sites = sitesOf.get(predictor);
    // The embedding is one more.
    return sum + 1 + (sites === undefined ? 0 : each * places * (sites + 1));
  }, 0);
}

// One question: all its sites.

interface Work {
  readonly captured: ReadonlyMap<string, CapturedStates>;
  /** By model. */
  readonly twins: ReadonlyMap<string, CapturedStates | { readonly missing: string }>;
  readonly labels: StringLabels;
  readonly settings: ProbeSettings;
  readonly fits: ProbeFits;
}

async function scoreQuestion(plan: Plan, wanted: QuestionToRead, work: Work): Promise<ProbedQuestion> {
  const { captured, labels, settings, fits } = work;
  const { predictor, task, prompt, property } = wanted;
  const own = captured.get(predictor) as CapturedStates;
  const leftOut: Record<string, number> = {};
  const rows: { prompt: CapturedPrompt; example: ProbeExample }[] = [];
  for (const one of own.prompts) {
    if (one.kind !== prompt || one.task !== task) continue;
    if (prompt === "hypothetical" && one.property !== property) continue;
    const found =
      one.setAside === undefined ? labels.of(wanted, one.item) : { reason: "the engine crashed on the prompt" };
    if ("reason" in found) leftOut[found.reason] = (leftOut[found.reason] ?? 0) + 1;
    else rows.push({ prompt: one, example: { string: labels.clusters(task, one.item), split: one.split, ...found } });
  }
  const prompts = rows.map((one) => one.prompt);
  const examples = rows.map(({ example }) => example);
  const stringsOf = (split: string) =>
    new Set(examples.filter((one) => one.split === split).map((one) => one.string)).size;
  const name = (what: string) => JSON.stringify([...Object.values(wanted), what]);
  const scored = (what: string, score: () => ProbeScore): Promise<ProbeScore> =>
    fits.scored(name(what), () => (examples.length === 0 ? { ok: false, reason: "no string has a label" } : score()));
  const shuffled = examples.length === 0 ? [] : shuffledLabels(examples, plan.seed);
  const key = keysOf(prompts);
  const control = examples.length === 0 ? undefined : controlTask(examples, key, plan.seed);
  const tokens = await scored("tokens", () =>
    scoreProbe(
      bagOfTokens(
        prompts.map(({ tokenIds }) => tokenIds),
        examples,
      ),
      examples,
      settings,
    ),
  );
  const beside = besideStates(plan, wanted, work);
  const sites: (Omit<ProbedSite, "holm"> & { readonly whole: ProbeScore })[] = [];
  const probe = plan.probe as PlannedProbe;
  const spans = prompt === "hypothetical" ? probe.spans.hypothetical : probe.spans.objectLevel;
  const read = own.sites.filter(({ name: site }) => site === EMBEDDING || own.declared.has(site));
  for (const span of spans) {
    const lacking = prompts.filter((one) => one.spans[span] === undefined);
    const lacks =
      lacking.length === 0
        ? undefined
        : `${lacking.length} of ${prompts.length} prompts lack the span: ${lacking[0]?.lacking[span] ?? "it has no tokens"}`;
    let embedding: ProbeScore = { ok: false, reason: "the embedding was not scored" };
    for (const { name: site } of read) {
      const score = (what: string, states: BesideStates, some: readonly ProbeExample[], at = site) =>
        scored(`${what} ${site} ${span}`, () => {
          if (lacks !== undefined) return { ok: false, reason: lacks };
          if ("reason" in states) return { ok: false, reason: states.reason };
          const there = states === own ? prompts : states.alike(prompts, span);
          if ("reason" in there) return { ok: false, reason: there.reason };
          return scoreProbe(states.matrix(there, at, span), some, settings);
        });
      const whole = await score("probe", own, examples);
      const isEmbedding = site === EMBEDDING;
      if (isEmbedding) embedding = whole;
      const controlled = control ? await score("control", own, control.examples) : whole;
      const without = await score("without adapter", beside.base, examples);
      const random = await score("random weights", beside.random, examples);
      const at = "reason" in beside.other ? undefined : sameDepth(site, own, beside.other);
      const noSite = { reason: `${beside.otherName} has no such site` };
      const cross = await score(
        "other model",
        at === undefined && !("reason" in beside.other) ? noSite : beside.other,
        examples,
        at,
      );
      const [part = "", layer = "0"] = site.split(".");
      sites.push({
        site,
        part,
        layer: Number(layer),
        span,
        isEmbedding,
        whole,
        score: probeSummary(whole),
        ...(whole.ok
          ? { rightOf: Object.fromEntries(whole.strings.map(({ string, right, rows }) => [string, right / rows])) }
          : {}),
        shuffled: probeSummary(
          typeof shuffled === "string" ? { ok: false, reason: shuffled } : await score("shuffled", own, shuffled),
        ),
        control: probeSummary(controlled),
        controlSharedKeys: control?.sharedKeys ?? 0,
        selectivity: probeDifference(whole, controlled, settings),
        beyondTokens: probeDifference(whole, tokens, settings),
        beyondEmbedding: isEmbedding
          ? { ok: false, reason: "it is the embedding" }
          : probeDifference(whole, embedding, settings),
        withoutAdapter: probeSummary(without),
        beyondWithoutAdapter: probeDifference(whole, without, settings),
        randomWeights: probeSummary(random),
        beyondRandomWeights: probeDifference(whole, random, settings),
        otherModel:
          at !== undefined && beside.otherName !== undefined
            ? { ok: true, state: beside.otherName, site: at, score: probeSummary(cross) }
            : { ok: false, reason: cross.ok ? "" : cross.reason },
        beyondOtherModel: probeDifference(whole, cross, settings),
      });
    }
  }
  const declared = sites.filter(({ isEmbedding }) => !isEmbedding);
  const holm = holmOverSites(declared.map(({ whole }) => whole));
  const variant = prompts[0]?.variant;
  return {
    ...wanted,
    ...(variant === undefined ? {} : { variant }),
    trainStrings: stringsOf("train"),
    heldOutStrings: stringsOf("held_out"),
    leftOut,
    tokens: probeSummary(tokens),
    sites: sites.map(({ whole: _, ...site }) => {
      const at = declared.findIndex((one) => one.site === site.site && one.span === site.span);
      return { ...site, holm: holm[at] ?? { ok: false, reason: "the embedding is in no family of tests" } };
    }),
  };
}

/** States, or why there are none. */
type BesideStates = CapturedStates | { readonly reason: string };

function besideStates(plan: Plan, wanted: QuestionToRead, { captured, twins }: Work) {
  const { origin, isTrained, model } = statesOf(plan).of(wanted.predictor);
  const base: BesideStates = isTrained
    ? (captured.get(origin) ?? { reason: `no prediction of the plan is by ${origin}, so its states were not taken` })
    : { reason: "it has no adapter of this study" };
  const twin = twins.get(model);
  const random: BesideStates =
    twin === undefined
      ? { reason: "the study wants none (probe.randomWeights)" }
      : "missing" in twin
        ? { reason: twin.missing }
        : twin;
  const found = otherModelState(plan, wanted, new Set(captured.keys()));
  const otherName = "state" in found ? found.state : undefined;
  const other: BesideStates = "state" in found ? (captured.get(found.state) as CapturedStates) : found;
  return { base, random, other, otherName };
}

/** What the control task gives labels to: the last token of what differs between the prompts, mostly of the string. */
function keysOf(prompts: readonly CapturedPrompt[]): string[] {
  const [first] = prompts;
  if (!first) return [];
  const all = prompts.map(({ tokenIds }) => tokenIds);
  // Prompts of one kind end alike: from the end, the first token that is not the same in all.
  const shortest = Math.min(...all.map(({ length }) => length));
  let back = 1;
  while (back < shortest && new Set(all.map((ids) => ids.at(-back))).size === 1) back++;
  return all.map((ids) => String(ids.at(-back)));
}

/** Or why there are none. */
function shuffledLabels(examples: readonly ProbeExample[], seed: number): ProbeExample[] | string {
  try {
    return withShuffledLabels(examples, seed);
  } catch (error) {
    if (error instanceof InwardError && error.code === "PROBE_INVALID") return error.message;
    throw error;
  }
}

function probeDifference(one: ProbeScore, other: ProbeScore, settings: ProbeSettings): MaybeDifference {
  if (!one.ok) return one;
  if (!other.ok) return other;
  return { ok: true, ...compareProbes(one, other, settings) };
}
