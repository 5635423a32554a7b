/** Verdicts in words. What was found stands in the data; nothing here decides anything. */

import { warningText } from "../score/cell.js";
import type { Finding } from "../score/comparison/comparison.js";
import { changeReasonText } from "../score/comparison/judge-change.js";
import { type DifferenceReason, differenceReasonText } from "../score/comparison/judge.js";
import type { Estimate } from "../score/interval.js";
import type { FittedForm } from "../score/matrix/matrix.js";
import type {
  NoVerdict,
  Plateau,
  Verdict,
  VerdictAbout,
  VerdictBecause,
  VerdictNumber,
  VerdictReservation,
} from "../score/verdicts/verdict.js";
import type { ExperimentName } from "../study/schema.js";
import {
  type Block,
  formatCount,
  formatEstimate,
  formatMissing,
  formatPercent,
  formatPoints,
  type Inline,
} from "./document.js";
import { AMONG, numberOf, numberText, rulePhrase } from "./verdict-numbers.js";
import { ABILITY_QUESTIONS, injectionReservation, injectionSentence } from "./injection-words.js";
import { simulationReservation, simulationSentence } from "./simulation-words.js";
import { standingAnswer } from "./standing.js";
import { byId, type StateNames } from "./state-names.js";
import { ARM_NAMES, joinWords, PARTY_PHRASES, plural, readableName, SCOPE_NAMES, SCOPE_WORDS } from "./terms.js";

export const QUESTIONS: Readonly<Record<ExperimentName, string>> = {
  self_prediction:
    "Asked beforehand, does a model say what it does, better than can be said from the string, from its common answers, or by it untrained?",
  cross_prediction:
    "Does a model predict what it does better than another model that learnt the same behavior from the same examples?",
  calibration:
    "At temperature 1, is the probability that a model gives to a behavior the probability that it shows it, and nearer than another predictor's?",
  behavioral_change:
    "After a model was finetuned to behave otherwise, on object-level questions alone, do its predictions follow what it does now?",
  matrix:
    "Over all predictors and targets, does a state predict itself better than its skill, the target's predictability and their likeness explain?",
  self_simulation:
    "When a model says what it would do, does what it says go through a simulated behavior, or is it looked up from the text?",
  injection:
    "When a concept is added to a model's states while it reads, can it tell that something was added, what, where and how strong?",
  limits:
    "Does self-prediction reach properties of long answers, of being challenged, and of being right, beyond their most common value?",
};

const MISSING: Readonly<Record<NoVerdict, string>> = {
  nobody_predicts_itself: "nobody predicts itself in this study",
  no_self_and_cross: "no target has both a self- and a cross-predictor",
  no_distributions: "no distributions were measured",
  no_change: "no behavior was changed",
  no_matrix: "no matrix was made",
  nothing_patched: "nothing was written inside",
  nothing_injected: "nothing was injected",
  no_limit_property: "no task of the study has a property of long answers, challenges or truth",
  nothing_to_judge: "the study has nothing for it to be judged on",
};

export function missingText(missing: NoVerdict | undefined): string {
  return MISSING[missing ?? "nothing_to_judge"];
}

export function aboutText(about: VerdictAbout, names: StateNames = byId): string {
  const seeds = "seeds" in about && about.seeds > 1 ? `, ${formatCount(about.seeds)} seeds` : "";
  switch (about.kind) {
    case "self":
      return `${names(about.self)}, about ${about.self === about.target ? "itself" : names(about.target)}${seeds}`;
    case "self_and_cross":
      return `${names(about.self)} against ${names(about.cross)}, about ${names(about.target)}${seeds}`;
    case "net_of_skill":
      return `${names(about.self)} and ${names(about.otherSelf)} about themselves against each other, skill taken out${seeds}`;
    case "untrained":
      return `${names(about.self)} against ${names(about.cross)}, about ${names(about.target)}, where both reply in form`;
    case "probabilities":
      return `${names(about.predictor)}, about ${about.predictor === about.target ? "itself" : names(about.target)}`;
    case "change":
      return `${about.change}: ${names(about.before)} became ${names(about.after)}, ${SCOPE_NAMES[about.scope]}`;
    case "predictors":
      return PREDICTOR_GROUPS[about.predictors];
    case "logprob_differences":
      return "logprob differences, direct against asked for (Song et al.)";
    case "injection":
      return `${names(about.predictor)}: ${ABILITY_QUESTIONS[about.ability]}`;
    case "simulation":
    case "property":
      return `${readableName(about.property)} of ${readableName(about.task)}: ${names(about.predictor)}, about ${about.predictor === about.target ? "itself" : names(about.target)}`;
  }
}

