/** What a reader of a benchmark must know of its files before any figure, in sentences. */

import { formatNats } from "../report/document.js";
import type { ImatrixText } from "./imatrix-text.js";
import type { QuantizePlan, QuantizeRow } from "./quantize-results.js";

/** Below that a file is looked at that cannot answer, and not one that does not know. */
const FEW_REPLIES = 0.5;

/** A file whose two ways of reading are further apart than this share of its loss says two things of one text. */
const OWN_SHARE = 0.1;

/** @param shipped encoding of the file that the source is a copy of */
export function benchmarkNotes(
  { imatrix, benchmark }: QuantizePlan,
  rows: readonly QuantizeRow[],
  shipped: string | undefined,
): string[] {
  const notes: string[] = [];
  if (shipped !== undefined && !["F32", "F16", "BF16"].includes(shipped)) {
    notes.push(
      `The source is an F32 copy of a file of ${shipped}: it was rounded before, and what that cost is in no figure here. ${shipped} made of it again loses next to nothing, and how other types rank depends on how their steps fall on those of ${shipped}. To choose a type for a model, make the benchmark of its F16 or BF16 file.`,
    );
  }
  const replies = rows[0]?.self;
  const readable = replies?.ok ? replies.value.readable : undefined;
  if (readable?.ok && readable.value < FEW_REPLIES) {
    notes.push(
      `The source names a value in ${(100 * readable.value).toFixed(1)} % of its replies to hypothetical questions: what it and its files know of themselves cannot be told from the others, and a change of 0 is no finding. ${benchmark.adapters ? "What they say of themselves under a trained adapter is in a table of its own." : "Ask a larger model, or train it first (adapters)."}`,
    );
  }
  for (const { variant, steps, answers, text } of rows) {
    const { name, otherTypes = 0, weights, imatrix: used, floatMatrices } = variant;
    const loss = answers.ok ? answers.value : text.ok ? text.value : undefined;
    if (
      steps.ok &&
      loss?.kl.mean.ok &&
      steps.value.klMean > OWN_SHARE * loss.kl.mean.value &&
      steps.value.klMean > 1e-6
    ) {
      notes.push(
        `${name}: read whole and read a token at a time it is ${formatNats(steps.value.klMean)} nats from itself on average, beside ${formatNats(loss.kl.mean.value)} from the source. What it says of a token depends on what else is read with it: its figures hold for texts that are read whole, and its answers are made a token at a time.`,
      );
    }
    if (floatMatrices !== undefined) {
      notes.push(
        `${name}: ${floatMatrices} of its matrices stay floats, because their rows are no whole blocks of 32.`,
      );
    }
    if (otherTypes > 0.5) {
      const [most] = Object.entries(weights);
      notes.push(
        `${name}: ${(100 * otherTypes).toFixed(0)} % of its matrices' weights have another type (most are ${most?.[0]}), mostly because their rows are no whole superblocks of 256. Another model's ${name} is another mixture.`,
      );
    }
    if (used && used.without.length > 0) {
      notes.push(
        `${name}: the importance matrix says nothing of ${used.without.length} matrices, which were rounded without it.`,
      );
    }
  }
  if (imatrix) notes.push(...imatrixNotes(imatrix));
  return notes;
}

function imatrixNotes({ datasets, texts }: NonNullable<QuantizePlan["imatrix"]>): string[] {
  if (texts.length === 0) {
    const made = datasets.length === 0 ? "a text that it does not name" : datasets.join(", ");
    return [`The importance matrix says that it was made from ${made}: look that it is none of what is measured here.`];
  }
  return texts.map(({ name, is, sharedLines = 0, sameName }: ImatrixText) => {
    const made = `The importance matrix was made from ${name}`;
    if (is === "same") {
      return `${made}, which is the text that is looked at: what is measured on it was fitted to it, and says less of other texts.`;
    }
    if (is === "shares") {
      return `${made}, which has ${(100 * sharedLines).toFixed(sharedLines < 0.01 ? 2 : 0)} % of the lines of the text that is looked at: so much of it was fitted to it.`;
    }
    if (is === "other") return `${made}, which shares no line with the text that is looked at.`;
    return sameName
      ? `${made}, a file of the same name as the text that is looked at; it is not here, so that nobody can tell whether it is the same. Name it under imatrixTexts.`
      : `${made}, which is not here, so that nobody can tell whether it is what is looked at. Name it under imatrixTexts.`;
  });
}
