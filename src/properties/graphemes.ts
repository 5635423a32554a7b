/**
 * What a character is here: a grapheme cluster, the thing a reader sees as one (`é` however it is encoded, a family emoji).
 * The paper's code counts code points, so that a decomposed accent or an emoji sequence would be several characters.
 */

const SEGMENTER = new Intl.Segmenter("und", { granularity: "grapheme" });

/** Every code unit is a cluster of its own there: CR LF is the only cluster within ASCII. The segmenter takes a hundred times as long. */
const ASCII = /^\p{ASCII}*$/u;

export function graphemes(text: string): string[] {
  if (!text.includes("\r") && ASCII.test(text)) return text.split("");
  return Array.from(SEGMENTER.segment(text), (part) => part.segment);
}

/** Looks no further than the first cluster, so that a long text costs nothing. */
export function isOneGrapheme(text: string): boolean {
  for (const part of SEGMENTER.segment(text)) return part.segment.length === text.length;
  return false;
}

export function reverseGraphemes(text: string): string {
  return graphemes(text).reverse().join("");
}