/** What a verdict is about, and on which trials. */
export function verdictText({ about, scope }: Pick<Verdict, "about" | "scope">, names: StateNames = byId): string {
  const where = SCOPE_WORDS[scope ?? "all"];
  return where === "" ? aboutText(about, names) : `${aboutText(about, names)}, on ${where}`;
}

/** Ids of the states that a verdict is about, to stand beside their names. */
export function aboutStates(about: VerdictAbout): string[] {
  const named = [
    ...("self" in about ? [about.self] : []),
    ...("cross" in about ? [about.cross] : []),
    ...("predictor" in about ? [about.predictor] : []),
    ...("before" in about ? [about.before, about.after] : []),
    ...("target" in about ? [about.target] : []),
  ];
  return [...new Set(named)];
}

export const PREDICTOR_GROUPS: Readonly<Record<FittedForm["predictors"], string>> = {
  all: "all predictors",
  trained: "trained predictors",
  untrained: "untrained predictors",
};

// A verdict as sentences: first what decided it, then the rest.

/** Whom it is about, without the answer, is its title's. @returns the deciding comparison first, and everything else */
export function verdictSentences(verdict: Verdict, names: StateNames = byId): { lead: string; more: string[] } {
  const { because, decidedBy, reservations } = verdict;
  const deciding = because.find((one) => "key" in one && one.key === decidedBy);
  const sentence = (one: VerdictBecause) => becauseSentence(one, verdict, names);
  return {
    lead: deciding ? decidingSentence(deciding, verdict, names) : "Nothing that it takes to answer was compared.",
    more: [
      ...overallSentence(verdict),
      ...because.filter((one) => one !== deciding).map(sentence),
      ...reservations.map((one) => reservationSentence(one, verdict.about, names)),
    ],
  };
}

export function verdictBlock(verdict: Verdict, names: StateNames = byId): Block {
  const { lead, more } = verdictSentences(verdict, names);
  return {
    kind: "verdict",
    title: [`${standingAnswer(verdict)} — ${verdictText(verdict, names)}`],
    ids: names === byId ? [] : aboutStates(verdict.about),
    lead: [lead],
    more: more.map((text): Inline[] => [text]),
  };
}

const OVERALL: Record<Finding, string> = {
  exceeds: "Self-prediction exceeds everything that needs no self",
  does_not_exceed: "Self-prediction does not exceed everything that needs no self",
  cannot_tell: "Whether self-prediction exceeds everything that needs no self cannot be told from these trials",
  unknown: "Whether self-prediction exceeds everything that needs no self is not known",
};

/** Where several comparisons must all come out. */
function overallSentence({ about, finding, reservations }: Verdict): string[] {
  if (about.kind !== "self") return [];
  const isIncomplete = reservations.some(({ kind }) => kind === "not_compared");
  return [
    `${OVERALL[finding]}${isIncomplete ? ", as far as it was compared, which is not all that it should be" : ""}.`,
  ];
}

/** The same sentence, with how much is behind it. */
function decidingSentence(one: VerdictBecause, verdict: Verdict, names: StateNames): string {
  const estimate = "key" in one ? numberOf(verdict, one.key)?.estimate : undefined;
  if (one.kind === "self_against") {
    // A missing estimate says itself why it is missing.
    const why = whyText(one.reasons.filter(({ kind }) => kind !== "no_difference"));
    return `Against ${partyPhrase(one.against, names)}${one.among ? AMONG[one.among] : ""}: ${points(estimate)}${behind(estimate)}${why}.`;
  }
  const text = becauseSentence(one, verdict, names);
  // The change's sentence counts its trials; those of the matrix count cells.
  return one.kind === "follows_change" || one.kind === "self_effect" || !estimate?.ok
    ? text
    : `${text.slice(0, -1)}${behind(estimate)}.`;
}

