/** What is asked while something is injected: the sentences with each question, where they stand in the prompt, and what may be answered. */

import { answerForms, type InjectedPlace } from "../ask/injected-answers.js";
import { InwardError } from "../errors.js";
import type { Tokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import { findSpans, type SpanMark } from "../probe/spans.js";
import { RATINGS } from "../score/injection/injection-scores.js";
import type { PlannedInjection } from "../study/injection-schema.js";
import type { Plan } from "../study/plan.js";
import { type State, statesOf } from "../study/states.js";
import type { ChatMessage } from "../tasks/answer.js";

/** Whoever predicts, is asked here, and is asked in the plan's way. */
export function injectedStates(plan: Plan): State[] {
  if (!plan.injection) return [];
  const names = new Set(plan.predictions.map(({ predictor }) => predictor));
  return [...names].map((name) => statesOf(plan).of(name)).filter((state) => state.isPlain && !state.elsewhere);
}

/** A question of the design. */
export interface AbilityQuestion {
  readonly name: string;
  readonly text: string;
  readonly choices: readonly string[];
  /** Under a vector in all sentences, or in each one in its turn. */
  readonly where: "all" | "each";
  /** Whether it is asked under random vectors too. */
  readonly atRandom: boolean;
}

/** Those of the abilities that are asked, each with its controls. */
export function abilityQuestions({
  abilities,
  questions,
  controls,
  concepts,
  sentences,
}: PlannedInjection): AbilityQuestion[] {
  const yesOrNo = { choices: ["yes", "no"], where: "all", atRandom: true } as const;
  const words = { choices: concepts, where: "all", atRandom: false } as const;
  const places = { choices: sentences.map((_, at) => String(at + 1)), where: "each" } as const;
  const ratings = { choices: RATINGS, where: "all" } as const;
  const byAbility: Readonly<Record<(typeof abilities)[number], readonly AbilityQuestion[]>> = {
    notice: [
      { name: "notice", text: questions.notice, ...yesOrNo },
      ...controls.denied.map((text, at) => ({ name: `denied_${at + 1}`, text, ...yesOrNo })),
      ...controls.affirmed.map((text, at) => ({ name: `affirmed_${at + 1}`, text, ...yesOrNo, atRandom: false })),
    ],
    name: [
      { name: "name", text: questions.name, ...words },
      ...controls.name.map((text, at) => ({ name: `control_name_${at + 1}`, text, ...words })),
    ],
    locate: [
      { name: "locate", text: questions.locate, ...places, atRandom: true },
      ...controls.locate.map((text, at) => ({ name: `control_locate_${at + 1}`, text, ...places, atRandom: false })),
    ],
    rate: [
      { name: "rate", text: questions.rate, ...ratings, atRandom: true },
      ...controls.rate.map((text, at) => ({ name: `control_rate_${at + 1}`, text, ...ratings, atRandom: false })),
    ],
  };
  return abilities.flatMap((ability) => byAbility[ability]);
}

/** One injection, or none. */
export type InjectionArm = Omit<InjectedPlace, "key" | "state" | "question">;

/** An arm with the questions that are asked under it: those under one injection stand together and share what is read before them. */
export interface AskedArm {
  readonly arm: InjectionArm;
  readonly questions: readonly AbilityQuestion[];
}

/** @param sites names of the sites, as the model has them */
export function injectionArms(injection: PlannedInjection, sites: readonly string[]): AskedArm[] {
  const questions = abilityQuestions(injection);
  const { concepts, strengths, randomVectors, sentences } = injection;
  const arms: AskedArm[] = [{ arm: { vector: "none", where: "nowhere" }, questions }];
  for (const site of sites) {
    for (const strength of strengths) {
      for (const concept of concepts) {
        const vectors = [
          { vector: "concept" as const, concept, site, strength },
          ...Array.from({ length: randomVectors }, (_, draw) => {
            return { vector: "random" as const, concept, site, strength, draw: draw + 1 };
          }),
        ];
        for (const vector of vectors) {
          const own = questions.filter(({ atRandom }) => vector.vector === "concept" || atRandom);
          const places = sentences.map((_, at) => at + 1);
          arms.push(
            { arm: { ...vector, where: "all" }, questions: own.filter(({ where }) => where === "all") },
            ...places.map((where) => ({
              arm: { ...vector, where },
              questions: own.filter((one) => one.where === "each"),
            })),
          );
        }
      }
    }
  }
  return arms.filter((one) => one.questions.length > 0);
}

export function armKey({ vector, concept, site, strength, draw, where }: InjectionArm): string {
  return [vector, concept, draw, site, strength, where].filter((one) => one !== undefined).join("/");
}

/** How many prompts are asked of one state. */
export function injectionCount(injection: PlannedInjection, sites: number): number {
  const names = Array.from({ length: sites }, (_, at) => `${at}`);
  return injectionArms(injection, names).reduce((sum, { questions }) => sum + questions.length, 0);
}

/** The prompt of one question, with the places of its sentences. */
export interface InjectionPrompt {
  readonly messages: readonly ChatMessage[];
  readonly tokenIds: readonly number[];
  /** Where an injection goes. */
  readonly tokens: (where: InjectedPlace["where"]) => Intervention["tokens"];
}

const GAP = "\n\n";

/** The sentences, numbered, and the question; with marks for `text` and `sentence_1`, … */
export function injectionMessages(
  { sentences }: Pick<PlannedInjection, "sentences">,
  question: string,
): { readonly messages: readonly ChatMessage[]; readonly marks: readonly SpanMark[] } {
  const message = 1;
  let content = "";
  const marks: SpanMark[] = [];
  for (const [at, sentence] of sentences.entries()) {
    content += `${at === 0 ? "" : "\n"}Sentence ${at + 1}: `;
    const start = content.length;
    content += sentence;
    marks.push({ name: `sentence_${at + 1}`, ok: true, ranges: [{ message, start, end: content.length }] });
  }
  marks.push({ name: "text", ok: true, ranges: [{ message, start: 0, end: content.length }] });
  const messages: ChatMessage[] = [
    { role: "system", content: "" },
    { role: "user", content: content + GAP + question },
  ];
  return { messages, marks };
}

/** @throws PROBE_INVALID where the template does not write the sentences as they are · CHAT_* */
export async function injectionPrompts(
  injection: PlannedInjection,
  tokenizer: Pick<Tokenizer, "locate">,
): Promise<Map<string, InjectionPrompt>> {
  const asked = abilityQuestions(injection).map(({ name, text }) => ({ name, ...injectionMessages(injection, text) }));
  const located = await tokenizer.locate(asked.map(({ messages }) => messages));
  return new Map(
    asked.map(({ name, messages, marks }, at): [string, InjectionPrompt] => {
      const one = located[at] as (typeof located)[number];
      const spans = new Map(findSpans(one, { messages, marks }).map((span) => [span.name, span]));
      const tokensOf = (span: string): readonly number[] => {
        const found = spans.get(span);
        if (found?.ok && found.tokens.length > 0) return found.tokens;
        const why = found && !found.ok ? found.reason : "it has no tokens";
        throw new InwardError(
          "PROBE_INVALID",
          `injection: ${span} of the question ${name} cannot be found in the prompt: ${why}`,
        );
      };
      const tokens = (where: InjectedPlace["where"]): Intervention["tokens"] => {
        if (typeof where === "number") return tokensOf(`sentence_${where}`);
        const text = tokensOf("text");
        return injection.span === "text" ? text : { from: text[0] as number };
      };
      return [name, { messages, tokenIds: one.tokenIds, tokens }];
    }),
  );
}

/** Tokens that are evaluated for one state, at most: what is shared under one injection once, and every answer's. */
export function injectionTokens(
  injection: PlannedInjection,
  sites: number,
  prompts: ReadonlyMap<string, Pick<InjectionPrompt, "tokenIds">>,
): number {
  const names = Array.from({ length: sites }, (_, at) => `${at}`);
  return injectionArms(injection, names).reduce((sum, { questions }) => {
    const ids = questions.map(({ name }) => prompts.get(name)?.tokenIds ?? []);
    const answers = questions.flatMap(({ choices }) => choices.flatMap(answerForms)).length;
    return sum + nodesOf(ids) + answers;
  }, 0);
}

/** Nodes of the prefix tree. */
function nodesOf(texts: readonly (readonly number[])[]): number {
  const sorted = [...texts].sort((a, b) => {
    const at = a.findIndex((id, place) => id !== b[place]);
    return at < 0 ? a.length - b.length : (a[at] as number) - (b[at] ?? -1);
  });
  return sorted.reduce((sum, text, at) => {
    const before = sorted[at - 1] ?? [];
    const differs = text.findIndex((id, place) => id !== before[place]);
    return sum + (differs < 0 ? 0 : text.length - differs);
  }, 0);
}
