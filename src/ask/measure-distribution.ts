import { z } from "zod";
import { InwardError } from "../errors.js";
import type { PromptRendering } from "../model/chat/format.js";
import type { Intervened } from "../model/interventions.js";
import type { LanguageModel, ListsNextTokens, NextTokens, RenderedPrompt } from "../model/language-model.js";
import { propertyNamed } from "../properties/all-properties.js";
import { behaviorDecider, needsSamples, predictionDecider, type TextDecider } from "../properties/deciders.js";
import { replyText } from "../properties/reading.js";
import { askedForm } from "../study/forms.js";
import type { Plan, PlannedTask } from "../study/plan.js";
import type { DistributionSettings } from "../study/study.js";
import { type ChatMessage, type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import { objectLevelMessages, type TaskItem } from "../tasks/task.js";
import {
  type ContinuationSource,
  type Distribution,
  storedDistributionSchema,
  Expansion,
  expandDistribution,
  type ExpansionOptions,
  type SampledDistribution,
  settledText,
  ValueMasses,
} from "./expand-distribution.js";
import type { QuestionKind } from "./groups.js";
import { askPlainly, plainMessages } from "./plain-question.js";
import { hypotheticalMessages, longestAnswer, thinkingOf } from "./questions.js";

/** A line of 07-distributions.jsonl: how one state answers one question about a property at temperature 1. */
export interface MeasuredDistribution {
  /** `object_level/<state>/<task>/<item>/<property>`, `hypothetical/<state>/<task>/<item>/<property>/<variant>`. */
  readonly key: string;
  /** `object_level`: the distribution of behaviors. `hypothetical`: of the predictions about them. */
  readonly side: "object_level" | "hypothetical";
  /** The model state that was asked. */
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly property: string;
  /** Hypothetical only: the wording around the quoted question. */
  readonly variant?: string;
  /** What intervals resample, where several strings share it: taken from the plan when scored, no part of the line. */
  readonly cluster?: string;
  readonly distribution: Distribution;
}

/** A line for a question on which the engine crashed each time. */
export interface SetAsideDistribution extends Omit<MeasuredDistribution, "distribution"> {
  readonly setAside: SetAsideReason;
  readonly distribution?: undefined;
}

export type DistributionRow = (MeasuredDistribution & { readonly setAside?: undefined }) | SetAsideDistribution;

export const distributionRowSchema = z
  .object({
    key: z.string(),
    side: z.enum(["object_level", "hypothetical"]),
    state: z.string(),
    task: z.string(),
    item: z.string(),
    property: z.string(),
    variant: z.string().optional(),
    distribution: storedDistributionSchema.optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ distribution, setAside }) => (distribution === undefined) !== (setAside === undefined),
    "neither a distribution nor set aside",
  );

export interface ModelSourceFacts {
  readonly vocabularySize: number;
  /** Of the rendered prompt. */
  readonly promptTokens: number;
}

/** What looking at paths costs, and the rest of a source that is not the asking. */
interface CountedSource extends Omit<ContinuationSource, "next"> {
  /** Tokens that are evaluated for these paths, where the prompt stays evaluated from the first ones on. */
  evaluated(paths: readonly (readonly number[])[]): number;
}

/** The continuations that a model gives to a prompt. */
export function modelSource(
  model: ListsNextTokens,
  messages: readonly ChatMessage[],
  { vocabularySize, promptTokens }: ModelSourceFacts,
  prompt?: PromptRendering & Intervened,
): ContinuationSource {
  // Whether the model still has the prompt from one group of paths to the next shows in what a group costs.
  let keepsPrompt = false;
  return {
    vocabularySize,
    next: async (paths, topTokens) => {
      const reply = await model.nextTokens(messages, paths, topTokens, prompt);
      keepsPrompt = reply.evaluatedTokens < promptTokens + countNodes(paths);
      return reply;
    },
    tokensFor: (paths) => (keepsPrompt ? 1 : promptTokens) + countNodes(paths),
    settled: settledText,
  };
}

