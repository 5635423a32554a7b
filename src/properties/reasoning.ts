/** Reasoning that a model writes before its answer: which marks it is written between, and how the answer is parted from it. */

/** What is thought of a reply's object-level reasoning: it makes the answer missing, is taken out, or is part of the answer. */
export type ReasoningUse = "off" | "strip" | "keep";

/** `<think>`, and the other words that models were taught to think between. */
const WORD =
  "(?:think(?:ing)?|thoughts?|reason(?:ing|s)?|reflect(?:ion|ions|ing)?|rationale|deliberation|scratch_?pad|analysis|" +
  "chain_of_thought|cot|(?:inner|internal)_(?:monologue|thoughts?|reasoning|voice|dialogue))";
/** `seed:think`, `mm:think`, `longcat_think`, `antThinking`. */
const BEFORE_WORD = "(?:[a-z0-9]+[:_])?(?:ant)?";

/** A mark closes when it has one of its groups; the first that matches at a place is the one. */
const MARKS: readonly RegExp[] = [
  // <think>, </think>, <thinking mode="long">
  new RegExp(`<(/)?\\s*${BEFORE_WORD}${WORD}(?:\\s[^<>]{0,80})?\\s*/?>`, "giu"),
  // <|think|>, <|/think|>, <|START_THINKING|>, <|begin_of_thought|>, <|end_of_thought|>, <|thinking_end|>
  new RegExp(
    `<[|\uff5c](?:(/|end[_\u2581](?:of[_\u2581])?)|(?:start|begin)[_\u2581](?:of[_\u2581])?)?${BEFORE_WORD}${WORD}(?:[_\u2581](?:start|begin|(end)))?[|\uff5c]>`,
    "giu",
  ),
  // [THINK], [/THINK]: in small letters it is a stage direction.
  /\[(\/)?(?:THINK|THINKING|REASONING)\]/gu,
  // Channels: all but the final one are reasoning.
  /<\|channel\|>\s*(final)(?:[^<>]{0,40}<\|constrain\|>[^<>]{0,40})?\s*(?:<\|message\|>)?|<\|channel\|>/gu,
  /<\|channel>|<(channel)\|>/gu,
  /<\|inner_(?:prefix|(suffix))\|>/gu,
  /<unused94>|<(unused95)>/gu,
  /◁(\/)?think▷/gu,
  /^\s*here(?:['’]s| is) my thought process:|\bhere(?:['’]s| is) my (response):/giu,
];
/** Nothing of the above is without one of these. */
const ANY = /[<[◁]|my thought process/iu;
/** What could still become a mark. */
const BEGUN = /(?:<[|\uff5c/]?|\[\/?|◁\/?)[^<>[\]◁▷]{0,90}$/u;

interface Mark {
  /** Code units. */
  readonly at: number;
  readonly end: number;
  readonly closes: boolean;
}

/** In their order, none inside another. */
function reasoningMarks(text: string): Mark[] {
  if (!ANY.test(text)) return [];
  const found = MARKS.flatMap((pattern) =>
    Array.from(text.matchAll(pattern), (match): Mark => {
      const closes = match.slice(1).some((group) => group !== undefined);
      return { at: match.index, end: match.index + match[0].length, closes };
    }),
  ).sort((one, other) => one.at - other.at || other.end - one.end);
  return found.filter(({ at }, index) => found.slice(0, index).every(({ end }) => end <= at));
}

export function hasReasoning(text: string): boolean {
  return reasoningMarks(text).length > 0;
}

/** Whether more text could complete a mark at the end of this one. */
export function mayBecomeReasoning(beginning: string): boolean {
  return ANY.test(beginning) && BEGUN.test(beginning);
}

/**
 * @param written what stands before a reply
 * @returns the mark that it leaves open, with what follows it: the reply begins inside reasoning; undefined where there is none
 */
export function openedReasoning(written: string): string | undefined {
  const last = reasoningMarks(written).at(-1);
  return last === undefined || last.closes ? undefined : written.slice(last.at);
}

export interface PartedAnswer {
  /** With its marks. */
  readonly reasoning: string;
  /** What follows; has no marks. */
  readonly answer: string;
}

/**
 * Parts the reasoning at the beginning of a text from the answer after it; without an opening mark it began before the text.
 * @returns undefined where there is none, where it never ends, and where marks stand elsewhere, so that nobody knows what is the answer
 */
export function partReasoning(text: string): PartedAnswer | undefined {
  let from = 0;
  for (;;) {
    const answer = text.slice(from);
    const [first, second] = reasoningMarks(answer);
    if (!first) return from === 0 ? undefined : { reasoning: text.slice(0, from), answer };
    const close = first.closes && from === 0 ? first : second;
    if (!close?.closes || (close === second && answer.slice(0, first.at).trim() !== "")) return undefined;
    from += close.end;
  }
}

/** Whether a token of this text, a control token that texts are otherwise shown without, is part of such a mark. */
export function isReasoningToken(text: string): boolean {
  return hasReasoning(text) || text === "<|message|>";
}