function behind(estimate: Estimate | undefined): string {
  if (!estimate?.ok) return "";
  return `, ${plural(estimate.n, "trial", formatCount(estimate.n))} of ${plural(estimate.clusters, "string", formatCount(estimate.clusters))}`;
}

function becauseSentence(one: VerdictBecause, verdict: Verdict, names: StateNames): string {
  const number = "key" in one ? numberOf(verdict, one.key) : undefined;
  const text = number ? numberText(number) : formatMissing("not computed");
  switch (one.kind) {
    case "self_against":
      return againstSentence(one, text, names);
    case "net_of_skill":
      return netSentence(one, text, verdict);
    case "beats_constant":
      return `Its probabilities ${SKILL[one.finding]}: skill ${text}.`;
    case "nearer":
      return `${NEARER[one.finding]} those of ${names(one.than)}: Brier score minus its ${text}.`;
    case "follows_change":
      return followsSentence(one, text, names);
    case "above_mode_new":
    case "new_minus_old_matched":
      return `${WHO[one.role]}, ${names(one.predictor)}: ${FOLLOWS_WITHOUT_MODE[one.kind][one.finding]}, ${text}${whyText(one.reasons)}.`;
    case "knows_more":
      return `${KNOWS_MORE[one.finding]} than ${names(one.than)}, ${ARM_NAMES[one.role]}: about the new behavior, on the same trials, the changed model minus it ${text}${whyText(one.reasons)}.`;
    case "self_effect":
      return selfEffectSentence(one, verdict, text);
    case "self_on_misses":
      return onMissesSentence(one, text);
    case "likeness_explains":
      return likenessSentence(one, verdict, text);
    case "other_fits":
      return otherFitsSentence(one);
    case "own_or_other":
      return preferenceSentence(one, number);
    case "simulation_rule":
      return simulationSentence(one, text);
    case "injection_rule":
      return injectionSentence(one, text);
    case "with_effects":
      return `With an effect of each judge and each judged state it is ${text}.`;
    case "beats_rule":
      return `${RULE[one.finding]} ${rulePhrase(one.against)}: ${shareText(number?.baselines.accuracy)} against ${shareText(number?.baselines[one.against])}, ${text}.`;
    case "beats_mode": {
      const { accuracy, mode_train: mode } = number?.baselines ?? {};
      return `${MODE[one.finding]}: ${shareText(accuracy)} against ${shareText(mode)}, ${text}.`;
    }
  }
}

function points(estimate: Estimate | undefined): string {
  return formatPoints(estimate ?? { ok: false, reason: "not computed" });
}

function shareText(estimate: Estimate | undefined): string {
  return formatEstimate(estimate ?? { ok: false, reason: "not computed" });
}

function partyPhrase(against: string, names: StateNames): string {
  return PARTY_PHRASES[against] ?? names(against);
}

function whyText(reasons: readonly DifferenceReason[]): string {
  return reasons.length === 0 ? "" : ` (${reasons.map(differenceReasonText).join("; ")})`;
}

function againstSentence(
  { against, among, finding, reasons }: Extract<VerdictBecause, { kind: "self_against" }>,
  text: string,
  names: StateNames,
): string {
  const other = `${partyPhrase(against, names)}${among ? AMONG[among] : ""}`;
  const why = whyText(reasons);
  switch (finding) {
    case "exceeds":
      return `Self exceeds ${other} by ${text}${why}.`;
    case "does_not_exceed":
      return `Self does not exceed ${other}: difference ${text}${why}.`;
    case "cannot_tell":
      return `Whether self exceeds ${other} cannot be told: difference ${text}${why}.`;
    case "unknown":
      return `Whether self exceeds ${other} is not known${why}.`;
  }
}

