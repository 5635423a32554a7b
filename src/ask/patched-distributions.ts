/** How a model answers at temperature 1 while something is written at a place inside it. */

import { z } from "zod";
import { InwardError } from "../errors.js";
import type { Intervention } from "../model/interventions.js";
import type { PlannedPatching } from "../study/plan.js";
import { type SetAsideReason, setAsideSchema } from "../tasks/answer.js";
import { type Distribution, storedDistributionSchema } from "./expand-distribution.js";
import type { QuestionKind } from "./groups.js";
import { type CalibrationQuestion, distributionQuestions, measureTogether } from "./measure-distribution.js";

/**
 * What is written. `none` nothing.
 *
 * Donors, into hypothetical questions: `other` what another string's object-level run has there, whose behavior is another one · `same` that of
 * a string with the same behavior · `other_task` that of a string of another task.
 *
 * Behavior moved while the text stays, on both sides: `steered` the mean difference between object-level runs with one behavior and with the other ·
 * `counter` a difference of the same length that leads elsewhere · `changed` what another state of the same model has there on the same string ·
 * `changed_counter` the same of another string.
 *
 * Nulls of the steering vector: `random` as long, by chance · `shifted` the vector itself, at another token.
 */
export const PATCH_KINDS = [
  "none",
  "other",
  "same",
  "other_task",
  "steered",
  "counter",
  "random",
  "shifted",
  "changed",
  "changed_counter",
] as const;
export type PatchKind = (typeof PATCH_KINDS)[number];

/** Who was asked what, and what was written where. */
export interface PatchedPlace {
  /** `<side>/<state>/<task>/<item>/<property>/<kind>[/<site>@<span>/<number>]` */
  readonly key: string;
  readonly side: "object_level" | "hypothetical";
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly property: string;
  readonly kind: PatchKind;
  /** What the string shows by itself, asked greedily. */
  readonly own: string;
  /** Absent of `none`. */
  readonly site?: string;
  /** As the hypothetical question has it. */
  readonly span?: string;
  /** Which donor or vector of the string, from 0; what has the same number is held against each other. */
  readonly number?: number;
  /** Of donors and of `changed_counter`: the string whose run was taken, of another task behind that task's name and a slash. */
  readonly donor?: string;
  /** The behavior that is moved to; of a donor its own. */
  readonly toward?: string;
  /** Of `other`: what the model says by itself about the donor, where it says a value. */
  readonly donorSays?: string;
}

export type PatchedRow = PatchedPlace &
  (
    | { readonly distribution: Distribution; readonly setAside?: undefined }
    | { readonly distribution?: undefined; readonly setAside: SetAsideReason }
  );

export const patchedRowSchema = z
  .object({
    key: z.string(),
    side: z.enum(["object_level", "hypothetical"]),
    state: z.string(),
    task: z.string(),
    item: z.string(),
    property: z.string(),
    kind: z.enum(PATCH_KINDS),
    own: z.string(),
    site: z.string().optional(),
    span: z.string().optional(),
    number: z.int().min(0).optional(),
    donor: z.string().optional(),
    toward: z.string().optional(),
    donorSays: z.string().optional(),
    distribution: storedDistributionSchema.optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(
    ({ distribution, setAside }) => (distribution === undefined) !== (setAside === undefined),
    "neither a distribution nor set aside",
  );

/** A row that is to be measured. */
export interface PatchQuestion extends PatchedPlace {
  /** The same question as it is asked when nothing is written. */
  readonly asked: Omit<CalibrationQuestion, "key" | "side" | "state" | "task" | "item" | "property">;
  /** Draws, where samples are drawn, depend on it: of `none` those of the calibration's. */
  readonly seedKey: string;
  /** Tokens of the prompt in which places were found. */
  readonly promptTokens: number;
  /** Made when it is asked, so that only one group's vectors are in memory. */
  readonly write?: () => readonly Intervention[];
}

/** Questions that are measured with something written inside. */
export function patchedDistributions(
  seed: number,
  {
    epsilon,
    tokenBudget,
    mostTail,
    samples,
  }: Pick<PlannedPatching, "epsilon" | "tokenBudget" | "mostTail" | "samples">,
): QuestionKind<PatchQuestion, PatchedRow> {
  const placeOf = ({ asked: _, seedKey: __, promptTokens: ___, write: ____, ...place }: PatchQuestion) => place;
  return {
    rowSchema: patchedRowSchema,
    check: async (model, group) => {
      const lengths = await model.check(
        group.map(({ asked: { messages, maxTokens, thinking } }) => {
          return { messages, maxTokens, temperature: 1, topTokens: 1, thinking };
        }),
      );
      const at = group.findIndex(({ promptTokens }, index) => promptTokens !== lengths[index]);
      if (at < 0) return;
      throw new InwardError(
        "INTERNAL",
        `${group[at]?.key} is asked with ${lengths[at]} tokens, and its places were found in ${group[at]?.promptTokens}.`,
      );
    },
    ask: async (model, group, { heard, onAnswered, signal }) => {
      const questions = group.map(({ asked, seedKey, write }) => {
        const { messages, maxTokens, decider, decidedLate, thinking } = asked;
        const interventions = write?.();
        const written = interventions ? { interventions } : {};
        return { messages, maxTokens, decider, decidedLate, thinking, seed: `${seed}/${seedKey}`, ...written };
      });
      const settings = { epsilon, tokenBudget, mostTail, samples, onHeard: heard, signal };
      const distributions = await measureTogether(model, questions, settings, onAnswered);
      return group.map((question, at) => ({ ...placeOf(question), distribution: distributions[at] as Distribution }));
    },
    setAside: (question, setAside) => ({ ...placeOf(question), setAside }),
    askPlain: (model, { asked, ...place }, hooks) =>
      distributionQuestions({ seed }).askPlain(model, { ...place, ...asked }, hooks),
  };
}
