/** The two doors to a property for texts that are still being written; `reading.ts` has them for whole ones. */
import { missing } from "../records/extraction.js";
import type { TaskKind } from "../records/task.js";
import { graphemes } from "./graphemes.js";
import type { BehaviorProperty, PropertyContext } from "./property.js";
import { extractBehavior, readReply } from "./reading.js";
import { refusalBegun } from "./refusal.js";
import type { Decision, TextDecider } from "./text-decider.js";

/**
 * Of the behavior that an answer shows. What `decidedBy` says, `extractBehavior` says of every longer text, but for three things:
 * a text can call itself a language model later on (`refusal`), a combining mark can change a plain letter, digit or mark that
 * stands at the end of what was decided by, and a text that the token limit cuts off may be without a value for another reason.
 */
export function behaviorDecider(property: BehaviorProperty, context: PropertyContext): TextDecider {
  return {
    decidedBy: (beginning) => unlessRefused(beginning, () => answerDecidedBy(property, beginning, context)),
    atEnd: (text, stop) => extractBehavior(property, text, context, stop),
  };
}

/** Of the prediction that a hypothetical reply makes; a value needs the reply's end. Exceptions as for behaviors. */
export function predictionDecider(property: BehaviorProperty): TextDecider {
  return {
    decidedBy: (beginning) => unlessRefused(beginning, () => property.replyDecidedBy?.(beginning) ?? "open"),
    atEnd: (text, stop) => readReply(property, text, stop),
  };
}

/** Whether behaviors are decided so late in answers to this kind of task that only samples tell their distribution. */
export function needsSamples(property: BehaviorProperty, kind: TaskKind): boolean {
  return property.decidedLate === true && (kind === "sequence" || kind === "continuation");
}

function unlessRefused(beginning: string, decide: () => Decision): Decision {
  if (beginning.trim() === "") return "open";
  const refusal = refusalBegun(beginning);
  if (refusal === "answer") return decide();
  return refusal === "open" ? "open" : missing("refusal");
}

function answerDecidedBy(property: BehaviorProperty, beginning: string, context: PropertyContext): Decision {
  if (property.decidedBy) return property.decidedBy(beginning);
  switch (property.dependsOn ?? "first_characters") {
    case "whole_answer": {
      const shown = property.extract(beginning, context);
      return shown.ok && property.settledValues?.includes(shown.value) ? shown : "open";
    }
    case "first_words": {
      // The last word may go on unless white space follows it.
      const shown = property.extract(beginning.replace(/\S+$/u, ""), context);
      return shown.ok ? shown : "open";
    }
    case "first_characters": {
      const shown = property.extract(settledCharacters(beginning), context);
      return shown.ok ? shown : "open";
    }
  }
}

/** Without the last character where more text is likely to belong to it: an emoji, a letter with accents, a carriage return. */
function settledCharacters(beginning: string): string {
  if (/[!-~]\s*$/u.test(beginning)) return beginning;
  return graphemes(beginning).slice(0, -1).join("");
}
