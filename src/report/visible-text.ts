/** Makes what a reader could not see, or what could reorder a line, visible. Model and user texts pass through here, always. */

const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/**
 * @param lines `keep` leaves line feeds and tabs as they are (for preformatted text); `mark` writes ⏎ and ␉, for text in a line
 * @returns well-formed text without control, zero-width or direction-changing characters; joiners of emoji and scripts stay
 */
export function visibleText(text: string, lines: "keep" | "mark"): string {
  return text.replace(INVISIBLE, (character) => {
    const code = character.codePointAt(0) as number;
    if (character === "\n") return lines === "keep" ? "\n" : "⏎";
    if (character === "\t" && lines === "keep") return "\t";
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "␡";
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/** The first graphemes of a text, with … where more follows. */
export function shortened(text: string, most: number): string {
  const seen = [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text)].map(({ segment }) => segment);
  return seen.length <= most ? text : `${seen.slice(0, most - 1).join("")}…`;
}
