/** Names of an adapter's tensors: which projection of which layer, and which half of the pair. */
import { LORA_TARGETS, type LoraTarget } from "../../records/training.js";

export interface LoraPlace {
  readonly layer: number;
  readonly target: LoraTarget;
  readonly half: "a" | "b";
}

const BASE_TENSOR: Record<LoraTarget, string> = {
  q: "attn_q",
  k: "attn_k",
  v: "attn_v",
  o: "attn_output",
  gate: "ffn_gate",
  up: "ffn_up",
  down: "ffn_down",
};
const TARGET_OF = new Map(LORA_TARGETS.map((target) => [BASE_TENSOR[target], target]));

/** e.g. `blk.0.attn_q.weight.lora_a` */
export function loraName({ layer, target, half }: LoraPlace): string {
  return `blk.${layer}.${BASE_TENSOR[target]}.weight.lora_${half}`;
}

/** Where a tensor of this name belongs, or undefined when it stands beside none of the seven projections. */
export function loraPlace(name: string): LoraPlace | undefined {
  const match = /^blk\.(0|[1-9]\d{0,5})\.(\w+)\.weight\.lora_([ab])$/.exec(name);
  const target = TARGET_OF.get(match?.[2] ?? "");
  return match && target ? { layer: Number(match[1]), target, half: match[3] as "a" | "b" } : undefined;
}
