/**
 * Builds a finetune set out of what a target did: hypothetical questions about train strings, answered by the behavior that
 * the object-level answer showed. A function of its input; nothing is asked or read.
 */
import { createHash } from "node:crypto";
import { InwardError } from "../errors.js";
import type { ChatMessage } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import type { FinetuneExample, FinetuneSetCell, SetExclusion } from "../records/finetune-set.js";
import type { TaskItem } from "../records/task.js";

/** One property of one train string. */
export interface SetCandidate {
  readonly item: TaskItem;
  /** What the target did there. */
  readonly behavior: Behavior;
  /** Whether its value, said as a reply to the question, is read as itself. */
  readonly readable: boolean;
}

export interface SetInput {
  /** Of trained tasks only; each task, property and item once. */
  readonly candidates: readonly SetCandidate[];
  /** Texts of every held-out string of the study, whatever its task. */
  readonly heldOutTexts: readonly string[];
  /** Tasks that no example may come from. */
  readonly heldOutTasks: readonly string[];
  readonly variants: readonly string[];
  readonly examplesPerProperty: number;
  readonly seed: number;
  /** The prompt of the hypothetical question, exactly as asking has it. */
  readonly prompt: (behavior: Behavior, variant: string) => readonly ChatMessage[];
}

export interface FinetuneSet {
  /** In seeded order. */
  readonly examples: readonly FinetuneExample[];
  /** In the order in which candidates first name them. */
  readonly cells: readonly FinetuneSetCell[];
}

/**
 * Strings are ranked by a seeded hash that knows nothing of the property, and every property takes the first
 * `examplesPerProperty` that have a behavior: so all properties learn from the same strings, as far as these have them.
 * @throws TRAIN_EMPTY_SET with the reasons, by task; INTERNAL when a held-out string is among the candidates
 */
export function buildSet(input: SetInput): FinetuneSet {
  requireTrainStrings(input);
  const heldOut = new Set(input.heldOutTexts.map(sameText));
  const seen = new Set<string>();
  const examples: FinetuneExample[] = [];
  const cells = cellsOf(input.candidates).map((candidates): FinetuneSetCell => {
    const { task, property } = (candidates[0] as SetCandidate).behavior;
    const excluded: Partial<Record<SetExclusion, number>> = {};
    const eligible: { behavior: Behavior; value: string; rank: string }[] = [];
    for (const candidate of candidates) {
      const { behavior, item } = candidate;
      const why = exclusionOf(candidate, heldOut);
      if (why) excluded[why] = (excluded[why] ?? 0) + 1;
      else if (behavior.extraction.ok) {
        const rank = hash(`set/${input.seed}/${task}/${item.id}`);
        eligible.push({ behavior, value: behavior.extraction.value, rank });
      }
    }
    const drawn = eligible.sort((a, b) => (a.rank < b.rank ? -1 : 1)).slice(0, input.examplesPerProperty);
    const made = drawn.flatMap(({ behavior, value }) =>
      input.variants.map((variant) => toExample(behavior, variant, value, input.prompt)),
    );
    const fresh = made.filter(({ messages }) => {
      const key = JSON.stringify(messages);
      return !seen.has(key) && seen.add(key);
    });
    examples.push(...fresh);
    return {
      task,
      property,
      strings: candidates.length,
      excluded,
      notDrawn: eligible.length - drawn.length,
      drawn: drawn.length,
      examples: fresh.length,
      duplicates: made.length - fresh.length,
    };
  });
  if (examples.length === 0) throw emptySet(cells);
  return { examples: seededOrder(examples, input.seed), cells };
}

/** The rule that everything rests on: asserted here, where the set is made, whatever the stages before have done. */
function requireTrainStrings({ candidates, heldOutTasks }: SetInput): void {
  for (const { item, behavior } of candidates) {
    if (item.split !== "train" || behavior.split !== "train" || heldOutTasks.includes(behavior.task)) {
      throw new InwardError("INTERNAL", `The held-out ${behavior.task}/${item.id} was about to enter a finetune set.`);
    }
  }
}

function exclusionOf(
  { item, behavior, readable }: SetCandidate,
  heldOut: ReadonlySet<string>,
): SetExclusion | undefined {
  if (heldOut.has(sameText(item.text))) return "held_out_string";
  if (!behavior.compliance.ok) return behavior.compliance.reason;
  if (!behavior.extraction.ok) return behavior.extraction.reason;
  return readable ? undefined : "not_readable";
}

function cellsOf(candidates: readonly SetCandidate[]): SetCandidate[][] {
  const cells = new Map<string, SetCandidate[]>();
  for (const candidate of candidates) {
    const key = JSON.stringify([candidate.behavior.task, candidate.behavior.property]);
    const cell = cells.get(key);
    if (cell) cell.push(candidate);
    else cells.set(key, [candidate]);
  }
  return [...cells.values()];
}

function toExample(behavior: Behavior, variant: string, value: string, prompt: SetInput["prompt"]): FinetuneExample {
  const { task, item, property } = behavior;
  return {
    messages: [...prompt(behavior, variant), { role: "assistant", content: value }],
    metadata: { task, item, property, variant },
  };
}

/** Ranked by what the example is, so that an example's place among others does not depend on which others were left out. */
function seededOrder(examples: readonly FinetuneExample[], seed: number): FinetuneExample[] {
  return examples
    .map((example) => ({ example, rank: hash(`order/${seed}/${JSON.stringify(example.metadata)}`) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ example }) => example);
}

function emptySet(cells: readonly FinetuneSetCell[]): InwardError {
  const tasks = new Map<string, Map<string, number>>();
  for (const { task, excluded } of cells) {
    const reasons = tasks.get(task) ?? new Map<string, number>();
    for (const [reason, count] of Object.entries(excluded)) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
    tasks.set(task, reasons);
  }
  const why = [...tasks].map(([task, reasons]) => {
    const counts = [...reasons].map(([reason, count]) => `${reason} ${count}`).join(", ");
    return `${task} (${counts || "no train strings"})`;
  });
  return new InwardError(
    "TRAIN_EMPTY_SET",
    `No train string has a behavior to learn: ${why.join("; ") || "no task has train strings"}.`,
  );
}

/** Spacing is no difference between two strings; tasks are compared in the same way. */
export function sameText(text: string): string {
  return text.normalize("NFC").trim().replace(/\s+/gu, " ");
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
