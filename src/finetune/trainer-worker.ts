/** Entry of the trainer's worker process: one addon, one Trainer; ends with its parent. */

import type { Trainer } from "../../native/index.js";
import { InwardError } from "../errors.js";
import { loadAddon, nativeCode } from "../model/native/addon.js";
import { serveParent } from "../model/worker-process.js";
import type { TrainerMethods } from "./trainer.js";

let trainer: Trainer | undefined;

function opened(): Trainer {
  if (!trainer) throw new InwardError("INTERNAL", "The trainer was asked before it was opened.");
  return trainer;
}

const served: TrainerMethods = {
  async open(options) {
    const addon = await loadAddon(options.binariesFolder);
    trainer?.dispose();
    trainer = new addon.Trainer(options);
    return trainer.describe();
  },
  accumulate: (microbatch, dropoutSeed) => opened().accumulate(microbatch, dropoutSeed),
  evaluate: (microbatch) => opened().evaluate(microbatch),
  logits: (microbatch) => opened().logits(microbatch),
  update: (adamw) => opened().update(adamw),
  gradients: () => opened().gradients(),
  zeroGradients: () => opened().zeroGradients(),
  state: () => opened().state(),
  setState: (state) => opened().setState(state),
  profile: (microbatch) => opened().profile(microbatch),
  dispose() {
    opened().dispose();
    trainer = undefined;
  },
};

serveParent<TrainerMethods>(
  () => served,
  (error) => nativeCode(error) ?? "TRAIN_CRASHED",
);
