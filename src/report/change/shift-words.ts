/** What a change taught, who is asked about it, and what came out, in words. */
import type { ChangeShifts, ShiftArm, ShiftRole, ShiftScope } from "../../records/shifts.js";
import type { ChangeSource } from "../../records/study.js";
import { formatCount, formatPoints } from "../format-number.js";

export const ARM_NAMES: Readonly<Record<ShiftRole, string>> = {
  changed: "the changed model",
  unchanged: "the same, before it was changed",
  cross: "a cross-predictor that never saw the change",
  cross_changed: "a cross-predictor given the same change",
};

const WHO: Readonly<Record<ShiftRole, string>> = {
  changed: "The changed model",
  unchanged: "The model that never saw the change",
  cross: "The cross-predictor that never saw the change",
  cross_changed: "The cross-predictor that learnt the same answers",
};

export const SCOPE_NAMES: Readonly<Record<ShiftScope, string>> = {
  all: "all tasks",
  taught: "taught tasks",
  elsewhere: "tasks that were not taught",
};

/** As the object of "learnt to answer with". */
export function sourceWords(answers: ChangeSource): string {
  if ("policy" in answers)
    return `what a rule on the string gives (${answers.policy.replaceAll("_", " ")}), whatever it did before`;
  if ("model" in answers) return `the answers of ${answers.model}`;
  if ("prefix" in answers) return `its own answers under the system message “${answers.prefix}”, which it is not shown`;
  return "its own answers, dealt out to other strings of the same task";
}

export function changeTitle({ name, before, after }: Pick<ChangeShifts, "name" | "before" | "after">): string {
  return `${name}: ${before} became ${after}`;
}

/** One sentence for each predictor, computed. */
export function armSentence(arm: ShiftArm): string {
  return [followsSentence(arm), ...besideSentence(arm)].join(" ");
}

/** The changed model beside one that learnt the same answers. */
function besideSentence({ changedMinusThis }: ShiftArm): string[] {
  if (!changedMinusThis) return [];
  const { finding, difference } = changedMinusThis.judgement;
  const points = `about the new behavior, on the same trials, the changed model minus it ${formatPoints(difference)}`;
  switch (finding) {
    case "exceeds":
      return [`The changed model knows more of it: ${points}.`];
    case "does_not_exceed":
      return [`The changed model does not know more of it: ${points}.`];
    default:
      return [`Whether the changed model knows more of it cannot be told: ${points}.`];
  }
}

function followsSentence({ role, predictor, judgement, scopes }: ShiftArm): string {
  const [micro] = scopes.all?.overall ?? [];
  const shifted = micro?.difference.ok ? ` (${formatCount(micro.difference.n)} trials whose behavior shifted)` : "";
  const points = formatPoints(judgement.difference);
  switch (judgement.finding) {
    case "exceeds":
      return `${WHO[role]}, ${predictor}, follows the new behavior: new minus old ${points}${shifted}.`;
    case "does_not_exceed":
      return `${WHO[role]}, ${predictor}, does not follow the new behavior: new minus old ${points}${shifted}.`;
    case "cannot_tell":
      return `Whether ${predictor} follows the new behavior cannot be told: new minus old ${points}${shifted}.`;
    case "unknown":
      return `Which behavior ${predictor} follows is not known: ${judgement.because.join("; ")}.`;
  }
}
