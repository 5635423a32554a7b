import { type Extraction, missing, value } from "../records/extraction.js";
import { normalizeCharacters, SPACE } from "./characters.js";
import { graphemes } from "./graphemes.js";
import { normalize } from "./normalize.js";
import { words } from "./words.js";

/**
 * Predictions as they were asked for, and nothing more: no value is dug out of a sentence, because a model that does not keep to
 * the form is a finding. Marks that the normal form takes off (quotes around, a final full stop) are allowed.
 */

export function readWord(reply: string): Extraction {
  const said = words(reply);
  if (said.length === 0) return missing("empty");
  return said.length === 1 ? value(normalize(reply)) : missing("not_one_word");
}

export function readText(reply: string): Extraction {
  const said = normalize(reply);
  return said === "" ? missing("empty") : value(said);
}

/** What stands inside one pair of quotes or backticks around the whole text. */
function insideQuotes(text: string): string | undefined {
  return /^(?:"(.+)"|'(.+)'|`(.+)`|\u201c(.+)\u201d|\u2018(.+)\u2019)$/su
    .exec(text)
    ?.slice(1)
    .find((inside) => inside !== undefined);
}

/**
 * Exactly `count` characters, bare or inside one pair of quotes or backticks; a final full stop is a character, not an ornament.
 * A white-space character cannot be said bare: it is read from quotes, from its sign, or (one character) from the word "space".
 */
export function readCharacters(reply: string, count = 1): Extraction {
  const said = reply.trim();
  if (said === "") return missing("empty");
  const bare = graphemes(said);
  const inside = graphemes(insideQuotes(said) ?? "");
  for (const characters of [bare, inside]) {
    if (characters.length !== count) continue;
    const text = normalizeCharacters(characters.join(""));
    if (graphemes(text).length === count) return value(text);
  }
  if (count === 1 && normalize(said) === "space") return value(SPACE);
  return missing(bare.length < count ? "too_short" : "not_one_character");
}

/** One of a closed set, in full: `yes` is not `true`. */
export function readChoice(reply: string, values: readonly string[]): Extraction {
  const said = normalize(reply);
  if (said === "") return missing("empty");
  return values.includes(said) ? value(said) : missing("not_in_values");
}

/** A count or sum in digits; leading zeros do not make it another number. */
export function readCount(reply: string): Extraction {
  const said = normalize(reply);
  if (said === "") return missing("empty");
  return /^\d+$/.test(said) ? value(said.replace(/^0+(?=\d)/, "")) : missing("not_a_number");
}
