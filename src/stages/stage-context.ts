/** What every stage of a run works with. */
import type { LanguageModel } from "../model/language-model.js";
import type { EventLog } from "../store/event-log.js";
import type { RunFolder } from "../store/run-folder.js";

export interface StageContext {
  readonly run: RunFolder;
  readonly events: EventLog;
  /** Opens a state's model, closing the one before: one model in memory at a time. */
  readonly modelFor: (state: string) => Promise<LanguageModel>;
  /** Opens a state's model anew, in a new process: the open one has crashed or says nothing any more. */
  readonly reopenModel: (state: string) => Promise<LanguageModel>;
  /** Closes the model that is open, if any: training needs the memory. */
  readonly closeModel: () => Promise<void>;
  /** The file of a model of the plan. */
  readonly modelPath: (model: string) => string;
  /** @param detail what else is worth seeing at this moment, such as the loss */
  readonly onProgress: (stage: string, done: number, total: number, detail?: string) => void;
  readonly signal?: AbortSignal;
}
