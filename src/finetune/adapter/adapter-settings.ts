/** Which LoRA settings an adapter was made with, so that training can go on from it without repeating them. Pure. */
import { LORA_TARGETS, type LoraSettings } from "../../records/training.js";
import type { LoraAdapter } from "./lora-adapter.js";
import { loraPlace } from "./lora-names.js";

/** Targets are those that occur in any layer, in the usual order; whether every layer has them shows in `adapterToState`. */
export function adapterSettings(adapter: LoraAdapter): Omit<LoraSettings, "dropout"> {
  const found = new Set([...adapter.tensors.keys()].map((name) => loraPlace(name)?.target));
  return {
    rank: adapter.rank,
    alpha: adapter.alpha,
    targets: LORA_TARGETS.filter((target) => found.has(target)),
  };
}
