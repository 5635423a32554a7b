/**
 * Reads OpenAI chat JSONL: an object with `messages` a line, of which the last, the assistant's, is learnt. Strict: what would
 * change the meaning of a line and is not done here (weights, tools, names, images) is refused, never ignored.
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { InwardError } from "../errors.js";
import { nearestName } from "../nearest-name.js";
import type { ChatMessage } from "../records/answer.js";
import type { TrainingExample } from "../records/training.js";

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

/**
 * A line without a system message gets an empty one in front, as asking does: without any, some chat templates put in their own.
 * @throws TRAIN_EXAMPLE with the line's number; TRAIN_EMPTY_SET
 */
export async function readChatJsonl(path: string): Promise<TrainingExample[]> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new InwardError("TRAIN_EXAMPLE", `${path} cannot be read (${error.code ?? error.message}).`);
  });
  return parseChatJsonl(bytes, path);
}

/** @param path for messages; the rest as readChatJsonl */
export function parseChatJsonl(bytes: Uint8Array, path: string): TrainingExample[] {
  const examples = decode(bytes, path)
    .split(/\r?\n/)
    .flatMap((text, at) => (text.trim() === "" ? [] : [toExample(parseLine(text, `${path}, line ${at + 1}`))]));
  if (examples.length === 0) throw new InwardError("TRAIN_EMPTY_SET", `${path} holds no examples.`);
  return examples;
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    // A byte order mark at the beginning is dropped by it.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InwardError("TRAIN_EXAMPLE", `${path} is not UTF-8 text.`);
  }
}

function toExample({ messages }: Line): TrainingExample {
  const system: ChatMessage = { role: "system", content: "" };
  return { messages: messages[0]?.role === "system" ? messages : [system, ...messages] };
}

function parseLine(text: string, place: string): Line {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw new InwardError("TRAIN_EXAMPLE", `${place} is not JSON: ${(error as Error).message}`);
  }
  const parsed = line.safeParse(raw);
  if (!parsed.success) throw refused(parsed.error.issues, place);
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

function refused(issues: readonly z.core.$ZodIssue[], place: string): InwardError {
  // A key written wrong is missing under its right name too: the first says more.
  const issue = (issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]) as z.core.$ZodIssue;
  const at = issue.path.join(".");
  if (issue.code !== "unrecognized_keys") {
    return new InwardError("TRAIN_EXAMPLE", `${place}: ${at || "the line"}: ${issue.message}`);
  }
  const key = issue.keys[0] ?? "";
  const where = at === "" ? "" : `${at}: `;
  const reason = NOT_DONE[key];
  if (reason !== undefined) {
    return new InwardError("TRAIN_EXAMPLE", `${place}: ${where}the key "${key}" is not supported: ${reason}.`);
  }
  const near = nearestName(key, Object.keys((at === "" ? line : message).shape));
  const hint = near === undefined ? "" : ` Did you mean "${near}"?`;
  return new InwardError("TRAIN_EXAMPLE", `${place}: ${where}the key "${key}" does not exist.${hint}`);
}