/**
 * Counted as it would be alone, so that the budget leaves off at the same text in whatever company: the prompt at first, and then its last token
 * where it is read again.
 */
function keptSource({ vocabularySize, promptTokens }: ModelSourceFacts): CountedSource {
  let [begun, keepsPrompt] = [false, false];
  return {
    vocabularySize,
    evaluated: (paths) => {
      const nodes = countNodes(paths);
      const tokens = nodes + (begun ? Number(paths.some(({ length }) => length === 0)) : promptTokens);
      begun = true;
      keepsPrompt = tokens < promptTokens + nodes;
      return tokens;
    },
    tokensFor: (paths) => (keepsPrompt ? 1 : promptTokens) + countNodes(paths),
    settled: settledText,
  };
}

/** Different beginnings of the paths, themselves included. */
function countNodes(paths: readonly (readonly number[])[]): number {
  const nodes = new Set<string>();
  for (const path of paths) {
    let node = "";
    for (const id of path) {
      node += `${id} `;
      nodes.add(node);
    }
  }
  return nodes.size;
}

// The distribution of a property by seeded samples at temperature 1: for what is decided too late to expand.

export interface SamplingOptions {
  readonly maxTokens: number;
  /** Answers to draw, at least 1. */
  readonly samples: number;
  /** What the draws are a function of, with the sample's number. */
  readonly seed: string;
  /** The engine has said something. */
  readonly onHeard?: () => void;
  readonly signal?: AbortSignal;
  /** As PromptRendering has it. */
  readonly thinking?: boolean;
  readonly interventions?: Intervened["interventions"];
}

/** @throws what asking throws */
export async function sampleDistribution(
  model: Pick<LanguageModel, "ask">,
  messages: readonly ChatMessage[],
  decider: TextDecider,
  because: SampledDistribution["because"],
  { maxTokens, samples, seed, onHeard, signal, thinking, interventions }: SamplingOptions,
): Promise<SampledDistribution> {
  const requests = Array.from({ length: samples }, (_, sample) => ({
    messages,
    maxTokens,
    temperature: 1,
    seed: `${seed}/${sample}`,
    topTokens: 1,
    shares: seed,
    ...(thinking === undefined ? {} : { thinking }),
    ...(interventions === undefined ? {} : { interventions }),
  }));
  const masses = new ValueMasses();
  for (const reply of await model.ask(requests, { onReply: onHeard, signal })) {
    masses.add(decider.atEnd(replyText(reply, decider.reasoning), reply.stop), 1);
  }
  const values = masses.values(samples).map(({ value, probability }) => ({
    value,
    probability,
    standardError: Math.sqrt((probability * (1 - probability)) / samples),
  }));
  return { method: "samples", because, values, notCompliant: masses.notCompliant(samples), samples };
}

// The distribution of a property for one question: exactly where the tree can be expanded, else by samples that say why.

export interface DistributionQuestion extends Intervened {
  readonly messages: readonly ChatMessage[];
  readonly decider: TextDecider;
  /** The property is decided so late that samples are drawn at once. */
  readonly decidedLate: boolean;
  /** As PromptRendering has it. */
  readonly thinking?: boolean;
}

export interface DistributionOptions extends ExpansionOptions {
  /** Above this tail, samples are drawn instead. Default 0.05. */
  readonly mostTail?: number;
  /** Default 200. */
  readonly samples?: number;
  readonly seed: string;
  /** The engine has said something. */
  readonly onHeard?: () => void;
}

const DEFAULTS = { mostTail: 0.05, samples: 200 };

