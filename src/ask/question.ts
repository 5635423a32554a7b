import type { ChatMessage } from "../records/answer.js";
import type { Split } from "../records/task.js";

/** One question for one model state, before it is asked. */
export interface Question {
  readonly key: string;
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly split: Split;
  readonly property?: string;
  readonly variant?: string;
  readonly sample: number;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly temperature: 0 | 1;
  /** Temperature 1 only: run seed, state and key; so a draw does not depend on batch or order. */
  readonly seed?: string;
}
