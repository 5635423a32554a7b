/** Stage 08, probes: what can be read off the captured states, split by string as the study is, beside what it must beat. Needs no model. */

import { setImmediate } from "node:timers/promises";
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
import { propertyNamed } from "../properties/all-properties.js";
import { countedReply } from "../properties/option-answers.js";
import type { Extraction } from "../properties/property.js";
import { extractBehavior, replyText } from "../properties/reading.js";
import type { Plan, PlannedProbe } from "../study/plan.js";
import type { ProbeLabel } from "../study/probe-schema.js";
import { statesOf } from "../study/states.js";
import { askedItems, readAnswers, readBehaviors } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import type { StageContext, StageWork } from "./open-models.js";
import { probedStates } from "./probe-prompts.js";
import { type CapturedPrompt, CapturedStates } from "./probe-states.js";
import { readLines } from "./records.js";
import { clusterOf } from "./score-stages.js";

/** Fewer penalties than a probe alone has: a study has hundreds of probes. */
const PENALTIES = [0.01, 1, 100];
const EMBEDDING = "residual_before.0";
const NO_RANDOM_WEIGHTS =
  "not made: a model of this shape with random weights would be written and asked anew for every study";

export async function scoreProbes(context: StageContext, { stage }: StageWork): Promise<void> {
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
  const wanted = wantedQuestions(plan);
  const questions: ProbedQuestion[] = [];
  for (const [at, question] of wanted.entries()) {
    onProgress(stage, at, wanted.length);
    questions.push(await scoreQuestion(plan, question, captured, labels, { settings, signal }));
  }
  const results: ProbeResults = { probesVersion: PROBES_VERSION, settings, spanTokens: probe.tokens, questions };
  await writeJson(run.file("probes"), results);
  onProgress(stage, wanted.length, wanted.length);
}

// What is read off what.

type Wanted = Pick<ProbedQuestion, "predictor" | "target" | "task" | "prompt" | "property" | "label">;

function wantedQuestions(plan: Plan): Wanted[] {
  const probe = plan.probe as PlannedProbe;
  const states = new Set(probedStates(plan).map(({ name }) => name));
  const kinds = (["hypothetical", "object_level"] as const).filter(
    (kind) => kind === "hypothetical" || probe.spans.objectLevel.length > 0,
  );
  return plan.predictions
    .filter(({ predictor }) => states.has(predictor))
    .flatMap((pair) =>
      plan.tasks.flatMap(({ definition: { name: task }, properties }) =>
        kinds.flatMap((prompt) =>
          probe.labels.flatMap((label): Wanted[] => {
            const about = { ...pair, task, prompt, label };
            // There the question is the same whatever is asked about it.
            if (label === "behavior" && prompt === "object_level") return [about];
            return properties.map((property) => ({ ...about, property }));
          }),
        ),
      ),
    );
}

/** Probes that are fitted where all is known, each with its penalty chosen. @param states with their sites, where those are known */
export function probeFits(plan: Plan, states: readonly { readonly state: string; readonly sites?: number }[]): number {
  const sitesOf = new Map(states.map(({ state, sites = 0 }) => [state, sites]));
  const { spans } = plan.probe as PlannedProbe;
  return wantedQuestions(plan).reduce((sum, { predictor, prompt }) => {
    const { isTrained, origin } = statesOf(plan).of(predictor);
    // The probe, shuffled labels, the control task; without its adapter.
    const each = isTrained && sitesOf.has(origin) ? 4 : 3;
    const places = (prompt === "hypothetical" ? spans.hypothetical : spans.objectLevel).length;
    return sum + 1 + each * places * (sitesOf.get(predictor) ?? 0);
  }, 0);
}

/** What a target did on each string: its first answer, where several were drawn. */
class StringLabels {
  private constructor(
    private readonly words: ReadonlyMap<string, Extraction>,
    private readonly values: ReadonlyMap<string, Extraction>,
    readonly clusters: (task: string, item: string) => string,
  ) {}

  static async read(run: RunFolder): Promise<StringLabels> {
    const { plan } = run;
    const tasks = new Map(plan.tasks.map(({ definition }) => [definition.name, definition]));
    const items = askedItems(plan);
    const firstWord = propertyNamed("first_word");
    const words = new Map<string, Extraction>();
    for (const { state, task, item, sample, reply } of await readAnswers(run)) {
      const [definition, string] = [tasks.get(task), items.get(`${task}/${item}`)];
      if (sample !== 0 || !reply || !definition || !string) continue;
      const said = countedReply(reply, definition, string);
      const word = extractBehavior(firstWord, replyText(said), string, said.stop);
      words.set(JSON.stringify([state, task, item]), word);
    }
    const values = new Map<string, Extraction>();
    for (const { state, task, item, sample, property, extraction, compliance } of await readBehaviors(run)) {
      if (sample !== 0) continue;
      values.set(JSON.stringify([state, task, item, property]), compliance.ok ? extraction : compliance);
    }
    const clusters = clusterOf(plan);
    return new StringLabels(words, values, (task, item) => clusters(task, item) ?? `${task}/${item}`);
  }