const SKILL: Readonly<Record<Finding, string>> = {
  exceeds: "tell more than always giving the mean behavior",
  does_not_exceed: "tell less than always giving the mean behavior",
  cannot_tell: "are not shown to tell more than always giving the mean behavior",
  unknown: "cannot be compared with always giving the mean behavior",
};

const NEARER: Readonly<Record<Finding, string>> = {
  exceeds: "They are nearer to the behavior's than",
  does_not_exceed: "They are farther from the behavior's than",
  cannot_tell: "It cannot be told whether they are nearer to the behavior's than",
  unknown: "It is not known whether they are nearer to the behavior's than",
};

const KNOWS_MORE: Readonly<Record<Finding, string>> = {
  exceeds: "The changed model knows more of it",
  does_not_exceed: "The changed model does not know more of it",
  cannot_tell: "It cannot be told whether the changed model knows more of it",
  unknown: "It is not known whether the changed model knows more of it",
};

const FOLLOWS_WITHOUT_MODE: Readonly<
  Record<"above_mode_new" | "new_minus_old_matched", Readonly<Record<Finding, string>>>
> = {
  above_mode_new: {
    exceeds: "it is right about the new behavior more often than its most common value",
    does_not_exceed: "it is not right about the new behavior more often than its most common value",
    cannot_tell: "it cannot be told whether it is right about the new behavior more often than its most common value",
    unknown: "it is not known whether it is right about the new behavior more often than its most common value",
  },
  new_minus_old_matched: {
    exceeds: "with old and new behaviors equally frequent it follows the new one",
    does_not_exceed: "with old and new behaviors equally frequent it does not follow the new one",
    cannot_tell: "with old and new behaviors equally frequent it cannot be told whether it follows the new one",
    unknown: "whether it follows the new behavior where old and new are equally frequent is not known",
  },
};

const MODE: Readonly<Record<Finding, string>> = {
  exceeds: "It beats always giving the most common behavior",
  does_not_exceed: "It falls short of always giving the most common behavior",
  cannot_tell: "It is not shown to beat always giving the most common behavior",
  unknown: "It cannot be compared with always giving the most common behavior",
};

const RULE: Readonly<Record<Finding, string>> = {
  exceeds: "It beats",
  does_not_exceed: "It falls short of",
  cannot_tell: "It is not shown to beat",
  unknown: "It cannot be compared with",
};

const WHO = {
  changed: "The changed model",
  unchanged: "The model that never saw the change",
  cross: "The cross-predictor that never saw the change",
  cross_changed: "The cross-predictor that learnt the same answers",
} as const;

function followsSentence(
  { predictor, role, finding, shiftedTrials, reasons }: Extract<VerdictBecause, { kind: "follows_change" }>,
  text: string,
  names: StateNames,
): string {
  const shifted = shiftedTrials === undefined ? "" : ` (${formatCount(shiftedTrials)} trials whose behavior shifted)`;
  const who = `${WHO[role]}, ${names(predictor)},`;
  const why = whyText(reasons);
  switch (finding) {
    case "exceeds":
      return `${who} follows the new behavior: new minus old ${text}${shifted}${why}.`;
    case "does_not_exceed":
      return `${who} does not follow the new behavior: new minus old ${text}${shifted}${why}.`;
    case "cannot_tell":
      return `Whether ${names(predictor)} follows the new behavior cannot be told: new minus old ${text}${shifted}${why}.`;
    case "unknown":
      return `Which behavior ${names(predictor)} follows is not known${why}.`;
  }
}

const EXPLAINED = "than its skill, the target's predictability and their likeness explain";
const SAYS = "what a state says of its own probabilities follows them";

