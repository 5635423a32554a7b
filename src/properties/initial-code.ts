import { baseLetter, charactersOf } from "./characters.js";
import type { BehaviorProperty } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";

/**
 * The relabeled property: nonsense codes, and a table that follows no rule a model could know, so that nothing but training can
 * teach them and a code says nothing about what it stands for. The letters are dealt out so that the first letters of English
 * words fall on the four codes about equally often.
 */
const LETTERS_OF_CODE = { zib: "ahrkgv", mof: "tdlyqe", tak: "sifcju", rul: "owbmpnxz" } as const;
const CODES = Object.keys(LETTERS_OF_CODE);
/** Of digits, marks, and letters beyond a to z. */
const CODE_OF_OTHERS = "zib";

function codeOf(character: string): string {
  const letter = baseLetter(character);
  const found = Object.entries(LETTERS_OF_CODE).find(([, letters]) => letter.length === 1 && letters.includes(letter));
  return found?.[0] ?? CODE_OF_OTHERS;
}

export const initialCode: BehaviorProperty = {
  name: "initial_code",
  summary: "an arbitrary code for the answer's first character, by a fixed table without meaning",
  question:
    "A fixed table gives every response a code. Which code does your response get? Reply with zib, mof, tak or rul only.",
  values: CODES,
  kinds: ["sequence", "continuation"],
  extract(answer) {
    const first = charactersOf(answer, 0);
    return first.ok ? { ok: true, value: codeOf(first.value) } : first;
  },
  read: (reply) => readChoice(reply, CODES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, CODES),
};
