import type { Extraction, MissingReason } from "./extraction.js";
import type { Split } from "./task.js";

/** A line of 03-behaviors.jsonl: one property of one object-level answer, the ground truth. */
export interface Behavior {
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly split: Split;
  readonly sample: number;
  readonly property: string;
  readonly extraction: Extraction;
  /** Whether the whole answer complies with the task (one word, a number, …), whatever the property made of it. */
  readonly compliance: { readonly ok: true } | { readonly ok: false; readonly reason: MissingReason };
  /** The smallest top-1/top-2 margin over the answer's tokens, nats; absent when sampled. */
  readonly minMargin?: number;
}
