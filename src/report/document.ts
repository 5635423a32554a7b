/**
 * A report as neutral content: written once, rendered as HTML and as Markdown. Every string is plain text, whoever wrote it:
 * renderers escape all of it and make invisible characters visible.
 */

import type { Share } from "../score/scores.js";
import type { Estimate } from "../score/interval.js";

/** Running text; `code` is shown letter by letter, `strong` stands out, `link` goes to the section with that id. */
export type Inline =
  | string
  | { readonly code: string }
  | { readonly strong: string }
  | { readonly link: string; readonly text: string };

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

export interface TableCell {
  readonly text: string | readonly Inline[];
  /** Beside the text, in smaller type: an interval, a count. */
  readonly small?: string;
  /** Names as the run's files write them, in monospace below. */
  readonly ids?: readonly string[];
  /** Marks of footnotes that stand under the table. */
  readonly marks?: readonly string[];
  readonly missing?: boolean;
}

export interface TableRow {
  /** Rows of one group follow each other under its name. */
  readonly group?: string;
  readonly cells: readonly TableCell[];
}

export interface Table {
  readonly kind: "table";
  /** A row becomes a card where the page is narrow. */
  readonly isCards?: boolean;
  readonly caption: string;
  /** Title of the groups; set when rows have groups. */
  readonly groupTitle?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly TableRow[];
  readonly footnotes?: readonly { readonly mark: string; readonly text: string }[];
}

export interface Figure {
  readonly kind: "figure";
  readonly name: string;
  readonly title: string;
  readonly svg: string;
  readonly caption: string;
}

/** One thing to read as a whole, such as a trial: texts under labels, shown exactly. */
export interface Card {
  readonly kind: "card";
  readonly title: readonly Inline[];
  readonly tone: "good" | "bad" | "quiet";
  readonly verdict: string;
  readonly texts: readonly { readonly label: string; readonly text: string }[];
}

export type Block =
  | {
      readonly kind: "paragraph";
      readonly text: readonly Inline[];
      /** `lead` opens the report · `note` explains. */
      readonly tone?: "lead" | "note";
    }
  | {
      /** An answer: whom it is about, the comparison that decided it, and everything else, which a page folds. */
      readonly kind: "verdict";
      readonly title: readonly Inline[];
      /** Ids of the states that the title names, to look them up in the run's files. */
      readonly ids: readonly string[];
      readonly lead: readonly Inline[];
      readonly more: readonly (readonly Inline[])[];
    }
  | { readonly kind: "subheading"; readonly title: string }
  | { readonly kind: "list"; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: "facts"; readonly facts: readonly { readonly name: string; readonly value: readonly Inline[] }[] }
  | { readonly kind: "verbatim"; readonly label: string; readonly text: string }
  | {
      /** Where the page lists trials; elsewhere, and until it runs, these words. */
      readonly kind: "trials";
      readonly words: string;
    }
  | Table
  | Figure
  | Card;

