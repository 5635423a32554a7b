import type { StopReason } from "../records/answer.js";
import type { Extraction, MissingReason } from "../records/extraction.js";
import type { AnswerForm } from "../records/task.js";
import { decimalNumberIn } from "./number-in.js";
import { optionLetterIn } from "./option-letter.js";
import { isRefusal } from "./refusal.js";
import { isDegenerate } from "./repetition.js";
import { readWord } from "./strict-readers.js";

/** Whether an object-level answer is what its task asked for, as a whole, whatever a property makes of it. */

export type AnswerCompliance = { readonly ok: true } | { readonly ok: false; readonly reason: MissingReason };

function formOf(answer: string, form: Exclude<AnswerForm, "any">): Extraction {
  switch (form) {
    case "one_word": {
      const word = readWord(answer);
      return word.ok && !/[\p{L}\p{N}]/u.test(word.value) ? { ok: false, reason: "not_one_word" } : word;
    }
    case "number":
      return decimalNumberIn(answer);
    case "option_letter":
      return optionLetterIn(answer);
  }
}

/**
 * @param stop an answer that the token limit cut off still complies with `any` (a list or a story has no end of its own),
 *   but not with a form that is short by nature
 * @returns the first reason that applies: empty, refusal, repetition, truncated, then the form's own
 */
export function answerCompliance(answer: string, form: AnswerForm, stop: StopReason): AnswerCompliance {
  if (answer.trim() === "") return { ok: false, reason: "empty" };
  if (isRefusal(answer)) return { ok: false, reason: "refusal" };
  if (isDegenerate(answer)) return { ok: false, reason: "repetition" };
  if (form === "any") return { ok: true };
  if (stop === "max_tokens") return { ok: false, reason: "truncated" };
  const said = formOf(answer, form);
  return said.ok ? { ok: true } : said;
}
