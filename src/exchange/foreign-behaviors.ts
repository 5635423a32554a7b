/** Properties of answers that were made elsewhere, by the rules of a run: the same doors, the same reasons. */

import { InwardError } from "../errors.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { Extraction } from "../properties/property.js";
import { countedReply } from "../properties/option-answers.js";
import { answerCompliance, extractBehavior } from "../properties/reading.js";
import { countValues, entropyBits } from "../score/tally.js";
import { KIND_DEFAULTS } from "../tasks/strings.js";
import type { TaskKind } from "../tasks/task.js";
import { answerId, type ForeignAnswer, type ForeignLog } from "../elsewhere/foreign-answers.js";
import { column, type DataColumn } from "./csv-lines.js";
import { framedQuestions } from "./task-of-log.js";

export interface ForeignBehavior extends Pick<ForeignAnswer, "question" | "target"> {
  /** The log's own; `#<n>` follows where a sample was asked several times. */
  readonly id: string;
  readonly answer: string;
  readonly property: string;
  /** Why an answer does not comply with its kind stands here too. */
  readonly behavior: Extraction;
  /** Set where the answer names its option in more words than its letter. */
  readonly lenient?: true;
}

/**
 * Options are read leniently, as in the task that is made of a log.
 * @throws PROPERTY_NOT_FOUND, PROPERTY_NOT_APPLICABLE
 */
export function foreignBehaviors(
  { answers }: Pick<ForeignLog, "answers">,
  kind: TaskKind,
  names: readonly string[],
): ForeignBehavior[] {
  const properties = names.map((name) => {
    const property = propertyNamed(name);
    if (property.kinds.includes(kind) && property.needs !== "challenge" && property.needs !== "judge") return property;
    throw new InwardError(
      "PROPERTY_NOT_APPLICABLE",
      `Answers of kind ${kind} that stand alone have no property ${name}; it is for ${property.kinds.join(", ")}.`,
    );
  });
  const { answerForm } = KIND_DEFAULTS[kind];
  return framedQuestions(answers, kind).all.flatMap(({ answer: one, text }) => {
    const { question, target, said } = one;
    if (!said.ok) return [];
    const counted = countedReply(said, { kind, answerForm, reading: "lenient" }, { text });
    const compliance = answerCompliance(counted.text, answerForm, counted.stop);
    const isLenient = !answerCompliance(said.text, answerForm, said.stop).ok && compliance.ok;
    return properties.map((property): ForeignBehavior => {
      const behavior = compliance.ok
        ? extractBehavior(property, counted.text, { text, target }, counted.stop)
        : compliance;
      const about = { id: answerId(one), question, target, answer: said.text, property: property.name, behavior };
      return isLenient ? { ...about, lenient: true } : about;
    });
  });
}

interface ForeignSpread {
  readonly property: string;
  readonly answers: number;
  /** Answers with a value. */
  readonly counted: number;
  /** Most common first. */
  readonly values: readonly { readonly value: string; readonly count: number }[];
  /** Shannon entropy of the values, bits. */
  readonly entropyBits: number;
  /** Reason -> answers without a value for it. */
  readonly missing: Readonly<Record<string, number>>;
}

export function foreignCells(behaviors: readonly ForeignBehavior[]): ForeignSpread[] {
  return [...new Set(behaviors.map(({ property }) => property))].map((property): ForeignSpread => {
    const own = behaviors.filter((one) => one.property === property);
    const values = countValues(own.flatMap(({ behavior }) => (behavior.ok ? [behavior.value] : [])));
    const missing: Record<string, number> = {};
    for (const { behavior } of own) if (!behavior.ok) missing[behavior.reason] = (missing[behavior.reason] ?? 0) + 1;
    const counts = values.map(({ count }) => count);
    return {
      property,
      answers: own.length,
      counted: counts.reduce((sum, count) => sum + count, 0),
      values,
      entropyBits: entropyBits(counts),
      missing,
    };
  });
}

export const foreignBehaviorColumns: readonly DataColumn<ForeignBehavior>[] = [
  column("id", "text", ({ id }) => id),
  column("property", "text", ({ property }) => property),
  column("behavior", "text", ({ behavior }) => (behavior.ok ? behavior.value : undefined)),
  column("behaviorReason", "text", ({ behavior }) => (behavior.ok ? undefined : behavior.reason)),
  column("answer", "text", ({ answer }) => answer),
  column("question", "text", ({ question }) => question),
  column("target", "text", ({ target }) => target),
];