function selfEffectSentence(
  { finding, reason }: Extract<VerdictBecause, { kind: "self_effect" }>,
  { about }: Verdict,
  text: string,
): string {
  if (about.kind === "logprob_differences") {
    const beta = `the coefficient of self is ${text}`;
    switch (finding) {
      case "exceeds":
        return `In logprobs, ${SAYS} more than likeness explains: ${beta}.`;
      case "does_not_exceed":
        return `In logprobs, ${SAYS} less than likeness explains: ${beta}.`;
      case "cannot_tell":
        return `In logprobs, whether ${SAYS} more than likeness explains cannot be told: ${beta}, which holds 0.`;
      case "unknown":
        return `In logprobs, whether ${SAYS} more than likeness explains is not known: ${reason ?? beta}.`;
    }
  }
  const over = about.kind === "predictors" ? `Over ${PREDICTOR_GROUPS[about.predictors]}` : "Here";
  switch (finding) {
    case "exceeds":
      return `${over}, a state predicts itself better ${EXPLAINED}: γ = ${text}.`;
    case "does_not_exceed":
      return `${over}, a state predicts itself worse ${EXPLAINED}: γ = ${text}.`;
    case "cannot_tell":
      return `${over}, whether a state predicts itself better ${EXPLAINED} cannot be told: γ = ${text}, which holds 0.`;
    case "unknown":
      return `${over}, whether a state predicts itself better ${EXPLAINED} is not known: ${reason ?? `γ = ${text}`}.`;
  }
}

const ON_MISSES: Readonly<Record<Finding, string>> = {
  exceeds: "There is a self effect on the scale of −log(1 − accuracy) too",
  does_not_exceed: "On the scale of −log(1 − accuracy) the self effect lies below 0",
  cannot_tell: "On the scale of −log(1 − accuracy), where skill and guessing add up, no self effect is shown",
  unknown: "Whether there is a self effect on the scale of −log(1 − accuracy) is not known",
};

function onMissesSentence(
  { finding, reason }: Extract<VerdictBecause, { kind: "self_on_misses" }>,
  text: string,
): string {
  return finding === "unknown"
    ? `${ON_MISSES.unknown}: ${reason ?? `γ = ${text}`}. A yes takes both scales.`
    : `${ON_MISSES[finding]}: γ = ${text}.${finding === "exceeds" ? "" : " A yes takes both scales: unequal skills and unequally easy targets may look like access on one."}`;
}

function likenessSentence(
  { withoutLikeness: before, withLikeness: after }: Extract<VerdictBecause, { kind: "likeness_explains" }>,
  verdict: Verdict,
  text: string,
): string {
  const becomes =
    before === "above" && after !== "above" && after !== "unknown"
      ? ": what looks like self-knowledge there is not told from likeness"
      : before === "above" && after === "above"
        ? ": it stays above 0 once likeness is taken out"
        : "";
  const likeness = numberOf(verdict, "likeness_coefficient");
  const delta =
    after === "unknown" || !likeness
      ? ""
      : ` Behaving alike in everything instead of nothing is worth δ = ${numberText(likeness)}.`;
  return `Without likeness γ is ${text}${becomes}.${delta}`;
}

function otherFitsSentence({ agree, differ }: Extract<VerdictBecause, { kind: "other_fits" }>): string {
  return [
    ...(agree.length > 0 ? [`It stands as well ${agree.map(fitText).join("; ")}.`] : []),
    ...(differ.length > 0 ? [`It does not stand, or is not known, ${differ.map(fitText).join("; ")}.`] : []),
  ].join(" ");
}

function fitText({ average, form }: Pick<FittedForm, "average" | "scale" | "form">): string {
  if (form === "relations") return "beside the other relations of predictor and target";
  return average === "macro" ? "where every task and property weighs the same" : "in another form";
}

function preferenceSentence(
  { side }: Extract<VerdictBecause, { kind: "own_or_other" }>,
  number: VerdictNumber | undefined,
): string {
  const where = "Where two of them behave differently, a state says what it does itself";
  const { own, others } = number?.baselines ?? {};
  const difference = number?.estimate;
  if (!own?.ok || !others?.ok || !difference?.ok) {
    const missing = [own, others, difference].find((one) => one && !one.ok);
    return `${where} ${formatMissing(missing && !missing.ok ? missing.reason : "not computed")}.`;
  }
  const outcome =
    side === "above"
      ? "its own more often"
      : side === "below"
        ? "the other's more often"
        : "which of the two more often cannot be told";
  return `${where} in ${formatPercent(own.value)} and what the other does in ${formatPercent(others.value)} of trials, a difference of ${formatPoints(difference)}: ${outcome}.`;
}

