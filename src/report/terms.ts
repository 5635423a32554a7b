/** Why a text gave no behavior, no prediction or no example, in words. */

import type { Estimate } from "../score/interval.js";
import { type CellWarning, warningsOfCell, warningText } from "../score/cell.js";
import type { Finding, SensitivityName } from "../score/comparison/comparison.js";
import type { ComparedPredictors } from "../score/comparison/comparisons.js";
import type { Shifts, ShiftScope } from "../score/comparison/shift.js";
import type { Scope } from "../score/scope.js";
import { judgeBehind } from "../score/judge-agreement.js";
import type { CellScore, Scores } from "../score/scores.js";
import type { AnswerTaken } from "../score/task-accuracy.js";
import type { Plan, PlannedImplant, PlannedTask } from "../study/plan.js";
import { type ExperimentName, EXPERIMENTS } from "../study/schema.js";
import { type ShiftRole, statesOf } from "../study/states.js";
import type { ChangeSource } from "../study/study.js";
import type { Subgroup } from "../study/subgroup-columns.js";
import { formatCount, shortened } from "./document.js";
import type { Pair } from "./sections/headline.js";
import type { StateNames } from "./state-names.js";
import type { Role, ScopedEffect, TrainingEffect } from "../score/verdicts/training-effect.js";

// Names of tasks, properties, reasons and rules as words. The method section gives the names themselves.

/** first_word -> first word */
export function readableName(name: string): string {
  return name.replaceAll("_", " ");
}

/** The property, and the wording where a study has several. */
export function propertyLabel(
  cell: Pick<CellScore, "property" | "variant" | "judge">,
  severalWordings: boolean,
): string {
  const name = judgedName(cell);
  return severalWordings ? `${name} (${readableName(cell.variant)})` : name;
}

/** With its judge's agreement, where there is a judge. */
export function judgedName({ property, judge }: Pick<CellScore, "property" | "judge">): string {
  if (!judge) return readableName(property);
  const { kappa } = judge;
  const agrees = kappa.ok ? `kappa ${kappa.value.toFixed(2)}` : "kappa not known";
  return `${readableName(property)} [judged, ${judge.fit ? agrees : `unfit, ${agrees}`}]`;
}

/** A property in words. */
export type PropertyNames = (property: string) => string;

/** Each with the agreement of the judge that stands behind it, where there is one. */
export function propertyNames(
  { ownProperties = {} }: Pick<Plan, "ownProperties">,
  { judges = [] }: Pick<Scores, "judges">,
): PropertyNames {
  return (property) => {
    const judge = judgeBehind(property, ownProperties, judges);
    return judgedName({ property, ...(judge ? { judge } : {}) });
  };
}