  of({ target, task, property, label }: Wanted, item: string): { label: string; given?: string } | { reason: string } {
    const word = this.words.get(JSON.stringify([target, task, item]));
    const value = this.values.get(JSON.stringify([target, task, item, property]));
    const needed = label === "behavior" ? [word] : label === "property" ? [value] : [word, value];
    for (const one of needed) if (!one?.ok) return { reason: one?.reason ?? "the target was not asked about it" };
    const [behavior, shown] = [word?.ok ? word.value : "", value?.ok ? value.value : ""];
    const ways: Readonly<Record<ProbeLabel, { label: string; given?: string }>> = {
      behavior: { label: behavior },
      property: { label: shown },
      both: { label: JSON.stringify([behavior, shown]) },
      behavior_given_property: { label: behavior, given: shown },
      property_given_behavior: { label: shown, given: behavior },
    };
    return ways[label];
  }
}

/** What was looked into is what was asked, token by token. @throws INTERNAL */
async function requireAskedPrompts(run: RunFolder, captured: ReadonlyMap<string, CapturedStates>): Promise<void> {
  const asked = new Map<string, string>();
  for (const { state, task, item, property, variant, reply } of [
    ...(await readAnswers(run)),
    ...(await readLines(run, "hypothetical")),
  ]) {
    if (!reply || reply.madeElsewhere) continue;
    const kind = property === undefined ? "object_level" : "hypothetical";
    asked.set(JSON.stringify([state, kind, task, item, property, variant]), reply.promptSha256);
  }
  for (const [state, { prompts }] of captured) {
    for (const { id, kind, task, item, property, variant, promptSha256 } of prompts) {
      const known = asked.get(JSON.stringify([state, kind, task, item, property, variant]));
      if (known === undefined || known === promptSha256) continue;
      throw new InwardError("INTERNAL", `${id} of ${state} was looked into with other tokens than it was asked with.`);
    }
  }
}

// One question: all its sites.

interface Work {
  readonly settings: ProbeSettings;
  readonly signal?: AbortSignal;
}

async function scoreQuestion(
  plan: Plan,
  wanted: Wanted,
  captured: ReadonlyMap<string, CapturedStates>,
  labels: StringLabels,
  { settings, signal }: Work,
): Promise<ProbedQuestion> {
  const { predictor, task, prompt, property } = wanted;
  const own = captured.get(predictor) as CapturedStates;
  const leftOut: Record<string, number> = {};
  const rows: { prompt: CapturedPrompt; example: ProbeExample }[] = [];
  for (const one of own.prompts) {
    if (one.kind !== prompt || one.task !== task) continue;
    if (prompt === "hypothetical" && one.property !== property) continue;
    const found = labels.of(wanted, one.item);
    if ("reason" in found) leftOut[found.reason] = (leftOut[found.reason] ?? 0) + 1;
    else rows.push({ prompt: one, example: { string: labels.clusters(task, one.item), split: one.split, ...found } });
  }
  const prompts = rows.map((one) => one.prompt);
  const examples = rows.map(({ example }) => example);
  const stringsOf = (split: string) =>
    new Set(examples.filter((one) => one.split === split).map((one) => one.string)).size;
  const scored = async (score: () => ProbeScore): Promise<ProbeScore> => {
    await setImmediate();
    if (signal?.aborted)
      throw new InwardError("INTERRUPTED", "Interrupted while states were read; the files of before are kept.");
    return examples.length === 0 ? { ok: false, reason: "no string has a label" } : score();
  };
  const shuffled = examples.length === 0 ? [] : shuffledLabels(examples, plan.seed);
  const key = keysOf(prompts);
  const control = examples.length === 0 ? undefined : controlTask(examples, key, plan.seed);
  const tokens = await scored(() =>
    scoreProbe(
      bagOfTokens(
        prompts.map(({ tokenIds }) => tokenIds),
        examples,
      ),
      examples,
      settings,
    ),
  );
  const { origin, isTrained } = statesOf(plan).of(predictor);
  const base = isTrained ? captured.get(origin) : undefined;
  const noBase = !isTrained
    ? "it has no adapter of this study"
    : base
      ? undefined
      : `no prediction of the plan is by ${origin}, so its states were not taken`;
  const sites: (Omit<ProbedSite, "holm"> & { readonly whole: ProbeScore })[] = [];
  const probe = plan.probe as PlannedProbe;
  const spans = prompt === "hypothetical" ? probe.spans.hypothetical : probe.spans.objectLevel;
  for (const span of spans) {
    const lacking = prompts.filter((one) => one.spans[span] === undefined);
    const lacks =
      lacking.length === 0
        ? undefined
        : `${lacking.length} of ${prompts.length} prompts lack the span: ${lacking[0]?.lacking[span] ?? "it has no tokens"}`;
    let embedding: ProbeScore = { ok: false, reason: "the embedding was not scored" };
    for (const { name: site } of own.sites) {
      const read = (states: CapturedStates, some: readonly ProbeExample[]) =>
        scored(() =>
          lacks === undefined
            ? scoreProbe(states.matrix(prompts, site, span), some, settings)
            : { ok: false, reason: lacks },
        );
      const whole = await read(own, examples);
      const isEmbedding = site === EMBEDDING;
      if (isEmbedding) embedding = whole;
      const controlled = control ? await read(own, control.examples) : whole;
      const without: ProbeScore = base ? await read(base, examples) : { ok: false, reason: noBase as string };
      const [part = "", layer = "0"] = site.split(".");
      sites.push({
        site,
        part,
        layer: Number(layer),
        span,
        isEmbedding,
        whole,
        score: probeSummary(whole),
        shuffled: probeSummary(
          typeof shuffled === "string" ? { ok: false, reason: shuffled } : await read(own, shuffled),
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
        randomWeights: { ok: false, reason: NO_RANDOM_WEIGHTS },
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
