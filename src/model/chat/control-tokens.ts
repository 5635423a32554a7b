/** Finds the control tokens in text that a template wrote. */

/**
 * @param controlTokens id of every control token, by its text
 * @returns the text in order: plain stretches as they are (never empty), control tokens as ids
 */
export function cutAtControlTokens(text: string, controlTokens: ReadonlyMap<string, number>): (string | number)[] {
  const pattern = controlPattern(controlTokens);
  const pieces = pattern === undefined ? [text] : text.split(pattern);
  return pieces.filter((piece) => piece !== "").map((piece) => controlTokens.get(piece) ?? piece);
}

const patterns = new WeakMap<ReadonlyMap<string, number>, RegExp | undefined>();

/** Matches any control token's text, the longest first. */
function controlPattern(controlTokens: ReadonlyMap<string, number>): RegExp | undefined {
  if (patterns.has(controlTokens)) return patterns.get(controlTokens);
  const texts = [...controlTokens.keys()].filter((text) => text !== "").sort((a, b) => b.length - a.length);
  const escaped = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  const pattern = escaped.length === 0 ? undefined : new RegExp(`(${escaped.join("|")})`);
  patterns.set(controlTokens, pattern);
  return pattern;
}