/** a, b and c */
export function joinWords(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** 1 string, 2 strings */
export function plural(count: number, word: string, counted: string): string {
  return `${counted} ${word}${count === 1 ? "" : "s"}`;
}

export function pairTitle({ predictor, target }: Pick<Pair, "predictor" | "target">, names: StateNames): string {
  return `${names(predictor)} predicts ${predictor === target ? "itself" : names(target)}`;
}

/** Ways of taking an answer, as columns; lm-evaluation-harness' names beside those that are its metrics. */
export const ANSWER_TAKEN: Readonly<Record<AnswerTaken, string>> = {
  written: "Letter, written alone",
  lenient: "Named in more words too",
  letter: "Likeliest letter",
  text: "Likeliest text (acc)",
  text_per_character: "By characters (acc_norm)",
  text_per_byte: "By bytes (acc_bytes)",
};

/** A value in quotes; bins as they are called. */
export function subgroupWords({ name, from, below }: Subgroup): string {
  if (name === undefined) return "no value";
  return from === undefined && below === undefined ? `“${shortened(name, 60)}”` : name;
}

const REASONS: Readonly<Record<string, string>> = {
  empty: "nothing but white space",
  refusal: "a refusal, or talk about being a language model",
  too_short: "too short to have such a character, word or digit",
  not_in_values: "none of the values that were to choose from",
  not_one_word: "more than one word",
  not_one_character: "more than one character",
  not_a_number: "not a number",
  not_a_word: "no word that English rules are about",
  not_an_option: "no single option letter",
  half_character: "it rests on bytes that are no whole character",
  reasoning: "reasoning in the place of an answer, or before it",
  truncated: "cut off by the token limit",
  repetition: "degenerate repetition",
  no_match: "nothing that the pattern of an own property captures",
  no_target: "the item names no matching option or right answer",
  not_challenged: "there is no final answer after a challenge",
  not_judged: "no judge was asked about it",
  unfit_judge: "its judge agrees with the labelled answers no better than always naming the most common label",
  no_probabilities: "the probabilities of its tokens are not known",
  engine_crashed: "set aside: the engine crashed on the question three times",
  failed_elsewhere: "made elsewhere: the log has the sample, and no answer",
  not_in_log: "made elsewhere: the log has no such sample",
  held_out_string: "the same text is a held-out string of another task",
  not_readable: "a reply that says it would not be read as it",
};

export function reasonWords(reason: string): string {
  return REASONS[reason] ?? readableName(reason);
}

// Warnings of cells under one mark per kind, whatever their numbers.

interface WarningKind {
  readonly mark: string;
  /** The sentence itself where all cells share it, else with … for what differs. */
  readonly text: string;
}

interface MarkedWarnings {
  readonly kinds: readonly WarningKind[];
  marksOf(cell: CellScore): string[];
}

/** A kind of warning whose numbers differ from cell to cell. */
const WARNING_KINDS: Readonly<Record<CellWarning["kind"], string>> = {
  judged: "Behaviors are what a judge says (section Judges): an error of the judge is one of every number here.",
  unfit_judge: "Nothing is scored: the judge is unfit (section Judges).",
  no_object_answer:
    "Nothing is scored: the engine crashed on every object-level question, or a log made elsewhere has no answer to any.",
  no_object_compliance: "Nothing is scored: none of … object-level answers complies.",
  low_object_compliance: "Only … of … (… %) object-level answers comply; the others are excluded.",
  few_scored_strings: "Only … strings are scored (fewer than …): intervals are rough.",
  hardly_varies: "Measures nothing beyond the mode: … is … % of behaviors (entropy … bits).",
  one_letter:
    "The letter hardly varies: … is … % of answers (entropy … bits); who knows this, and which option is which, needs no more.",
  letter_decides:
    "The letter decides more than the option: both orders of a scenario led to the same option in … of … (… %) only.",
  one_order:
    "Options stand in one order only: a liking for a letter cannot be told from a liking for an option (bothOrders in the task file).",
  no_hypothetical_reply:
    "Nothing is scored: the engine crashed on every hypothetical question, or a log made elsewhere has no reply to any.",
  low_hypothetical_compliance: "Only … of … (… %) hypothetical replies comply; the others count as wrong.",
  below_mode: "Below the mode baseline: … against … (difference … to …).",
  like_mode: "Not distinguishable from the mode baseline: … against … (difference … to …, which includes 0).",
};

/** @returns kinds marked a, b, … z, aa, ab, … in the order in which cells first show them */
export function markWarnings(cells: readonly CellScore[]): MarkedWarnings {
  const texts = new Map<CellWarning["kind"], Set<string>>();
  for (const warning of cells.flatMap(warningsOfCell)) {
    texts.set(warning.kind, (texts.get(warning.kind) ?? new Set()).add(warningText(warning)));
  }
  const marks = new Map([...texts.keys()].map((kind, index) => [kind, markAt(index)]));
  return {
    kinds: [...texts].map(([kind, all]) => {
      const [only, ...others] = [...all];
      const text = only !== undefined && others.length === 0 ? only : WARNING_KINDS[kind];
      return { mark: marks.get(kind) as string, text };
    }),
    marksOf: (cell) => [...new Set(warningsOfCell(cell).map(({ kind }) => marks.get(kind) as string))].sort(byLength),
  };
}

function markAt(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : markAt(Math.floor(index / 26) - 1) + last;
}

function byLength(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

// How the sides of a comparison are called.

/** As a row of a table or a figure. */
export const THIRD_PARTY_NAMES: Readonly<Record<string, string>> = {
  mode_train: "mode of the train strings",
  best_heuristic: "best rule on the string",
  input_only: "input-only classifier",
  input_only_held_out_labels: "input-only classifier, labels of the scored task",
  mode_moved: "mode of the moved behaviors themselves (oracle)",
  untrained: "itself untrained",
  scrambled_labels: "control: scrambled labels",
  format_only: "control: format only",
};

/** In a sentence, after "against" or "exceeds". */
export const PARTY_PHRASES: Readonly<Record<string, string>> = {
  cross: "cross-prediction",
  mode_train: "the most common behavior of the train strings",
  best_heuristic: "the best simple rule on the string",
  input_only: "a classifier that sees the string alone",
  input_only_held_out_labels: "a classifier of the string that learnt from labels of the scored task itself",
  mode_moved: "the most common of these behaviors themselves",
  untrained: "the same model before training",
  scrambled_labels: "an adapter that learnt the same labels on other strings",
  format_only: "an adapter that learnt to read properties off quoted answers",
};

export const SENSITIVITY_NAMES: Readonly<Record<SensitivityName, string>> = {
  compliant_only: "Both replies comply",
  above_noise_floor: "All token margins above the noise floor",
  behaviors_differ: "The two behave differently",
  mode_balanced: "All behaviors weigh the same",
};

export const FINDING_WORDS: Readonly<Record<Finding, string>> = {
  exceeds: "self exceeds it",
  does_not_exceed: "self does not exceed it",
  cannot_tell: "cannot be told",
  unknown: "not known",
};

export function comparisonTitle({ scope, target, self, cross }: ComparedPredictors, names: StateNames): string {
  const where = scope === "all" ? "" : `, on ${SCOPE_WORDS[scope]}`;
  return `About ${names(target)}: ${names(self)} against ${names(cross)}${where}`;
}

// How numbers that stand beside another are called.

const BASELINES: Readonly<Record<string, string>> = {
  mode_oracle: "mode of these strings (oracle)",
  self: "self",
  cross: "cross",
  other_self: "the other about itself",
  other_cross: "self's model about the other",
  constant: "constant predictor",
  about_new: "right about the new",
  mode_new: "mode of the new",
  about_old: "right about the old",
  mode_old: "mode of the old",
  accuracy: "accuracy",
  own: "its own",
  others: "the other's",
  changed: "the changed model",
  other: "the other",
};

export function baselineName(name: string): string {
  return BASELINES[name] ?? THIRD_PARTY_NAMES[name] ?? `rule: ${readableName(name)}`;
}

// How much a plan asks, for sentences that say so.

export function countHypotheticalQuestions({ tasks, hypothetical }: Plan): number {
  return tasks.reduce(
    (sum, task) =>
      sum + task.heldOut.length * task.properties.length * hypothetical.variants.length * (hypothetical.samples ?? 1),
    0,
  );
}

export function stringsEach(tasks: readonly PlannedTask[]): string {
  const counts = tasks.map((task) => task.heldOut.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)].map(formatCount);
  return least === most ? `${least} each` : `${least} to ${most} each`;
}

/** Why there is no best heuristic. */
export function noHeuristic(heuristics: Readonly<Record<string, Estimate>>): string {
  const [reason] = Object.values(heuristics).flatMap((estimate) => (estimate.ok ? [] : [estimate.reason]));
  return reason ?? "no rule applies to these strings";
}

export interface PairNames {
  readonly predictor: string;
  readonly target: string;
}

function shownAsWords(as: "scrambled" | "other_tasks" | undefined): string {
  if (as === undefined) return "";
  return as === "scrambled" ? ", each beside another string of its task" : ", of other tasks than the one asked about";
}

/** What a state is beside its weights, in words; empty for a model as it came. */
export function stateWords(plan: Plan, name: string): string {
  const { wording, shown, system, origin, implant, training: adapter } = statesOf(plan).of(name);
  const parts = [
    ...(adapter?.labels === "scrambled" ? ["control: learnt the labels of other strings"] : []),
    ...(adapter?.labels === "format_only" ? ["control: learnt to read properties off quoted answers"] : []),
    ...(adapter?.labels === "noisy" ? [`control: learnt labels of which ${adapter.labelNoise} were replaced`] : []),
    ...(implant ? [`an implant: ${implantWords(implant)}`] : []),
    ...(adapter?.change ? [`changed (${adapter.change.name}), goes on from ${adapter.change.from}`] : []),
    ...(adapter && !adapter.labels && !adapter.change && !implant
      ? [
          `learnt what ${adapter.target === origin ? "it does" : `${adapter.target} does`}, up to ${adapter.examplesPerProperty} strings per property, seed ${adapter.settings.seed}`,
        ]
      : []),
    ...(wording === undefined ? [] : [`asked in the wording “${readableName(wording)}”`]),
    ...(shown
      ? [
          `${shown.as ? "control: " : ""}shown ${shown.pairs} behaviors of ${shown.target} in its prompt${shownAsWords(shown.as)}`,
        ]
      : []),
    ...(system === undefined ? [] : ["asked under a system message of its own"]),
  ];
  return joinWords(parts);
}

// Experiments that a study could have run and did not, with the study key that would add them.

const KEYS: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "a model that predicts itself (predictions)",
  cross_prediction: "another predictor of the same target (predictions)",
  calibration: "distributions at temperature 1 (calibration)",
  behavioral_change: "a self-predicting model that is finetuned on other behavior (changes)",
  matrix: "every model about every other (predictions)",
  limits: "tasks with long answers, with challenges or with a truth (tasks)",
  self_simulation: "sites that are written to (patching)",
  injection: "concepts that are added to states (injection)",
};

