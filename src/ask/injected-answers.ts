/** How likely answers are while a vector is added to a model's states: a line of 07-injections.jsonl. */

import { z } from "zod";
import type { LanguageModel, ScoreRequest } from "../model/language-model.js";
import { type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import type { QuestionKind } from "./groups.js";
import { scorePlainly } from "./plain-question.js";

export interface InjectedPlace {
  readonly key: string;
  /** The model state that was asked. */
  readonly state: string;
  /** Nothing is added · the concept's vector · a random one as long, which stands beside the concept's. */
  readonly vector: "none" | "concept" | "random";
  /** Absent with `none`, as the next three. */
  readonly concept?: string;
  readonly site?: string;
  /** In units of the usual length of a state at the site. */
  readonly strength?: number;
  /** Of a random vector, from 1. */
  readonly draw?: number;
  /** All sentences, or the number of one, from 1; `nowhere` with `none`. */
  readonly where: "all" | "nowhere" | number;
  /** `notice`, `name`, `locate`, `rate`; its controls by the same name, `control_name_1`; `denied_<n>`, `affirmed_<n>`. */
  readonly question: string;
}

export type InjectedRow = InjectedPlace &
  (
    | {
        /** ln of the probability that the reply begins with this answer, however it is capitalized. */
        readonly answers: Readonly<Record<string, number>>;
        readonly promptTokens: number;
        readonly setAside?: undefined;
      }
    | { readonly setAside: SetAsideReason; readonly answers?: undefined }
  );

export const injectedRowSchema = z
  .object({
    key: z.string(),
    state: z.string(),
    vector: z.enum(["none", "concept", "random"]),
    concept: z.string().optional(),
    site: z.string().optional(),
    strength: z.number().optional(),
    draw: z.number().optional(),
    where: z.union([z.literal("all"), z.literal("nowhere"), z.int()]),
    question: z.string(),
    answers: z.record(z.string(), z.number()).optional(),
    promptTokens: z.int().optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ answers, setAside }) => (answers === undefined) !== (setAside === undefined),
    "neither answers nor set aside",
  );

export interface InjectedQuestion extends InjectedPlace {
  readonly request: Omit<ScoreRequest, "continuations">;
  /** What may be answered. */
  readonly choices: readonly string[];
}

/** The forms in which an answer may begin. */
export function answerForms(choice: string): string[] {
  const upper = choice.slice(0, 1).toUpperCase() + choice.slice(1);
  return [...new Set([choice, upper])];
}

const requestOf = ({ request, choices }: InjectedQuestion): ScoreRequest => ({
  ...request,
  continuations: choices.flatMap(answerForms).map((written) => ({ written })),
});

export const INJECTED_QUESTIONS: QuestionKind<InjectedQuestion, InjectedRow> = {
  rowSchema: injectedRowSchema,
  check: promptLengths,
  ask: async (model, group, { heard, onAnswered, signal }) => {
    const lengths = await promptLengths(model, group);
    const scores = await model.score(group.map(requestOf), { onScored: heard, signal });
    return group.map(({ request: _, choices, ...place }, at): InjectedRow => {
      const sums = (scores[at] ?? []).map(({ logprobs }) => logprobs.reduce((sum, one) => sum + one, 0));
      let next = 0;
      const answers = choices.map((choice) => {
        const forms = sums.slice(next, next + answerForms(choice).length);
        next += forms.length;
        const most = Math.max(...forms);
        return [choice, most + Math.log(forms.reduce((sum, one) => sum + Math.exp(one - most), 0))] as const;
      });
      onAnswered();
      return { ...place, answers: Object.fromEntries(answers), promptTokens: lengths[at] as number };
    });
  },
  setAside: ({ request: _, choices: __, ...place }, setAside) => ({ ...place, setAside }),
  askPlain: (model, { request: { messages } }, hooks) => scorePlainly(model, messages, hooks),
};

function promptLengths(model: LanguageModel, group: readonly InjectedQuestion[]): Promise<number[]> {
  return model.check(
    group.map(({ request: { messages } }) => ({ messages, maxTokens: 1, temperature: 0, topTokens: 0 })),
  );
}
