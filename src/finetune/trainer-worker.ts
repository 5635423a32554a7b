/** Entry of the trainer's worker process: one addon, one Trainer, driven by messages; ends with its parent. */
import type { Trainer } from "../../native/index.js";
import { ERRORS, type ErrorCode, InwardError } from "../errors.js";
import { serveParent } from "../model/serve-parent.js";
import { loadAddon } from "./native/load-addon.js";
import type { TrainerCall, TrainerResults } from "./trainer-protocol.js";

let trainer: Trainer | undefined;

serveParent<TrainerCall>(answer, codeOf);

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

/** Errors of the addon carry one of inward's codes; what has none was not foreseen there. */
function codeOf(error: unknown): ErrorCode {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "TRAIN_CRASHED";
}