/** @throws what asking throws, INTERRUPTED */
export async function measureDistribution(
  model: Pick<LanguageModel, "ask" | "render" | "facts" | "nextTokens">,
  { messages, decider, decidedLate, thinking, interventions }: DistributionQuestion,
  options: DistributionOptions,
): Promise<Distribution> {
  const { mostTail, ...sampling } = { ...DEFAULTS, ...options };
  const sample = (because: "long_answer" | "tail" | "engine") =>
    sampleDistribution(model, messages, decider, because, { ...sampling, thinking, interventions });
  if (decidedLate) return await sample("long_answer");
  const { vocabularySize } = model.facts;
  const prompt = await model.render(messages, { thinking });
  const facts = { vocabularySize, promptTokens: prompt.tokenIds.length };
  try {
    const source = modelSource(model, messages, facts, { thinking, ...(interventions ? { interventions } : {}) });
    const next: ContinuationSource["next"] = async (...asked) => {
      const reply = await source.next(...asked);
      options.onHeard?.();
      return reply;
    };
    const expanded = await expandDistribution({ ...source, next }, behindOpened(prompt, decider), options);
    if (expanded.tail <= mostTail) return expanded;
    return { ...(await sample("tail")), evaluatedTokens: expanded.evaluatedTokens };
  } catch (error) {
    if (error instanceof InwardError && error.code === "ENGINE_UNAVAILABLE") return await sample("engine");
    throw error;
  }
}

/** One of several that are measured together. */
export interface MeasuredTogether extends DistributionQuestion {
  readonly maxTokens: number;
  readonly seed: string;
}

/**
 * As measureDistribution of each, to the bit, where the engine can ask many prompts as one group; else one after the other. What their prompts
 * begin with is evaluated once, up to the first token in which something else is written.
 * @param onMeasured one more is done
 * @throws what asking throws, INTERRUPTED
 */
export async function measureTogether(
  model: Pick<LanguageModel, "ask" | "render" | "facts" | "nextTokens" | "nextTokensTogether">,
  questions: readonly MeasuredTogether[],
  options: Omit<DistributionOptions, "maxTokens" | "seed">,
  onMeasured: () => void = () => {},
): Promise<Distribution[]> {
  const { mostTail, ...sampling } = { ...DEFAULTS, ...options };
  const alone = async ({ maxTokens, seed, ...question }: MeasuredTogether) => {
    const distribution = await measureDistribution(model, question, { ...options, maxTokens, seed });
    onMeasured();
    return distribution;
  };
  const { nextTokensTogether } = model;
  const found: Distribution[] = [];
  if (nextTokensTogether === undefined) {
    for (const question of questions) found.push(await alone(question));
    return found;
  }
  const expanding = new Map<number, { readonly source: CountedSource; readonly expansion: Expansion }>();
  for (const [at, { messages, decider, decidedLate, thinking, maxTokens }] of questions.entries()) {
    if (decidedLate) continue;
    const prompt = await model.render(messages, { thinking });
    const source = keptSource({ vocabularySize: model.facts.vocabularySize, promptTokens: prompt.tokenIds.length });
    const expansion = new Expansion(source, behindOpened(prompt, decider), { ...options, maxTokens });
    expanding.set(at, { source, expansion });
  }
  for (;;) {
    const asked = [...expanding].flatMap(([at, { expansion }]) => {
      const paths = expansion.next();
      return paths ? [{ at, ...paths }] : [];
    });
    if (asked.length === 0) break;
    const steps = await nextTokensTogether(
      asked.map(({ at, ...paths }) => {
        const { messages, thinking, interventions } = questions[at] as MeasuredTogether;
        return { messages, ...paths, thinking, ...(interventions ? { interventions } : {}) };
      }),
    );
    options.onHeard?.();
    for (const [place, { at, paths }] of asked.entries()) {
      const { source, expansion } = expanding.get(at) as { source: CountedSource; expansion: Expansion };
      expansion.take({ steps: steps[place] as readonly NextTokens[], evaluatedTokens: source.evaluated(paths) });
    }
  }
  for (const [at, question] of questions.entries()) {
    const { messages, decider, thinking, interventions, maxTokens, seed } = question;
    const expanded = expanding.get(at)?.expansion.result();
    if (expanded && expanded.tail <= mostTail) {
      found[at] = expanded;
    } else if (expanded) {
      const sampled = { ...sampling, thinking, interventions, maxTokens, seed };
      const drawn = await sampleDistribution(model, messages, decider, "tail", sampled);
      found[at] = { ...drawn, evaluatedTokens: expanded.evaluatedTokens };
    } else {
      found[at] = await alone(question);
      continue;
    }
    onMeasured();
  }
  return found;
}

