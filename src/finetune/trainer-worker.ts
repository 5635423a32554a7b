/** Entry of the trainer's worker process: one addon, one Trainer, driven by messages; ends with its parent. */

import type { Trainer } from "../../native/index.js";
import { InwardError } from "../errors.js";
import { loadAddon, nativeCode } from "../model/native/addon.js";
import { serveParent } from "../model/worker-process.js";
import type { TrainerCall, TrainerResults } from "./trainer.js";

let trainer: Trainer | undefined;

serveParent<TrainerCall>(answer, (error) => nativeCode(error) ?? "TRAIN_CRASHED");

async function answer(call: TrainerCall): Promise<TrainerResults[TrainerCall["call"]]> {
  if (call.call === "open") {
    const addon = await loadAddon(call.options.binariesFolder);
    trainer?.dispose();
    trainer = new addon.Trainer(call.options);
    return trainer.describe();
  }
  if (!trainer) throw new InwardError("INTERNAL", `The trainer was asked to ${call.call} before it was opened.`);
  switch (call.call) {
    case "accumulate":
      return trainer.accumulate(call.microbatch, call.dropoutSeed);
    case "evaluate":
      return trainer.evaluate(call.microbatch);
    case "logits":
      return trainer.logits(call.microbatch);
    case "update":
      return trainer.update(call.adamw);
    case "gradients":
      return trainer.gradients();
    case "zeroGradients":
      trainer.zeroGradients();
      return null;
    case "state":
      return trainer.state();
    case "setState":
      trainer.setState(call.state);
      return null;
    case "profile":
      return trainer.profile(call.microbatch);
    case "dispose":
      trainer.dispose();
      trainer = undefined;
      return null;
  }
}