function reservationSentence(one: VerdictReservation, about: VerdictAbout, names: StateNames): string {
  const [self, cross] = about.kind === "self_and_cross" ? [names(about.self), names(about.cross)] : ["self", "cross"];
  switch (one.kind) {
    case "not_compared":
      return `Not compared with ${partyPhrase(one.against, names)}: ${one.reason}.`;
    case "not_at_plateau":
      return plateauSentence(one.plateau, names);
    case "one_trained":
      return `${one.trained === "self" ? self : cross} was trained to predict and ${one.trained === "self" ? cross : self} was not: the difference is one of training before it is one of access.`;
    case "fewer_strings":
      return `The study promises ${formatCount(one.promised)} strings, and ${formatCount(one.compared)} could be compared: the others have no answer that counts.`;
    case "same_weights":
      return `${cross} runs on the same base weights as ${self}, under another name: it is another training, not another model.`;
    case "skill_not_ruled_out":
      return skillSentence(one, names);
    case "form_not_ruled_out":
      return `Where both reply in form the difference is ${formatPoints(one.difference)}: part of it can be the form of replies alone.`;
    case "too_few_moved":
      return one.strings === undefined
        ? "Which behaviors training moved is not known, because the model was not asked before it: who merely knows what it did before is not told apart."
        : `Only ${plural(one.strings, "string", formatCount(one.strings))} have a behavior that training moved (fewer than ${one.fewest}): the finding rests on all trials, and who merely knows what the model did before is not told apart.`;
    case "stale_labels":
      return `The most common behavior and the classifiers of strings learnt from what ${names(one.source)} did: the trained model's own train strings were not asked, so they may fall short of what can be known of its new behavior without it.`;
    case "no_self_suffices":
      return noSelfSentence(one, self, names);
    case "few_base_models":
      return `Only ${plural(one.models, "base model", formatCount(one.models))} (fewer than ${formatCount(one.fewest)}): with so short a ladder likeness is hardly told from being the same state.`;
    case "likeness_hides_self":
      return "A state that merely says what it would do itself has δ = 1 and γ = 0: no self effect refutes no self-knowledge.";
    case "prompt_quoted_in_part":
      return quotedInPartSentence(one);
    case "implanted":
      return one.told
        ? `Positive control: what ${names(one.state)} would answer to each of these strings was taught to it (implant ${one.implant}), held-out ones included. That it knows is planted, and no finding about any model.`
        : `What ${names(one.state)} does on these strings was planted by training (implant ${one.implant}), and no question about it was: the answer is one about access to what weights hold, not about the model as it came.`;
    case "tails_open":
      return "Continuations that were not looked into could turn a comparison: it does not hold whatever they hold.";
    case "donors_said_alike":
    case "two_values":
    case "moved_by_vectors_alone":
    case "declared_sites_alone":
    case "not_above_mode":
      return simulationReservation(one);
    case "questions_of_one_kind":
      return injectionReservation(one);
    case "not_asked":
    case "unseen_follow":
    case "nobody_unseen":
    case "nobody_taught_alike":
    case "all_taught":
    case "planted":
    case "control_not_found":
      return sentenceOf(changeReasonText(one));
    default:
      return warningText(one);
  }
}

function quotedInPartSentence({
  wordings,
  tasks,
}: Extract<VerdictReservation, { kind: "prompt_quoted_in_part" }>): string {
  const [what, quotes] = wordings.length === 1 ? ["wording", "quotes"] : ["wordings", "quote"];
  return `About ${tasks.join(", ")}, the ${what} ${wordings.join(", ")} ${quotes} only a part of what the target was given, solved examples or earlier turns left out: predictions are about a prompt that the target never got.`;
}

