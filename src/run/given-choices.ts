/** Given answers to a prompt: the tokens that they begin with, which of them is the prompt's own, and how likely each is under what is written. */

import { z } from "zod";
import type { QuestionKind } from "../ask/groups.js";
import { askPlainly } from "../ask/plain-question.js";
import { InwardError } from "../errors.js";
import type { Tokenizer } from "../model/engines/start-engine.js";
import type { Intervention } from "../model/interventions.js";
import type { ChatMessage } from "../tasks/answer.js";
import { type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import { namingTheLine } from "./ask-file.js";
import type { PromptLine } from "./prompt-lines.js";

/** @throws USAGE fewer than two, or one twice */
export function requireTwoChoices(choices: readonly string[]): void {
  if (choices.length >= 2 && new Set(choices).size === choices.length) return;
  throw new InwardError("USAGE", "Choices are two or more answers, each once.");
}

/** What may follow one prompt. */
export interface PromptChoices {
  /** Exactly as it is asked. */
  readonly promptIds: readonly number[];
  /** [choices] the first token of each, written as people write it. */
  readonly firstIds: readonly number[];
}

/**
 * @throws PROBE_INVALID two choices begin with one token, so that nothing at that token tells them apart, or the text before a choice
 * would have other tokens than the prompt alone
 */
export async function choiceTokens(
  prompts: readonly Pick<PromptLine, "id" | "messages">[],
  choices: readonly string[],
  tokenizer: Pick<Tokenizer, "scored" | "tokenize">,
): Promise<PromptChoices[]> {
  const continuations = choices.map((written) => ({ written }));
  const scored = await tokenizer.scored(prompts.map(({ messages }) => ({ messages, continuations })));
  const alone = await tokenizer.tokenize(prompts.map(({ messages }) => messages));
  return prompts.map(({ id }, at) => {
    const { promptIds, answers } = scored[at] as (typeof scored)[number];
    const refuse = (why: string): never => {
      throw new InwardError("PROBE_INVALID", `Prompt ${JSON.stringify(id)}: ${why}.`);
    };
    if (String(promptIds) !== String(alone[at]))
      refuse(
        "before an answer it has other tokens than by itself, so that its last token's states are not those that are read",
      );
    const firstIds = answers.map((ids, choice) => ids[0] ?? refuse(`${JSON.stringify(choices[choice])} has no token`));
    const twin = firstIds.findIndex((one, choice) => firstIds.indexOf(one) !== choice);
    if (twin >= 0) {
      const [one, other] = [choices[firstIds.indexOf(firstIds[twin] as number)], choices[twin]].map((text) =>
        JSON.stringify(text),
      );
      refuse(`${one} and ${other} begin with the same token, which tells nothing of either`);
    }
    return { promptIds, firstIds };
  });
}

/**
 * Which choice each line says is its own.
 * @param key of the lines' other keys; none is said where absent @throws PROBE_INVALID a line lacks it, or has none of the choices
 */
export function givenChoices(
  lines: readonly Pick<PromptLine, "id" | "meta">[],
  key: string | undefined,
  choices: readonly string[],
): (number | undefined)[] {
  return lines.map((line) => (key === undefined ? undefined : givenChoice(line, key, choices)));
}

function givenChoice({ id, meta }: Pick<PromptLine, "id" | "meta">, key: string, choices: readonly string[]): number {
  const given = meta?.[key];
  const own = choices.indexOf(String(given));
  if (given !== undefined && own >= 0) return own;
  const has = given === undefined ? `no ${key}` : `${key}: ${JSON.stringify(given)}`;
  throw new InwardError(
    "PROBE_INVALID",
    `Prompt ${JSON.stringify(id)} has ${has}; its own is one of ${choices.join(", ")}.`,
  );
}

/** The choices are scored after a prompt into which something is written, or nothing. */
export interface ChoiceQuestion {
  readonly key: string;
  readonly state: string;
  /** Of the prompt. */
  readonly id: string;
  /** `none` where nothing is written. */
  readonly arm: string;
  /** Where it is written, in the words of the command that asks. */
  readonly place?: Readonly<Record<string, string | number>>;
  readonly messages: readonly ChatMessage[];
  readonly interventions?: readonly Intervention[];
}

export interface ChoiceLine extends Omit<ChoiceQuestion, "messages" | "interventions"> {
  /** ln P that an answer begins so, in the order of the choices; or why there is none. */
  readonly choices?: readonly number[];
  readonly setAside?: SetAsideReason;
}

export const choiceLineSchema = z
  .looseObject({
    key: z.string(),
    state: z.string(),
    id: z.string(),
    arm: z.string(),
    place: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
    choices: z.array(z.number()).optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ choices, setAside }) => (choices === undefined) !== (setAside === undefined),
    "neither scored nor set aside",
  );

export function choiceQuestions(choices: readonly string[]): QuestionKind<ChoiceQuestion, ChoiceLine> {
  const continuations = choices.map((written) => ({ written }));
  const asRequest = ({ messages, interventions }: ChoiceQuestion) => ({
    messages,
    ...(interventions === undefined ? {} : { interventions }),
  });
  return {
    rowSchema: choiceLineSchema,
    check: (model, group) =>
      namingTheLine(group, (part) =>
        model.check(part.map((one) => ({ ...asRequest(one), maxTokens: 1, temperature: 0, topTokens: 0 }))),
      ),
    ask: async (model, group, { heard, onAnswered, onCost, signal }) => {
      const requests = group.map((one) => ({ ...asRequest(one), continuations }));
      const scored = await model.score(requests, { onScored: heard, onCost, signal });
      return group.map(({ messages: _, interventions: __, ...line }, at): ChoiceLine => {
        onAnswered();
        const own = scored[at] as (typeof scored)[number];
        return { ...line, choices: own.map(({ logprobs }) => logprobs.reduce((sum, one) => sum + one, 0)) };
      });
    },
    setAside: ({ messages: _, interventions: __, ...line }, setAside) => ({ ...line, setAside }),
    askPlain: (model, { messages }, hooks) => askPlainly(model, messages, hooks),
  };
}
