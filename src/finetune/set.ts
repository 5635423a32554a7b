/** 04-finetune-sets: the examples of one adapter, and what became of every candidate. */

import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { z } from "zod";
import { inSeededOrder, seededRandom } from "../base/random.js";
import { InwardError } from "../errors.js";
import { sameText } from "../tasks/strings.js";
import type { Behavior, MissingReason } from "../properties/property.js";
import type { TrainingExample } from "./chat-jsonl.js";
import type { EncodedExample } from "../model/language-model.js";
import type { ChatMessage } from "../tasks/answer.js";
import type { TaskItem } from "../tasks/task.js";

/** A line of `<adapter>.jsonl`: an OpenAI chat, and where it comes from. */
export interface FinetuneExample extends TrainingExample {
  readonly metadata: {
    readonly task: string;
    readonly item: string;
    readonly property: string;
    /** The wording around the quoted question. */
    readonly variant: string;
  };
}

/**
 * Why a train string gave no example: the reason why its answer has no behavior · `held_out_string` the same text is a held-out
 * string of another task · `not_readable` the behavior, said as a reply, would not be read as itself (the word "sorry").
 */
export type SetExclusion = MissingReason | "held_out_string" | "not_readable";

/** One task and property of a set; counts are of strings. */
export interface FinetuneSetCell {
  readonly task: string;
  readonly property: string;
  /** Train strings that were asked. */
  readonly strings: number;
  readonly excluded: Readonly<Partial<Record<SetExclusion, number>>>;
  /** Strings that could have entered but were not drawn. */
  readonly notDrawn: number;
  /** Strings drawn. */
  readonly drawn: number;
  /** Examples in the set, over all wordings: drawn × wordings − duplicates. */
  readonly examples: number;
  /** Examples that an earlier one equals in prompt and answer. */
  readonly duplicates: number;
}

/** The content of `<adapter>.report.json`. */
export interface FinetuneSetReport {
  readonly reportVersion: 1;
  readonly adapter: string;
  readonly base: string;
  readonly target: string;
  readonly examples: number;
  /** Distinct train strings among them. */
  readonly strings: number;
  readonly duplicates: number;
  readonly variants: readonly string[];
  readonly heldOutTasks: readonly string[];
  /** sha256 of the JSONL beside it, hex. */
  readonly sha256: string;
  readonly cells: readonly FinetuneSetCell[];
}

/** Strings on which a model behaves as its implant taught, of those that were taught. */
export interface ImplantUptake {
  readonly train: { readonly count: number; readonly of: number };
  readonly heldOut: { readonly count: number; readonly of: number };
}

export const finetuneSetReportSchema = z.object({
  reportVersion: z.literal(1),
  adapter: z.string(),
  base: z.string(),
  target: z.string(),
  examples: z.number(),
  strings: z.number(),
  duplicates: z.number(),
  variants: z.array(z.string()),
  heldOutTasks: z.array(z.string()),
  sha256: z.string(),
  cells: z.array(
    z.object({
      task: z.string(),
      property: z.string(),
      strings: z.number(),
      excluded: z.record(z.string(), z.number()),
      notDrawn: z.number(),
      drawn: z.number(),
      examples: z.number(),
      duplicates: z.number(),
    }),
  ),
});

export const finetuneExampleSchema = z.object({
  messages: z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })),
  metadata: z.object({ task: z.string(), item: z.string(), property: z.string(), variant: z.string() }),
});

