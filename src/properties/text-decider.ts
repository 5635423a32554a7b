import type { StopReason } from "../records/answer.js";
import type { Extraction } from "../records/extraction.js";

/** What the beginning of a text decides, whatever follows; `open` when it decides nothing yet. */
export type Decision = Extraction | "open";

/** A property of a text that is still being written. */
export interface TextDecider {
  /** @param beginning of the text, in whole characters */
  decidedBy(beginning: string): Decision;
  /** What the text shows once it has ended. */
  atEnd(text: string, stop: StopReason): Extraction;
}
