import type { FinetuneSetReport } from "./finetune-set.js";
import type { AdapterCard } from "./training.js";

/** An adapter of the plan that was trained: by its name, which is also that of the state that carries it. */
export interface TrainedAdapter {
  readonly name: string;
  readonly card: AdapterCard;
  readonly set: FinetuneSetReport;
}
