/** The labelled answers that ship with a judged property: what its judge is calibrated on, and held against. */

import { shown } from "../base/untrusted.js";
import type { JudgeRule, OwnProperty } from "./own-property.js";
import { type BehaviorProperty, value as given } from "./property.js";
import { extractBehavior } from "./reading.js";
import { normalize } from "./text.js";

/** Of each value: with fewer, no agreement can be told from chance, and a fold of the calibration would lack some. */
export const FEWEST_LABELS = 8;

/** An answer, and which value a person gave it. */
export interface LabelledAnswer {
  readonly answer: string;
  readonly value: string;
  /** The prompt that it answers, where the judge is shown it. */
  readonly question?: string;
}

/** @param examples of a definition that was checked */
export function labelsOf({ examples = [] }: Pick<OwnProperty, "examples">): LabelledAnswer[] {
  return examples.map(({ answer, value = "", question }) => ({ answer, value, question }));
}

/** What is wrong with them, as a sentence; nothing where they serve. */
export function whyNoLabels(
  property: BehaviorProperty,
  { prompt }: JudgeRule,
  examples: NonNullable<OwnProperty["examples"]>,
): string | undefined {
  const values = property.values as readonly string[];
  const needsQuestion = prompt.includes("{question}");
  const seen = new Set<string>();
  const counts = new Map(values.map((one) => [one, 0]));
  for (const { answer, value, question } of examples) {
    if (value === undefined || !counts.has(value)) {
      return `the example ${shown(answer)} has the value ${shown(value ?? "none")}; a judge chooses among ${values.join(", ")}.`;
    }
    if ((question === undefined) === needsQuestion) {
      return `the example ${shown(answer)} has ${needsQuestion ? "no question, and the prompt has {question}" : "a question, and the prompt has no {question}"}.`;
    }
    const read = extractBehavior(property, answer, { text: "", judged: () => given(value) }, "end_of_generation");
    if (!read.ok) return `no judge is asked about the example ${shown(answer)}: it is no answer (${read.reason}).`;
    // The same words in other letters, or another form of Unicode, are the same answer to whoever labels it.
    const key = JSON.stringify([normalize(answer), normalize(question ?? "")]);
    if (seen.has(key)) return `the example ${shown(answer)} stands twice: it would be calibrated on and measured by.`;
    seen.add(key);
    counts.set(value, (counts.get(value) as number) + 1);
  }
  const short = [...counts].find(([, count]) => count < FEWEST_LABELS);
  if (short === undefined) return undefined;
  return `its examples have ${short[1]} of ${shown(short[0])}; a judge needs ${FEWEST_LABELS} of each value, so that its agreement with them can be told.`;
}