/** Where the prompt leaves reasoning open, each text stands behind its mark. */
function behindOpened({ opened }: RenderedPrompt, decider: TextDecider): TextDecider {
  const said = (text: string) => replyText({ text, opened }, decider.reasoning === "keep" ? "keep" : "off");
  return {
    ...decider,
    decidedBy: (beginning) => decider.decidedBy(said(beginning)),
    atEnd: (text, stop) => decider.atEnd(said(text), stop),
  };
}

// The questions whose distributions at temperature 1 a plan compares: what targets do, and what predictors say of it.

export interface CalibrationQuestion extends Omit<MeasuredDistribution, "distribution"> {
  readonly messages: readonly ChatMessage[];
  /** Longest answer, as in asking. */
  readonly maxTokens: number;
  readonly decider: TextDecider;
  /** The property is decided so late that only samples tell. */
  readonly decidedLate: boolean;
  readonly thinking?: true;
}

/**
 * The messages are those of asking, the hypothetical ones in the plan's first wording.
 * @returns each question once, in the plan's order: states outside, then sides, tasks, strings, properties; empty when the plan
 *   compares no distributions
 */
export function calibrationQuestions(plan: Plan): CalibrationQuestion[] {
  if (!plan.calibration) return [];
  const targets = new Set(plan.predictions.map(({ target }) => target));
  const predictors = new Set(plan.predictions.map(({ predictor }) => predictor));
  return [...new Set([...targets, ...predictors])].flatMap((state) => [
    ...(targets.has(state) ? ofEvery(plan, (...asked) => behaviorAtTemperatureOne(plan, state, ...asked)) : []),
    ...(predictors.has(state) ? ofEvery(plan, (...asked) => predictionAtTemperatureOne(plan, state, ...asked)) : []),
  ]);
}

type Asked = readonly [task: PlannedTask, item: TaskItem, property: string];

function ofEvery(plan: Plan, make: (...asked: Asked) => CalibrationQuestion): CalibrationQuestion[] {
  const { strings = 0, properties = {} } = plan.calibration ?? {};
  return plan.tasks.flatMap((task) =>
    task.heldOut
      .slice(0, strings)
      .flatMap((item) => (properties[task.definition.name] ?? []).map((property) => make(task, item, property))),
  );
}

/** Of what a state does, in the words in which it is asked. */
export function behaviorAtTemperatureOne(plan: Plan, state: string, task: PlannedTask, item: TaskItem, name: string) {
  const { definition, examples } = task;
  const property = propertyNamed(name, plan.ownProperties);
  const form = askedForm(plan, state);
  return {
    key: `object_level/${state}/${definition.name}/${item.id}/${name}`,
    side: "object_level" as const,
    state,
    task: definition.name,
    item: item.id,
    property: name,
    messages: objectLevelMessages(form.task(task).definition, item, { examples, system: form.system }),
    maxTokens: longestAnswer(plan, task),
    ...thinkingOf(plan),
    decider: behaviorDecider(property, item, plan.objectLevel.reasoning),
    decidedLate: needsSamples(property, definition.kind),
  };
}

