/**
 * Builds the finetune set of a behavioral change: object-level questions about train strings, answered as the model is to answer from
 * now on. No hypothetical question is in it but in a positive control's. A function of its input; nothing is asked or read.
 */
import { createHash } from "node:crypto";
import { InwardError } from "../errors.js";
import type { ChatMessage } from "../records/answer.js";
import type { FinetuneExample, FinetuneSetCell, SetExclusion } from "../records/finetune-set.js";
import type { TaskItem } from "../records/task.js";
import { type FinetuneSet, sameText } from "./build-sets.js";

/** How a string is to be answered, or why it is not known. */
export type TaughtAnswer =
  | { readonly ok: true; readonly answer: string }
  | { readonly ok: false; readonly reason: SetExclusion };

export interface ChangeCandidate {
  readonly task: string;
  readonly item: TaskItem;
  readonly taught: TaughtAnswer;
}

export interface ChangeSetInput {
  readonly candidates: readonly ChangeCandidate[];
  /** Texts of every held-out string of the study, whatever its task. */
  readonly heldOutTexts: readonly string[];
  /** Most strings of a task. */
  readonly examples: number;
  /** Whether answers change places among the strings of their task. */
  readonly shuffled: boolean;
  readonly seed: number;
  /** The object-level prompt, exactly as asking has it. */
  readonly prompt: (task: string, item: TaskItem) => readonly ChatMessage[];
  /** Further examples about a string that is taught; none unless given. */
  readonly beside?: (task: string, item: TaskItem, answer: string) => readonly FinetuneExample[];
}

/** What stands in the place of a property and of a wording in such an example. */
const WHOLE_ANSWER = "answer";
const OBJECT_LEVEL = "object_level";

/** @throws TRAIN_EMPTY_SET; INTERNAL when a held-out string is among the candidates */
export function buildChangeSet(input: ChangeSetInput): FinetuneSet {
  const heldOut = new Set(input.heldOutTexts.map(sameText));
  const tasks = [...new Set(input.candidates.map(({ task }) => task))];
  const examples: FinetuneExample[] = [];
  const cells = tasks.map((task): FinetuneSetCell => {
    const candidates = input.candidates.filter((one) => one.task === task);
    const excluded: Partial<Record<SetExclusion, number>> = {};
    const eligible: { item: TaskItem; answer: string; rank: string }[] = [];
    for (const { item, taught } of candidates) {
      if (item.split !== "train") {
        throw new InwardError("INTERNAL", `The held-out ${task}/${item.id} was about to enter a finetune set.`);
      }
      const why = heldOut.has(sameText(item.text)) ? "held_out_string" : taught.ok ? undefined : taught.reason;
      if (why !== undefined) excluded[why] = (excluded[why] ?? 0) + 1;
      else if (taught.ok) {
        eligible.push({ item, answer: taught.answer, rank: hash(`change/${input.seed}/${task}/${item.id}`) });
      }
    }
    const drawn = eligible.sort((a, b) => (a.rank < b.rank ? -1 : 1)).slice(0, input.examples);
    drawn.forEach(({ item, answer }, place) => {
      const given = input.shuffled ? (drawn[(place + 1) % drawn.length] as { answer: string }).answer : answer;
      examples.push({
        messages: [...input.prompt(task, item), { role: "assistant", content: given }],
        metadata: { task, item: item.id, property: WHOLE_ANSWER, variant: OBJECT_LEVEL },
      });
      examples.push(...(input.beside?.(task, item, given) ?? []));
    });
    return {
      task,
      property: WHOLE_ANSWER,
      strings: candidates.length,
      excluded,
      notDrawn: eligible.length - drawn.length,
      drawn: drawn.length,
      examples: drawn.length,
      duplicates: 0,
    };
  });
  if (examples.length === 0) {
    throw new InwardError(
      "TRAIN_EMPTY_SET",
      `No train string of ${tasks.join(", ") || "any task"} has an answer to be taught.`,
    );
  }
  return {
    examples: examples
      .map((example) => ({ example, rank: hash(`order/${input.seed}/${JSON.stringify(example.metadata)}`) }))
      .sort((a, b) => (a.rank < b.rank ? -1 : 1))
      .map(({ example }) => example),
    cells,
  };
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
