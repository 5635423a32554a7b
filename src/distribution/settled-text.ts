/** What further tokens cannot change of a detokenized text. A token may hold part of a character, which detokenizes to U+FFFD. */

/** Longest look ahead of llama.cpp's cleaning: a blank, an apostrophe and two letters. */
const CLEANED = 4;

/**
 * @param cleansSpaces the vocabulary takes blanks away before marks and contractions (` .`, ` 's`), as llama.cpp does for Llama 3
 * @returns a beginning of the text
 */
export function settledText(text: string, cleansSpaces: boolean): string {
  const whole = text.replace(/\ufffd+$/, "");
  if (!cleansSpaces) return whole;
  const from = Math.max(0, whole.length - CLEANED);
  const movable = whole.slice(from).search(/[ ']/);
  return movable < 0 ? whole : whole.slice(0, from + movable).replace(/[ ']+$/, "");
}