/** Of what a state says of it, in the plan's first wording. */
export function predictionAtTemperatureOne(plan: Plan, state: string, task: PlannedTask, item: TaskItem, name: string) {
  const variant = plan.hypothetical.variants[0] as string;
  return {
    key: `hypothetical/${state}/${task.definition.name}/${item.id}/${name}/${variant}`,
    side: "hypothetical" as const,
    state,
    task: task.definition.name,
    item: item.id,
    property: name,
    variant,
    messages: hypotheticalMessages(plan, state, task, item, name, variant),
    maxTokens: plan.hypothetical.maxTokens,
    decider: predictionDecider(propertyNamed(name, plan.ownProperties)),
    // Replies to questions about a property are short, whatever the answers are.
    decidedLate: false,
  };
}

/** Cuts the questions into the units that are measured and stored as one: one side of one string of one state. */
export function calibrationGroups(questions: readonly CalibrationQuestion[]): CalibrationQuestion[][] {
  const groups: CalibrationQuestion[][] = [];
  for (const question of questions) {
    const group = groups.at(-1);
    if (group?.[0] && isSameUnit(group[0], question)) group.push(question);
    else groups.push([question]);
  }
  return groups;
}

function isSameUnit(a: CalibrationQuestion, b: CalibrationQuestion): boolean {
  return a.state === b.state && a.side === b.side && a.task === b.task && a.item === b.item;
}

// How the questions of a plan are measured.

interface MeasuringOptions {
  readonly onMeasured?: (done: number) => void;
  readonly onHeard?: () => void;
  readonly signal?: AbortSignal;
}

/** Texts that a line keeps, so that people see what a value is made of: two kilobytes. */
const KEPT_TEXTS = 24;

/**
 * The distribution of each question as the plan's calibration wants it; none when it has no calibration. Draws depend on the plan's
 * seed and the question's key alone.
 * @param model of the state that the questions are for
 * @throws what asking throws, INTERRUPTED
 */
export async function measureQuestions(
  model: LanguageModel,
  questions: readonly CalibrationQuestion[],
  { seed, calibration }: { readonly seed: number; readonly calibration?: DistributionSettings },
  { onMeasured, onHeard, signal }: MeasuringOptions = {},
): Promise<MeasuredDistribution[]> {
  if (!calibration) return [];
  const { epsilon, tokenBudget, mostTail, samples } = calibration;
  const settings = { epsilon, tokenBudget, mostTail, samples, keep: KEPT_TEXTS, onHeard, signal };
  const measured: MeasuredDistribution[] = [];
  for (const { messages, maxTokens, decider, decidedLate, thinking, ...place } of questions) {
    const distribution = await measureDistribution(
      model,
      { messages, decider, decidedLate, thinking },
      { ...settings, maxTokens, seed: `${seed}/${place.key}` },
    );
    measured.push({ ...place, distribution });
    onMeasured?.(measured.length);
  }
  return measured;
}

/** Questions whose distributions are measured. */
export function distributionQuestions(
  plan: Pick<Plan, "seed" | "calibration">,
): QuestionKind<CalibrationQuestion, DistributionRow> {
  return {
    rowSchema: distributionRowSchema,
    check: (model, group) =>
      model.check(
        group.map(({ messages, maxTokens, thinking }) => ({
          messages,
          maxTokens,
          temperature: 1,
          topTokens: 1,
          thinking,
        })),
      ),
    ask: (model, group, { heard, onAnswered, signal }) =>
      measureQuestions(model, group, plan, { onMeasured: onAnswered, onHeard: heard, signal }),
    setAside: (
      { messages: _, maxTokens: __, decider: ___, decidedLate: ____, thinking: _____, ...place },
      setAside,
    ) => ({
      ...place,
      setAside,
    }),
    askPlain: async (model, { messages }, hooks) => {
      await askPlainly(model, messages, hooks, 1);
      await model.nextTokens(plainMessages(messages), [[]], 1).catch((error) => {
        // Such an engine is sampled.
        if (!(error instanceof InwardError && error.code === "ENGINE_UNAVAILABLE")) throw error;
      });
    },
  };
}