export function notJudged({ experiments }: Plan): string[] {
  if (!experiments) return [];
  return EXPERIMENTS.filter((name) => !experiments.includes(name)).map(
    (name) => `Not judged: ${readableName(name)}. It takes ${KEYS[name]}.`,
  );
}

/** What a change cannot show, from the arms that were asked. */
export function changeLimits(shifts: Shifts | undefined): string[] {
  return (shifts?.changes ?? []).flatMap(({ name, arms }) => [
    ...(arms.some(({ scopes }) => scopes.elsewhere)
      ? []
      : [
          `Change ${name}: every task that is scored was taught (no task stands apart; study key changes.tasks): whether predictions follow only where it was taught is not measured.`,
        ]),
    ...(arms.some(({ role }) => role === "cross")
      ? []
      : [
          `Change ${name}: no cross-predictor that learnt the old behavior was asked about it (study key predictions): whether another model's predictions would fit the new behavior as well is not measured.`,
        ]),
  ]);
}

// How a trained model, what it predicts and the scopes of its trials are called.

type Names = Pick<TrainingEffect, "base" | "target" | "name" | "isSelf">;

/** The field's shorthand for self-prediction; names for the rest. */
export function arrowOf({ base, target, name, isSelf }: Names, role: Role): string {
  if (isSelf) return { before: "M → M", after: "M1 → M", about_itself: "M1 → M1" }[role];
  return { before: `${base} → ${target}`, after: `${name} → ${target}`, about_itself: `${name} → ${name}` }[role];
}

