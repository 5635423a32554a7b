/** A text cut as llama-perplexity cuts it: windows side by side, the first token of each read as BOS, the second half of each looked at. */

import { createHash } from "node:crypto";
import { readPlainFile, UNSAFE_CHARACTER } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { scoredPositions } from "./base-file.js";
import type { ComparedItem } from "./compare-logits.js";

export interface TextFile {
  readonly path: string;
  /** Of the file, hex. */
  readonly sha256: string;
  /** Whole, but for one line feed at the end, which llama-perplexity drops too. */
  readonly text: string;
}

const MOST_BYTES = 2 ** 28;

/** @throws InwardError STUDY_INVALID: not there, empty, no UTF-8, a character that ends texts inside llama.cpp */
export function readTextFile(path: string): TextFile {
  const refuse = (why: string) => new InwardError("STUDY_INVALID", `the text ${path} cannot be read: ${why}`);
  const bytes = readPlainFile(path, MOST_BYTES, refuse);
  let text: string;
  try {
    // A mark at the beginning stays: llama-perplexity reads it as well.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refuse("it is not UTF-8");
  }
  if (text.trim() === "") throw refuse("it is empty");
  const unsafe = UNSAFE_CHARACTER.exec(text);
  if (unsafe) throw refuse(`it has a character that no prompt can carry, at ${unsafe.index}`);
  return { path, sha256: createHash("sha256").update(bytes).digest("hex"), text: text.replace(/\n$/, "") };
}

/** What is looked at of a text. */
export interface TextWindows {
  /** Tokens of a window. */
  readonly context: number;
  readonly windows: readonly ComparedItem[];
  /** Of the windows, as the text has them, BOS where it does not replace a token. */
  readonly tokenIds: readonly number[];
  /** Tokens of the whole text, with its BOS. */
  readonly tokens: number;
  /** Positions looked at in each window. */
  readonly positions: number;
  /** What the first token of each window is read as; absent where the file asks for no BOS. */
  readonly bos?: number;
}

/**
 * @param ids of the whole text, behind BOS where the file asks for one
 * @param most windows; the first ones
 * @throws InwardError STUDY_INVALID for a text that is shorter than two windows, as llama-perplexity has it
 */
export function cutWindows(
  { ids, bos }: { readonly ids: readonly number[]; readonly bos?: number },
  context: number,
  most: number = Number.POSITIVE_INFINITY,
): TextWindows {
  if (ids.length < 2 * context) {
    throw new InwardError(
      "STUDY_INVALID",
      `the text has ${ids.length} tokens, and two windows of ${context} are the least: give a longer text, or a smaller context`,
    );
  }
  const count = Math.min(most, Math.floor(ids.length / context));
  const tokenIds = ids.slice(0, count * context);
  return {
    context,
    tokenIds,
    tokens: ids.length,
    windows: windowsOf(tokenIds, context, bos),
    positions: scoredPositions(context),
    ...(bos === undefined ? {} : { bos }),
  };
}

/** @param tokenIds [windows × context] */
export function windowsOf(tokenIds: ArrayLike<number>, context: number, bos: number | undefined): ComparedItem[] {
  return Array.from({ length: tokenIds.length / context }, (_, window) => {
    const ids = Array.from({ length: context }, (__, at) => tokenIds[window * context + at] as number);
    if (bos !== undefined) ids[0] = bos;
    return { ids, scoreFrom: Math.floor(context / 2) + 1 };
  });
}