export interface Section {
  /** Unique in the report, a-z and hyphens. */
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export interface ReportDocument {
  readonly title: string;
  readonly subtitle: string;
  readonly opening: readonly Block[];
  /** Whether the first section is an answer in short. */
  readonly hasFirstPage: boolean;
  readonly sections: readonly Section[];
}

export function paragraph(...text: readonly Inline[]): Block {
  return { kind: "paragraph", text };
}

export function aside(...text: readonly Inline[]): Block {
  return { kind: "paragraph", tone: "note", text };
}

/** An answer of one sentence, and what stands behind it. */
export function answer(lead: string, more: readonly string[] = []): Block {
  return { kind: "verdict", title: [], ids: [], lead: [{ strong: lead }], more: more.map((text) => [text]) };
}

export const INTERVALS: Inline = { link: "intervals", text: "How intervals are made" };

// Every number of the report as text. A missing estimate is "— (reason)", never 0.

/** Keeps a number and its unit on one line. */
const GAP = "\u00a0";

/** 1024 -> 1,024; the same on every machine, whatever its locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** 0.031 -> 3.1 % */
export function formatPercent(share: number): string {
  return `${tenths(share)}${GAP}%`;
}

/** [2.0, 4.4], in percent or percentage points. */
export function formatInterval({ low, high }: { readonly low: number; readonly high: number }): string {
  return `[${tenths(low)},${GAP}${tenths(high)}]`;
}

/** 3.1 % [2.0, 4.4] */
export function formatEstimate(estimate: Estimate): string {
  return estimate.ok ? `${formatPercent(estimate.value)} ${formatInterval(estimate)}` : formatMissing(estimate.reason);
}

/** A difference of two shares: 0.05 -> +5.0, −5.0, 0.0 */
export function formatDifference(difference: number): string {
  const text = tenths(difference);
  return text.startsWith("−") || text === "0.0" ? text : `+${text}`;
}

/** +5.0 points [2.0, 8.0] */
export function formatPoints(estimate: Estimate): string {
  return estimate.ok
    ? `${formatDifference(estimate.value)}${GAP}points ${formatInterval(estimate)}`
    : formatMissing(estimate.reason);
}

/** 12.0 % (123 of 1,024) */
export function formatShare({ count, of }: Share): string {
  if (of === 0) return formatMissing("nothing was asked");
  return `${formatPercent(count / of)} (${formatCount(count)} of ${formatCount(of)})`;
}

export function formatMissing(reason: string): string {
  return `— (${reason})`;
}

export function formatBits(bits: number): string {
  return bits.toFixed(2);
}

/** Natural-log units over many sizes: 0, 3.1e-7, 0.0421, 1.2500 */
export function formatNats(nats: number): string {
  if (nats === 0) return "0";
  return Math.abs(nats) < 0.001 ? nats.toExponential(1) : nats.toFixed(4);
}

/** In hundredths with one decimal; a rounded zero has no sign. */
function tenths(value: number): string {
  const text = (100 * value).toFixed(1);
  return text === "-0.0" ? "0.0" : text.replace("-", "−");
}

// What several tables are made of: columns by side, and how much is behind an estimate.

export function left(title: string): Column {
  return { title, align: "left" };
}

export function right(title: string): Column {
  return { title, align: "right" };
}

/** Trials, and the strings that they are of below. */
export function countCell(estimate: Estimate): TableCell {
  return estimate.ok
    ? { text: formatCount(estimate.n), small: `${formatCount(estimate.clusters)} strings` }
    : { text: formatMissing("no estimate"), missing: true };
}

/** Trials / strings in one line. */
export function pairCell(estimate: Estimate | undefined, missing = "no estimate"): TableCell {
  return estimate?.ok
    ? { text: `${formatCount(estimate.n)} / ${formatCount(estimate.clusters)}` }
    : { text: formatMissing(missing), missing: true };
}

/** A value with its interval in smaller type, or "— (reason)". */
export function estimateCell(estimate: Estimate | undefined, isDifference = false): TableCell {
  if (!estimate) return { text: formatMissing("not computed"), missing: true };
  if (!estimate.ok) return { text: formatMissing(estimate.reason), missing: true };
  const text = isDifference ? (formatPoints(estimate).split("\u00a0")[0] as string) : formatPercent(estimate.value);
  return { text, small: formatInterval(estimate) };
}

/** A share with its counts in smaller type. */
export function shareCell(share: Share): TableCell {
  if (share.of === 0) return { text: formatShare(share), missing: true };
  return {
    text: formatPercent(share.count / share.of),
    small: `(${formatCount(share.count)} of ${formatCount(share.of)})`,
  };
}

/** A number that is no percentage, with its interval in smaller type: 0.31 [0.28, 0.35]; "— (reason)" where there is none. */
export function decimalCell(estimate: Estimate | undefined, digits: number, isDifference = false): TableCell {
  if (!estimate) return { text: formatMissing("not computed"), missing: true };
  if (!estimate.ok) return { text: formatMissing(estimate.reason), missing: true };
  const text = decimals(estimate.value, digits);
  const sign = isDifference && !text.startsWith("−") && Number(text) !== 0 ? "+" : "";
  return { text: `${sign}${text}`, small: decimalInterval(estimate, digits) };
}

/** 0.31 [0.28, 0.35] in running text. */
export function decimalText(estimate: Extract<Estimate, { ok: true }>, digits: number): string {
  return `${decimals(estimate.value, digits)} ${decimalInterval(estimate, digits)}`;
}

export function decimalInterval(
  { low, high }: { readonly low: number; readonly high: number },
  digits: number,
): string {
  return `[${decimals(low, digits)},\u00a0${decimals(high, digits)}]`;
}

/** A rounded zero has no sign. */
export function decimals(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

// Makes what a reader could not see, or what could reorder a line, visible. Model and user texts pass through here, always.

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

/** At most so many UTF-16 units of a text: no half of a character is left at its end, which would be shown as a lone surrogate. */
export function cutText(text: string, most: number): string {
  const half = text.length > most && /[\ud800-\udbff]/.test(text[most - 1] ?? "");
  return text.slice(0, half ? most - 1 : most);
}

/** The first graphemes of a text, with … where more follows. */
export function shortened(text: string, most: number): string {
  const seen = [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text)].map(({ segment }) => segment);
  return seen.length <= most ? text : `${seen.slice(0, most - 1).join("")}…`;
}
