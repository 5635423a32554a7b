/** Refuses examples that cannot be trained on, before anything is loaded. Pure. */
import { InwardError } from "../errors.js";
import type { EncodedExample } from "../records/training.js";

/**
 * @param vocabularySize tokens that the base knows, where its file says so
 * @param contextTokens the most that the base reads at once, where its file says so
 * @throws TRAIN_EMPTY_SET · TRAIN_EXAMPLE no answer, no prompt, or a token id that is none · TRAIN_CONTEXT; with the example's number
 */
export function requireExamples(
  examples: readonly EncodedExample[],
  vocabularySize: number | undefined,
  contextTokens: number | undefined,
): void {
  if (examples.length === 0) throw new InwardError("TRAIN_EMPTY_SET", "There is no example to train on.");
  const ids = vocabularySize ?? Number.POSITIVE_INFINITY;
  for (const [index, { tokenIds, answerStart }] of examples.entries()) {
    const which = `Example ${index + 1} of ${examples.length}`;
    const tokens = tokenIds.length;
    if (!Number.isInteger(answerStart) || answerStart < 1) {
      throw new InwardError("TRAIN_EXAMPLE", `${which} has no prompt: its answer begins at token ${answerStart}.`);
    }
    if (answerStart >= tokens) {
      throw new InwardError(
        "TRAIN_EXAMPLE",
        `${which} has no answer: that would begin at token ${answerStart}, and it has ${tokens} tokens.`,
      );
    }
    const stray = tokenIds.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= ids);
    if (stray >= 0) {
      throw new InwardError(
        "TRAIN_EXAMPLE",
        `${which} has the id ${tokenIds[stray]} at token ${stray}; ids are whole numbers from 0${vocabularySize === undefined ? "" : ` to ${vocabularySize - 1}`}.`,
      );
    }
    if (contextTokens !== undefined && tokens > contextTokens) {
      throw new InwardError(
        "TRAIN_CONTEXT",
        `${which} has ${tokens} tokens; the model's context holds ${contextTokens}.`,
      );
    }
  }
}
