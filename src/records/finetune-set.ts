/** 04-finetune-sets: the examples of one adapter, and what became of every candidate. */
import type { MissingReason } from "./extraction.js";
import type { TrainingExample } from "./training.js";

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
