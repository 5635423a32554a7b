import { normalize } from "./normalize.js";

/**
 * Texts that decline instead of answering. The rules look for what only a refusal says, at the place where a refusal says it:
 * stories contain apologies and people who cannot help smiling, and lists of words contain "sorry" and "unknown".
 */

const ADVERB = "(?:very |so |really |truly |afraid |just |only |simply )*";
const MODEL =
  "(?:ai\\b|artificial intelligence|(?:large |small )*language model|chat ?bot\\b|virtual assistant|text-based (?:ai|model)|computer program)";
const DECLINED =
  "(?:answer|assist|comply|respond to|reply to|predict|determine|provide|fulfil|generate|complete (?:this|that|the|your)|continue (?:this|that|with this|the list|the sequence)|help (?:you|with)|give (?:you )?(?:an?|the) (?:answer|response|prediction)|do (?:that|this) for you|know (?:what|how) (?:i|my|you))";

/** A closing quote right after means that a character in a story speaks. */
const NOT_SPOKEN = '(?![,.!]?["\\u201d])';

const AT_THE_START = [
  `i(?:'m| am) ${ADVERB}sorry\\b${NOT_SPOKEN}`,
  `sorry(?:$|[,.!:;]${NOT_SPOKEN}|,? (?:but|i|for|about|that)\\b)`,
  `(?:i apologi[sz]e|i must apologi[sz]e|(?:my |please accept my )?apologies)(?:$|[,.!]${NOT_SPOKEN}|,? (?:but|for|that|i)\\b)`,
  `(?:unfortunately,? )?i (?:cannot|can't|can not|will not|won't|do not|don't) ${ADVERB}${DECLINED}`,
  `(?:unfortunately,? )?i(?:'m| am) ${ADVERB}(?:unable|not able|not allowed|not permitted|not programmed) to ${DECLINED}`,
  "i (?:do not|don't) have (?:the ability|the capability|enough (?:information|context)|access to|personal|feelings|preferences|opinions)",
  "i (?:must|have to|will have to) (?:respectfully )?decline\\b",
  "i(?: would|'d) (?:rather|prefer) not (?:to )?(?:say|answer|choose|respond)",
  "i refuse to (?:answer|choose|respond)",
  "there (?:is not|isn't) enough (?:information|context)",
  `it is (?:not possible|impossible) (?:for me )?to ${DECLINED}`,
].map((rule) => new RegExp(`^(?:${rule})`, "u"));

const ANYWHERE = [new RegExp(`\\bas an? ${MODEL}`, "u"), new RegExp(`\\bi(?:'m| am) ${ADVERB}an? ${MODEL}`, "u")];

/** Only where nothing else is said. */
const WHOLE = new Set([
  "n/a",
  "no answer",
  "no comment",
  "i cannot",
  "i can't",
  "i don't know",
  "i do not know",
  "i'm not sure",
  "i am not sure",
  "cannot answer",
  "can't answer",
  "unable to answer",
  "cannot be determined",
]);

export function isRefusal(text: string): boolean {
  const said = text
    .replace(/[\u2018\u2019]/gu, "'")
    .toLowerCase()
    .replace(/\s+/gu, " ")
    .trim();
  return (
    WHOLE.has(normalize(said)) ||
    AT_THE_START.some((rule) => rule.test(said)) ||
    ANYWHERE.some((rule) => rule.test(said))
  );
}
