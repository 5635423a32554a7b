/**
 * Reads OpenAI chat JSONL: an object with `messages` a line, of which the last, the assistant's, is learnt. Strict: what would
 * change the meaning of a line and is not done here (weights, tools, names, images) is refused, never ignored.
 */

import { z } from "zod";
import { mostTelling } from "../base/schema-issue.js";
import { decodeUtf8, didYouMean, linesOf, parseStrictJson, readPlainFile, shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { EncodedExample } from "../model/language-model.js";
import type { ChatMessage } from "../tasks/answer.js";

const message = z.strictObject({
  role: z.enum(["system", "user", "assistant"]),
  content: z.string("must be text"),
});
const line = z.strictObject({
  messages: z.array(message).min(2, "needs a question and its answer"),
  // Notes of whoever made the file: they say nothing about training.
  metadata: z.unknown().optional(),
});
type Line = z.infer<typeof line>;

/** Keys that OpenAI's format knows and this trainer does not do. */
const NOT_DONE: Readonly<Record<string, string>> = {
  weight: "every line weighs by its answer tokens, and only the last message is learnt",
  tools: "tool calls are not trained",
  tool_calls: "tool calls are not trained",
  tool_call_id: "tool calls are not trained",
  parallel_tool_calls: "tool calls are not trained",
  functions: "function calls are not trained",
  function_call: "function calls are not trained",
  name: "names of speakers do not reach the model",
  refusal: "write the refusal as content",
};

/** Strings longer than this cannot be made in one piece. */
const MOST_BYTES = 256 * 1024 * 1024;

/**
 * What a line without a system message gets is the model's chat format's to say.
 * @throws TRAIN_EXAMPLE with the line's number; TRAIN_EMPTY_SET
 */
export async function readChatJsonl(path: string): Promise<TrainingExample[]> {
  const refuse = (why: string) => new InwardError("TRAIN_EXAMPLE", `${path} cannot be read (${why}).`);
  return parseChatJsonl(readPlainFile(path, MOST_BYTES, refuse), path);
}

/** @param path for messages; the rest as readChatJsonl */
export function parseChatJsonl(bytes: Uint8Array, path: string): TrainingExample[] {
  const examples = linesOf(decodeUtf8(bytes, { code: "TRAIN_EXAMPLE", place: path }), path).map(({ text, place }) =>
    toExample(parseLine(text, place)),
  );
  if (examples.length === 0) throw new InwardError("TRAIN_EMPTY_SET", `${path} holds no examples.`);
  return examples;
}

function toExample({ messages }: Line): TrainingExample {
  return { messages };
}

function parseLine(text: string, place: string): Line {
  const parsed = line.safeParse(parseStrictJson(text, { code: "TRAIN_EXAMPLE", place }));
  if (!parsed.success) throw refused(mostTelling(parsed.error), place);
  const { messages } = parsed.data;
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new InwardError("TRAIN_EXAMPLE", `${place}: the last message is the ${last?.role}'s, not the assistant's.`);
  }
  if (last.content === "") throw new InwardError("TRAIN_EXAMPLE", `${place}: the assistant's last message is empty.`);
  const stray = messages.findIndex(({ role }, at) => role === "system" && at > 0);
  if (stray > 0) {
    throw new InwardError("TRAIN_EXAMPLE", `${place}: messages.${stray} is a system message; only the first may be.`);
  }
  return parsed.data;
}

function refused(issue: ReturnType<typeof mostTelling>, place: string): InwardError {
  const at = issue.path.join(".");
  if (issue.code !== "unrecognized_keys") {
    return new InwardError("TRAIN_EXAMPLE", `${place}: ${at || "the line"}: ${issue.message}`);
  }
  const key = issue.keys[0] ?? "";
  const where = at === "" ? "" : `${at}: `;
  if (Object.hasOwn(NOT_DONE, key)) {
    return new InwardError("TRAIN_EXAMPLE", `${place}: ${where}the key "${key}" is not supported: ${NOT_DONE[key]}.`);
  }
  const meant = didYouMean(key, Object.keys((at === "" ? line : message).shape));
  return new InwardError("TRAIN_EXAMPLE", `${place}: ${where}the key ${shown(key)} does not exist.${meant}`);
}

// Refuses examples that cannot be trained on, before anything is loaded.

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

/** A line of a finetune set: an OpenAI chat of which the last assistant message is learnt. */
export interface TrainingExample {
  readonly messages: readonly ChatMessage[];
}
