/** Which prompts of a study are looked into, of which states, and where in them the declared spans stand. */

import type { Tokenizer } from "../model/engines/start-engine.js";
import { findSpans, type MarkedQuestion, markHypothetical, markObjectLevel } from "../probe/spans.js";
import { propertyNamed } from "../properties/all-properties.js";
import { askedForm } from "../study/forms.js";
import type { Plan, PlannedProbe, PlannedTask } from "../study/plan.js";
import { type State, statesOf } from "../study/states.js";
import type { Split } from "../tasks/task.js";
import type { StatesPrompt } from "./states-file.js";

export type ProbedKind = "object_level" | "hypothetical";

/** Whose prompt it is, and what was found in it: the `meta` of its line in prompts.jsonl. */
export interface ProbedPrompt {
  readonly kind: ProbedKind;
  readonly task: string;
  readonly item: string;
  readonly split: Split;
  readonly property?: string;
  readonly variant?: string;
  /** Span -> the places of its tokens. */
  readonly spans: Readonly<Record<string, readonly number[]>>;
  /** Span -> why it has no tokens in this prompt. */
  readonly lacking: Readonly<Record<string, string>>;
  /** All that the prompt has, as it is asked. */
  readonly tokenIds: readonly number[];
}

/** A prompt whose tokens are not found yet. */
export interface PromptToLocate {
  readonly id: string;
  readonly about: Omit<ProbedPrompt, "spans" | "lacking" | "tokenIds">;
  readonly marked: MarkedQuestion;
  readonly wanted: readonly string[];
}

/** A prompt with its captured places, ascending. */
export interface LocatedStatesPrompt extends StatesPrompt {
  readonly meta: ProbedPrompt & Readonly<Record<string, unknown>>;
  readonly captured: readonly number[];
}

/** Whoever predicts, is asked here, and is asked in the plan's way: another wording is another asking of the same network. */
export function probedStates(plan: Plan): State[] {
  if (!plan.probe) return [];
  const names = new Set(plan.predictions.map(({ predictor }) => predictor));
  return [...names].map((name) => statesOf(plan).of(name)).filter((state) => state.isPlain && !state.elsewhere);
}

/** Of a model, in the place of its weights random ones. No state of a plan has such a name. */
export function randomTwin(model: string): string {
  return `${model}+random-weights`;
}

/** Models whose twins with random weights are looked into, each with the state whose prompts they are asked. */
export function randomTwins(plan: Plan): { readonly model: string; readonly state: string }[] {
  if (!plan.probe?.randomWeights) return [];
  const states = new Map<string, string>();
  for (const { name, model } of probedStates(plan)) if (!states.has(model)) states.set(model, name);
  return [...states].map(([model, state]) => ({ model, state }));
}

/** Strings of a task whose prompts are looked into. */
export function probedItems({ train, heldOut }: PlannedTask, { strings }: PlannedProbe) {
  return [...train.slice(0, strings), ...heldOut.slice(0, strings)];
}

/** Of a state's prompts that are looked into those that are read whole: of the first held-out strings of each task. */
export function wholePrompts<Prompt extends Pick<ProbedPrompt, "task" | "item">>(
  { tasks, probe }: Plan,
  prompts: readonly Prompt[],
): Prompt[] {
  const { wholePrompts: most = 0, strings } = probe as PlannedProbe;
  const chosen = new Set(
    tasks.flatMap(({ definition: { name }, heldOut }) =>
      heldOut.slice(0, Math.min(most, strings)).map(({ id }) => `${name}/${id}`),
    ),
  );
  return prompts.filter(({ task, item }) => chosen.has(`${task}/${item}`));
}

/** The wording that hypothetical questions are looked into in: the plan's first. */
export function probedVariant({ hypothetical }: Plan): string {
  return hypothetical.variants[0] as string;
}

/** Of a model state; hypothetical questions about train strings among them, which are looked into and never answered. */
export function promptsToLocate(plan: Plan, state: string): PromptToLocate[] {
  const { probe } = plan;
  if (!probe) return [];
  const form = askedForm(plan, state);
  const variant = probedVariant(plan);
  return plan.tasks.flatMap((task) => {
    const { definition } = form.task(task);
    const words = { examples: task.examples, system: form.system };
    return probedItems(task, probe).flatMap((item): PromptToLocate[] => {
      const about = { task: definition.name, item: item.id, split: item.split };
      const object: PromptToLocate = {
        id: `object_level/${definition.name}/${item.id}`,
        about: { kind: "object_level", ...about },
        marked: markObjectLevel(definition, item, words),
        wanted: probe.spans.objectLevel,
      };
      const hypothetical = task.properties.map(
        (property): PromptToLocate => ({
          id: `hypothetical/${definition.name}/${item.id}/${property}/${variant}`,
          about: { kind: "hypothetical", ...about, property, variant },
          marked: markHypothetical(definition, item, propertyNamed(property, plan.ownProperties), {
            ...words,
            template: form.variant(variant),
            question: form.question(property),
          }),
          wanted: probe.spans.hypothetical,
        }),
      );
      return probe.spans.objectLevel.length > 0 ? [object, ...hypothetical] : hypothetical;
    });
  });
}

/** Prompts that go to the tokenizer in one message. */
const LOCATED_AT_ONCE = 200;

/** @throws CHAT_* */
export async function locatePrompts(
  prompts: readonly PromptToLocate[],
  tokenizer: Pick<Tokenizer, "locate">,
  tokens: PlannedProbe["tokens"],
): Promise<LocatedStatesPrompt[]> {
  const found: LocatedStatesPrompt[] = [];
  for (let first = 0; first < prompts.length; first += LOCATED_AT_ONCE) {
    const some = prompts.slice(first, first + LOCATED_AT_ONCE);
    const located = await tokenizer.locate(some.map(({ marked }) => marked.messages));
    for (const [at, { id, about, marked, wanted }] of some.entries()) {
      const one = located[at] as (typeof located)[number];
      const all = findSpans(one, marked);
      const spans: Record<string, readonly number[]> = {};
      const lacking: Record<string, string> = {};
      for (const name of wanted) {
        const span = all.find((other) => other.name === name);
        if (span?.ok && span.tokens.length > 0) spans[name] = tokens === "last" ? span.tokens.slice(-1) : span.tokens;
        else lacking[name] = span && !span.ok ? span.reason : "this question has no such words";
      }
      // A prompt of which no span was found has a row all the same: its line says why.
      const places = new Set([...Object.values(spans).flat(), one.tokenIds.length - 1]);
      found.push({
        id,
        kind: about.kind,
        messages: marked.messages,
        meta: { ...about, spans, lacking, tokenIds: one.tokenIds },
        captured: [...places].sort((a, b) => a - b),
      });
    }
  }
  return found;
}