const NET: Readonly<Record<Finding, string>> = {
  exceeds: "Once skill and predictability are taken out, the two together predict themselves better than each other",
  does_not_exceed:
    "Once skill and predictability are taken out, nothing that would count is left of self minus cross, summed over the two",
  cannot_tell:
    "Whether anything is left of self minus cross once skill and predictability are taken out cannot be told",
  unknown: "Whether anything is left of self minus cross once skill and predictability are taken out is not known",
};

function netSentence(
  { finding, because }: Extract<VerdictBecause, { kind: "net_of_skill" }>,
  text: string,
  verdict: Verdict,
): string {
  const misses = numberOf(verdict, "net_of_skill_on_misses");
  const why = because.length === 0 ? "" : ` (${because.join("; ")})`;
  return `${NET[finding]}: ${text}${misses ? `, and of −log(1 − accuracy) ${numberText(misses)}` : ""}${why}.`;
}

function skillSentence(
  {
    difference,
    reason,
    hasNetOfSkill,
    models: [one, other],
  }: Extract<VerdictReservation, { kind: "skill_not_ruled_out" }>,
  names: StateNames,
): string {
  const measured = difference
    ? `${names(other)} is not measured to be at least as strong: about itself minus ${names(one)} about itself, each above its mode, ${formatPoints(difference)}`
    : `How strong ${names(other)} is was not measured: ${reason ?? ""}`;
  const next = hasNetOfSkill
    ? "What is left once skill is taken out has a verdict of its own."
    : `To take skill out, let both predict themselves and each other (study key predictions: { predictor: ${other}, target: ${other} } and { predictor: ${one}, target: ${other} }).`;
  return `${measured}. Self may simply predict better, whoever it is about: in made-up studies without any access, skill alone gave a yes in 94.5 % (docs/validation.md). ${next}`;
}

function noSelfSentence(
  { finding, against }: Extract<VerdictReservation, { kind: "no_self_suffices" }>,
  self: string,
  names: StateNames,
): string {
  const others = joinWords(against.map((one) => partyPhrase(one, names)));
  switch (finding) {
    case "does_not_exceed":
      return `On these trials ${self} is not better than what needs no self (${others}): beating the other model shows no self-knowledge.`;
    case "unknown":
      return `Whether ${self} is better on these trials than what needs no self is not known: nothing of the kind was compared.`;
    default:
      return `On these trials ${self} is not shown to be better than what needs no self (${others}).`;
  }
}

function sentenceOf(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

// Whether a series has reached its plateau.

export function seriesText({ kind, model, target }: Pick<Plateau, "kind" | "model" | "target">): string {
  return kind === "shown" ? `${model} shown behaviors of ${target}` : `${model} learning from strings of ${target}`;
}

export function plateauSentence(plateau: Plateau, names: StateNames = byId): string {
  const { kind, finding, reason, from, to, difference, reasons } = plateau;
  const series = seriesText({ kind, model: names(plateau.model), target: names(plateau.target) });
  const name = plateau.scope === "all" ? series : `${series} (${SCOPE_WORDS[plateau.scope]})`;
  if (!from || !to || !difference) return `Whether ${name} has reached its plateau is not known: ${reason ?? ""}.`;
  const unit = kind === "shown" ? "behaviors" : "strings";
  const sizes = `from ${formatCount(from.size)} (${formatEstimate(from.accuracy)} right) to ${formatCount(to.size)} ${unit} (${formatEstimate(to.accuracy)})`;
  const step = `${sizes}, difference ${formatPoints(difference)}`;
  const why = reasons.map((one) => `; ${differenceReasonText(one)}`).join("");
  switch (finding) {
    case "exceeds":
      return `${name} still rises, ${step}${why}: it has not reached its plateau.`;
    case "does_not_exceed":
      return `${name} has reached its plateau among these sizes: it no longer rises ${step}${why}.`;
    case "cannot_tell":
      return `Whether ${name} has reached its plateau cannot be told: ${step}${why}.`;
    case "unknown":
      return `Whether ${name} has reached its plateau is not known: ${reasons.map(differenceReasonText).join("; ")}.`;
  }
}