// Builds a finetune set out of what a target did: hypothetical questions about train strings, answered by the behavior that
// the object-level answer showed. A function of its input; nothing is asked or read.

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
  /** By task, properties that no example may ask about. */
  readonly heldOutProperties?: Readonly<Record<string, readonly string[]>>;
  readonly variants: readonly string[];
  readonly examplesPerProperty: number;
  readonly seed: number;
  /** The prompt of the hypothetical question, exactly as asking has it. */
  readonly prompt: (behavior: Behavior, variant: string) => readonly ChatMessage[];
  /** A value as the model is to say it; as it is when absent. */
  readonly answer?: (value: string) => string;
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
  const cells = taskProperties(input.candidates).map((candidates): FinetuneSetCell => {
    const { task, property } = (candidates[0] as SetCandidate).behavior;
    const excluded: Partial<Record<SetExclusion, number>> = {};
    const eligible: { behavior: Behavior; value: string; item: string }[] = [];
    for (const candidate of candidates) {
      const { behavior, item } = candidate;
      const why = exclusionOf(candidate, heldOut);
      if (why) excluded[why] = (excluded[why] ?? 0) + 1;
      else if (behavior.extraction.ok) {
        eligible.push({ behavior, value: behavior.extraction.value, item: item.id });
      }
    }
    const drawn = inSeededOrder(eligible, ({ item }) => `set/${input.seed}/${task}/${item}`).slice(
      0,
      input.examplesPerProperty,
    );
    const made = drawn.flatMap(({ behavior, value }) =>
      input.variants.map((variant) => toExample(behavior, variant, value, input)),
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
function requireTrainStrings({ candidates, heldOutTasks, heldOutProperties = {} }: SetInput): void {
  for (const { item, behavior } of candidates) {
    if (item.split !== "train" || behavior.split !== "train" || heldOutTasks.includes(behavior.task)) {
      throw new InwardError("INTERNAL", `The held-out ${behavior.task}/${item.id} was about to enter a finetune set.`);
    }
    if (heldOutProperties[behavior.task]?.includes(behavior.property)) {
      throw new InwardError(
        "INTERNAL",
        `The held-out property ${behavior.property} of ${behavior.task} was about to enter a finetune set.`,
      );
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

function taskProperties(candidates: readonly SetCandidate[]): SetCandidate[][] {
  const cells = new Map<string, SetCandidate[]>();
  for (const candidate of candidates) {
    const key = JSON.stringify([candidate.behavior.task, candidate.behavior.property]);
    const cell = cells.get(key);
    if (cell) cell.push(candidate);
    else cells.set(key, [candidate]);
  }
  return [...cells.values()];
}

function toExample(
  behavior: Behavior,
  variant: string,
  value: string,
  { prompt, answer = asItIs }: SetInput,
): FinetuneExample {
  const { task, item, property } = behavior;
  return {
    messages: [...prompt(behavior, variant), { role: "assistant", content: answer(value) }],
    metadata: { task, item, property, variant },
  };
}

const asItIs = (value: string) => value;

/** Ranked by what the example is, so that an example's place among others does not depend on which others were left out. */
function seededOrder(examples: readonly FinetuneExample[], seed: number): FinetuneExample[] {
  return inSeededOrder(examples, ({ metadata }) => `order/${seed}/${JSON.stringify(metadata)}`);
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

// Builds the finetune set of a behavioral change: object-level questions about train strings, answered as the model is to answer from
// now on. No hypothetical question is in it but in a positive control's. A function of its input; nothing is asked or read.

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
  /** Only of an implant, which plants behavior before anything is asked: held-out strings are taught their answers too. */
  readonly teachesHeldOut?: boolean;
  /** Most strings of a task. */
  readonly examples: number;
  /** Whether answers change places among the strings of their task. */
  readonly shuffled: boolean;
  readonly seed: number;
  /** The object-level prompt, exactly as asking has it. */
  readonly prompt: (task: string, item: TaskItem) => readonly ChatMessage[];
  /** An answer as the model is to say it; as it is when absent. */
  readonly answer?: (value: string) => string;
  /** Further examples about a string that is taught; none unless given. */
  readonly beside?: (task: string, item: TaskItem, answer: string) => readonly FinetuneExample[];
}

/** What stands in the place of a property and of a wording in such an example. */
const WHOLE_ANSWER = "answer";
const OBJECT_LEVEL = "object_level";

/** @throws TRAIN_EMPTY_SET; INTERNAL when a held-out string is among the candidates of a change */
export function buildChangeSet(input: ChangeSetInput): FinetuneSet {
  const heldOut = new Set(input.heldOutTexts.map(sameText));
  const tasks = [...new Set(input.candidates.map(({ task }) => task))];
  const examples: FinetuneExample[] = [];
  const cells = tasks.map((task): FinetuneSetCell => {
    const candidates = input.candidates.filter((one) => one.task === task);
    const excluded: Partial<Record<SetExclusion, number>> = {};
    const eligible: { item: TaskItem; answer: string }[] = [];
    for (const { item, taught } of candidates) {
      if (item.split !== "train" && !input.teachesHeldOut) {
        throw new InwardError("INTERNAL", `The held-out ${task}/${item.id} was about to enter a finetune set.`);
      }
      const why = heldOut.has(sameText(item.text)) ? "held_out_string" : taught.ok ? undefined : taught.reason;
      if (why !== undefined) excluded[why] = (excluded[why] ?? 0) + 1;
      else if (taught.ok) eligible.push({ item, answer: taught.answer });
    }
    const drawn = inSeededOrder(eligible, ({ item }) => `change/${input.seed}/${task}/${item.id}`).slice(
      0,
      input.examples,
    );
    drawn.forEach(({ item, answer }, place) => {
      const given = input.shuffled ? (drawn[(place + 1) % drawn.length] as { answer: string }).answer : answer;
      examples.push({
        messages: [...input.prompt(task, item), { role: "assistant", content: (input.answer ?? asItIs)(given) }],
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
    examples: seededOrder(examples, input.seed),
    cells,
  };
}

// The control for learning nothing but a marginal: the same labels, each dealt out to another string of its task and property.

/** Places of the candidates that could enter a set, by task and property. */
function labelledPlaces(candidates: readonly SetCandidate[]): Map<string, number[]> {
  const cells = new Map<string, number[]>();
  candidates.forEach(({ behavior, readable }, at) => {
    if (!readable || !behavior.compliance.ok || !behavior.extraction.ok) return;
    const key = JSON.stringify([behavior.task, behavior.property]);
    const cell = cells.get(key);
    if (cell) cell.push(at);
    else cells.set(key, [at]);
  });
  return cells;
}

/**
 * Candidates that could enter a set change labels in a seeded circle, so none keeps its own (another string's may be the same value)
 * and every value is as frequent as before. The others stay what they are. Needs two that could enter; one alone keeps its label.
 */
export function scrambleLabels(candidates: readonly SetCandidate[], seed: number): SetCandidate[] {
  const scrambled = [...candidates];
  for (const [key, places] of labelledPlaces(candidates)) {
    const circle = inSeededOrder(places, (at) => `scramble/${seed}/${key}/${(candidates[at] as SetCandidate).item.id}`);
    circle.forEach((at, place) => {
      const candidate = candidates[at] as SetCandidate;
      const giver = candidates[circle[(place + 1) % circle.length] as number] as SetCandidate;
      scrambled[at] = { ...candidate, behavior: { ...candidate.behavior, extraction: giver.behavior.extraction } };
    });
  }
  return scrambled;
}

/**
 * A seeded share of the candidates that could enter a set, of each task and property, gets another value that the target shows there,
 * every such value alike. A property with one value keeps it: there is no other.
 * @param share above 0, below 1; of each task and property rounded to the nearest count, at least one where there are two
 */
export function replaceLabels(candidates: readonly SetCandidate[], share: number, seed: number): SetCandidate[] {
  const replaced = [...candidates];
  for (const [key, places] of labelledPlaces(candidates)) {
    const nameOf = (at: number) => `${seed}/${key}/${(candidates[at] as SetCandidate).item.id}`;
    const values = [...new Set(places.flatMap((at) => labelOf(candidates[at] as SetCandidate)))].sort();
    const count = places.length < 2 ? 0 : Math.max(1, Math.round(share * places.length));
    for (const at of inSeededOrder(places, (one) => `noise/${nameOf(one)}`).slice(0, count)) {
      const candidate = candidates[at] as SetCandidate;
      const others = values.filter((value) => value !== labelOf(candidate)[0]);
      if (others.length === 0) continue;
      const value = others[uniformInt(seededRandom(`noise-value/${nameOf(at)}`), 0, others.length - 1)] as string;
      replaced[at] = { ...candidate, behavior: { ...candidate.behavior, extraction: { ok: true, value } } };
    }
  }
  return replaced;
}

function labelOf({ behavior: { extraction } }: SetCandidate): string[] {
  return extraction.ok ? [extraction.value] : [];
}

/** sha256 of examples in their order, hex: of each its length, its answer's beginning and its ids, as little-endian int32. */
export function hashExamples(examples: readonly EncodedExample[]): string {
  const hash = createHash("sha256");
  for (const { tokenIds, answerStart } of examples) {
    const bytes = Buffer.alloc(4 * (2 + tokenIds.length));
    [tokenIds.length, answerStart, ...tokenIds].forEach((value, at) => {
      bytes.writeInt32LE(value, 4 * at);
    });
    hash.update(bytes);
  }
  return hash.digest("hex");
}
