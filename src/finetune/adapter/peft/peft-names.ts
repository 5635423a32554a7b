/** What PEFT calls an adapter's tensors and modules. */
import { LORA_TARGETS, type LoraTarget } from "../../../records/training.js";
import type { LoraPlace } from "../lora-names.js";

const MODULE: Record<LoraTarget, string> = {
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};
const TARGET_OF = new Map(LORA_TARGETS.map((target) => [MODULE[target], target]));

/** e.g. `q_proj` */
export function peftModule(target: LoraTarget): string {
  return MODULE[target].split(".")[1] as string;
}

/** e.g. `model.layers.0.self_attn.q_proj` */
export function peftModulePath(layer: number, target: LoraTarget): string {
  return `model.layers.${layer}.${MODULE[target]}`;
}

/** e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` */
export function peftName({ layer, target, half }: LoraPlace): string {
  return `base_model.model.${peftModulePath(layer, target)}.lora_${half.toUpperCase()}.weight`;
}

/** Where a tensor of this name belongs, or undefined when it is no LoRA weight of one of the seven projections. */
export function peftPlace(name: string): LoraPlace | undefined {
  const match = /^base_model\.model\.model\.layers\.(0|[1-9]\d{0,5})\.(\w+\.\w+)\.lora_([AB])\.weight$/.exec(name);
  const target = TARGET_OF.get(match?.[2] ?? "");
  return match && target ? { layer: Number(match[1]), target, half: match[3] === "A" ? "a" : "b" } : undefined;
}
