/** What every stage of a run works with. */
import type { LanguageModel } from "../model/language-model.js";
import type { EventLog } from "../store/event-log.js";
import type { RunFolder } from "../store/run-folder.js";

export interface StageContext {
  readonly run: RunFolder;
  readonly events: EventLog;
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  readonly onProgress: (stage: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}
