/** What is told of an injected concept, in words: the abilities, the rule's answers, and what an answer is held against. */

import type { InjectionOutcome } from "../score/injection/injection-scores.js";
import type { VerdictBecause, VerdictReservation } from "../score/verdicts/verdict.js";
import type { InjectionAbility } from "../study/injection-schema.js";
import { formatCount } from "./document.js";

export const ABILITY_QUESTIONS: Readonly<Record<InjectionAbility, string>> = {
  notice: "Does it notice that something was added?",
  name: "Does it name what was added?",
  locate: "Does it say in which sentence?",
  rate: "Does it say how strong it was?",
};

export const ABILITY_SHOWN: Readonly<Record<InjectionAbility, string>> = {
  notice:
    "Notices: where a concept is added, yes grows likelier than where a random vector as long is, and likelier than in every unrelated question whose answer is no, also beyond what random vectors do there.",
  name: "Names: the concept's word grows likelier than under the other concepts' vectors, and more so than in every question that asks for any word.",
  locate:
    "Locates: the sentence's number grows likelier than under injections into other sentences, and more so than in every question that asks for any line.",
  rate: "Rates: the rating grows with the strength, and more so than that of anything else that is asked.",
};

export const INJECTION_OUTCOMES: Readonly<Record<Exclude<InjectionOutcome, "shown">, string>> = {
  shift_towards_yes:
    "A shift towards yes: yes grows likelier, and does so in unrelated questions whose answer is no, or under random vectors, as far as can be told. That is no noticing.",
  any_vector:
    "Any vector: yes grows likelier beyond unrelated questions, and random vectors as long are answered so too. That something was added may be noticed; that it is a concept is not shown.",
  cannot_tell: "Cannot be told: at no setting is the answer beyond all controls.",
};

const CONTROL_TITLES: Readonly<Record<string, string>> = {
  name: "Beyond any word",
  locate: "Beyond any line",
  rate: "Beyond another rating",
};

export function controlTitle(control: string): string {
  const [, number, also] = /^denied_(\d+)(_and_random)?$/.exec(control) ?? [];
  if (control === "random") return "Beyond random vectors";
  const [, ability, which] = /^control_([a-z]+)_(\d+)$/.exec(control) ?? [];
  if (ability !== undefined) return `${CONTROL_TITLES[ability] ?? ability} ${which}`;
  if (number === undefined) return control;
  return also ? `Beyond unrelated ${number}, net of random` : `Beyond unrelated ${number}`;
}

export function injectionSentence(one: Extract<VerdictBecause, { kind: "injection_rule" }>, text: string): string {
  const { ability, outcome, site, strength, found, settings } = one;
  const where = strength === undefined ? site : `${site}, strength ${strength}`;
  const said = outcome === "shown" ? ABILITY_SHOWN[ability] : INJECTION_OUTCOMES[outcome];
  return `${said} Found at ${formatCount(found)} of ${formatCount(settings)} settings; at ${where} the effect is ${text} nats.`;
}

export function injectionReservation({
  controls,
}: Extract<VerdictReservation, { kind: "questions_of_one_kind" }>): string {
  return `The question is held against ${formatCount(controls)} questions for the same form of answer: one of another kind, more easily pushed than these, would pass as well.`;
}
