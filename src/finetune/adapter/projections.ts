/** How the seven projections of a layer lie in matrices: here, where an adapter's tensors are called after them, and in transformers. */

import { LORA_TARGETS, type LoraTarget } from "../../study/schema.js";

/** One matrix of a layer, which may be several projections, one below the other. It has one LoRA pair. */
export interface ProjectionMatrix {
  /** As a GGUF calls it: `blk.0.<tensor>.weight` */
  readonly tensor: string;
  /** As transformers does: `model.layers.0.<module>` */
  readonly module: string;
  readonly targets: readonly LoraTarget[];
}

const SEPARATE: readonly ProjectionMatrix[] = [
  { tensor: "attn_q", module: "self_attn.q_proj", targets: ["q"] },
  { tensor: "attn_k", module: "self_attn.k_proj", targets: ["k"] },
  { tensor: "attn_v", module: "self_attn.v_proj", targets: ["v"] },
  { tensor: "attn_output", module: "self_attn.o_proj", targets: ["o"] },
  { tensor: "ffn_gate", module: "mlp.gate_proj", targets: ["gate"] },
  { tensor: "ffn_up", module: "mlp.up_proj", targets: ["up"] },
  { tensor: "ffn_down", module: "mlp.down_proj", targets: ["down"] },
];

/** llama.cpp takes it in the place of the three, or them in its place, in a file of any architecture; in transformers only phi3 has it. */
const QKV: ProjectionMatrix = { tensor: "attn_qkv", module: "self_attn.qkv_proj", targets: ["q", "k", "v"] };

const FUSED: readonly ProjectionMatrix[] = [
  QKV,
  { tensor: "attn_output", module: "self_attn.o_proj", targets: ["o"] },
  { tensor: "ffn_up", module: "mlp.gate_up_proj", targets: ["gate", "up"] },
  { tensor: "ffn_down", module: "mlp.down_proj", targets: ["down"] },
];

/** Of an architecture that is not known, the usual ones: what such an adapter has beside them is nobody's projection. */
export function projectionMatrices(architecture: string): readonly ProjectionMatrix[] {
  return architecture === "phi3" ? FUSED : SEPARATE;
}

/** What transformers computes of the same matrices, where that is known. */
export interface PeftBaseKind {
  /**
   * transformers turns a head's first half against its second (row p with row p + width / 2). Where llama.cpp turns neighbours (rows
   * 2p and 2p + 1), its converter puts the rows of W_q and W_k in that order; an adapter's B·A is added to W, so B's rows move too.
   */
  readonly rowsOfHeads: "moved" | "same";
  /** What PEFT takes where a configuration names no target. */
  readonly usualModules: readonly string[] | undefined;
}

const Q_AND_V = ["q_proj", "v_proj"];

const PEFT_BASES: Readonly<Record<string, PeftBaseKind>> = {
  llama: { rowsOfHeads: "moved", usualModules: Q_AND_V },
  granite: { rowsOfHeads: "moved", usualModules: undefined },
  smollm3: { rowsOfHeads: "moved", usualModules: undefined },
  qwen2: { rowsOfHeads: "same", usualModules: Q_AND_V },
  qwen3: { rowsOfHeads: "same", usualModules: Q_AND_V },
  gemma: { rowsOfHeads: "same", usualModules: Q_AND_V },
  gemma2: { rowsOfHeads: "same", usualModules: Q_AND_V },
  gemma3: { rowsOfHeads: "same", usualModules: Q_AND_V },
  phi3: { rowsOfHeads: "same", usualModules: undefined },
  olmo2: { rowsOfHeads: "same", usualModules: undefined },
};

/** Undefined of an architecture whose PEFT adapters are not read or written. */
export function peftBaseKind(architecture: string): PeftBaseKind | undefined {
  return Object.hasOwn(PEFT_BASES, architecture) ? PEFT_BASES[architecture] : undefined;
}

/** For messages. */
export const PEFT_ARCHITECTURES: readonly string[] = Object.keys(PEFT_BASES);

// Names of an adapter's tensors: which matrix of which layer, and which half of its pair.

export interface LoraPlace {
  readonly layer: number;
  readonly matrix: ProjectionMatrix;
  readonly half: "a" | "b";
}

/** e.g. `blk.0.attn_q.weight.lora_a` */
export function loraName({ layer, matrix, half }: LoraPlace): string {
  return `blk.${layer}.${matrix.tensor}.weight.lora_${half}`;
}

/** Where a tensor of this name belongs, or undefined when it stands beside none of the projections. */
export function loraPlace(name: string, architecture: string): LoraPlace | undefined {
  const [, layer, tensor, half] = /^blk\.(0|[1-9]\d{0,5})\.(\w+)\.weight\.lora_([ab])$/.exec(name) ?? [];
  const matrix = [...projectionMatrices(architecture), QKV, ...SEPARATE.slice(0, 3)].find(
    (one) => one.tensor === tensor,
  );
  return matrix && { layer: Number(layer), matrix, half: half as "a" | "b" };
}

/** Which of the projections have a pair in any layer, in the usual order. */
export function loraTargets(names: Iterable<string>, architecture: string): LoraTarget[] {
  const found = new Set([...names].flatMap((name) => loraPlace(name, architecture)?.matrix.targets ?? []));
  return LORA_TARGETS.filter((target) => found.has(target));
}