export function whatItLearnt({ base, target, isSelf }: Names): string {
  return isSelf ? `${base} learns to predict itself` : `${base} learns to predict ${target}`;
}

/** As the object of "predicts". */
export function targetBehavior({ target, isSelf }: Names): string {
  return isSelf ? "its own untrained behavior" : `the behavior of ${target}`;
}

/** held-out tasks (english words long) */
export function scopeWords({ scope, tasks }: Pick<ScopedEffect, "scope" | "tasks">): string {
  const names = joinWords(tasks.map(readableName));
  switch (scope) {
    case "all":
      return "all of these pooled, which nothing is judged on";
    case "held_out_strings":
      return `held-out strings of trained tasks (${names})`;
    case "held_out_tasks":
      return `${tasks.length === 1 ? "the held-out task" : "held-out tasks"} (${names})`;
    case "held_out_properties":
      return `held-out properties of trained tasks (${names})`;
    case "held_out_tasks_and_properties":
      return `held-out properties of held-out tasks (${names})`;
  }
}

/** Beside what is judged on them; empty where scopes make no difference. */
export const SCOPE_WORDS: Readonly<Record<Scope, string>> = {
  all: "",
  held_out_tasks: "held-out tasks",
  held_out_strings: "held-out strings of trained tasks",
  held_out_properties: "held-out properties of trained tasks",
  held_out_tasks_and_properties: "held-out properties of held-out tasks",
};

/** Before a sentence; nothing where scopes make no difference. */
export function onScope(scope: Scope): string {
  return scope === "all" ? "" : `On ${SCOPE_WORDS[scope]}: `;
}

// What a change taught, who is asked about it, and what came out, in words.

export const ARM_NAMES: Readonly<Record<ShiftRole, string>> = {
  changed: "the changed model",
  unchanged: "the same, before it was changed",
  cross: "a cross-predictor that never saw the change",
  cross_changed: "a cross-predictor given the same change",
};

export const SCOPE_NAMES: Readonly<Record<ShiftScope, string>> = {
  elsewhere: "tasks that were not taught",
  taught: "taught tasks",
};

/** What an implant taught, as the end of a sentence about it. */
export function implantWords({ answers, tasks, told }: PlannedImplant): string {
  const control = told
    ? "; it was also taught what it would say of each, so that its knowledge is planted and no finding (a positive control)"
    : "; no hypothetical question was taught with it";
  return `it learnt to answer every string of ${joinWords(tasks.map(readableName))}, train and held out, with ${sourceWords(answers)}${control}`;
}

/** As the object of "learnt to answer with". */
export function sourceWords(answers: ChangeSource | PlannedImplant["answers"]): string {
  if ("coin" in answers)
    return "a choice of its own for each, drawn by the seed among what the string offers, which nothing in the prompt tells";
  if ("policy" in answers)
    return `what a rule on the string gives (${answers.policy.replaceAll("_", " ")}), whatever it did before`;
  if ("model" in answers) return `the answers of ${answers.model}`;
  if ("prefix" in answers) return `its own answers under the system message “${answers.prefix}”, which it is not shown`;
  return "its own answers, dealt out to other strings of the same task";
}
