/** adapter_config.json, as PEFT 0.21's LoraConfig reads and writes it. Pure. */
import { z } from "zod";
import { InwardError } from "../../../errors.js";

export interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** base_model_name_or_path: what the adapter says its base is. */
  readonly baseModel?: string;
  /** Names, or ends of names, of the modules that carry a pair; only written, the tensors themselves say where they belong. */
  readonly targetModules: readonly string[];
}

const nothing = z.union([z.null(), z.literal(false), z.literal(""), z.tuple([]), z.strictObject({})]);
/** How A and B began does not matter later, but pissa, olora, corda and loftq also change the base's own weights. */
const harmlessInit = z.union([z.boolean(), z.null(), z.enum(["gaussian", "orthogonal", "eva"])]);

const anything = z.unknown().optional();

/** A field that is not here must be null, false or empty: it may change what the adapter computes. */
const fields = z
  .object({
    peft_type: z.literal("LORA"),
    r: z.int().min(1),
    lora_alpha: z.number().positive(),
    lora_dropout: z.number().min(0).lt(1).default(0),
    base_model_name_or_path: z.string().nullish(),
    target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
    task_type: z.literal("CAUSAL_LM").nullish(),
    bias: z.literal("none").default("none"),
    init_lora_weights: harmlessInit.optional(),
    inference_mode: z.boolean().optional(),
    // Where it was made and by which release; which of the base's modules it covers, which the tensors themselves say too.
    auto_mapping: anything,
    revision: anything,
    peft_version: anything,
    exclude_modules: anything,
    layers_to_transform: anything,
    layers_pattern: anything,
    // Settings of other settings, without effect while those are off.
    megatron_core: anything,
    qalora_group_size: anything,
    eva_config: anything,
    runtime_config: anything,
  })
  .catchall(nothing);

/**
 * @param source what to call the file in messages
 * @throws InwardError ADAPTER_INVALID naming the field: rsLoRA, DoRA, rank and alpha patterns, modules_to_save, biases and whatever
 * else a plain pair of matrices cannot express
 */
export function parsePeftConfig(json: string, source: string): PeftConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new InwardError("ADAPTER_INVALID", `${source} is not JSON (${(error as Error).message}).`, { cause: error });
  }
  const checked = fields.safeParse(parsed);
  if (!checked.success) {
    const path = checked.error.issues[0]?.path ?? [];
    if (path.length === 0) throw new InwardError("ADAPTER_INVALID", `${source} is not a JSON object.`);
    const value = JSON.stringify((parsed as Record<string, unknown>)[String(path[0])]) ?? "missing";
    throw new InwardError(
      "ADAPTER_INVALID",
      `${source}: ${String(path[0])} is ${value.slice(0, 200)}, which is not the plain LoRA that inward reads.`,
    );
  }
  const { r, lora_alpha, lora_dropout, base_model_name_or_path, target_modules } = checked.data;
  return {
    rank: r,
    alpha: lora_alpha,
    dropout: lora_dropout,
    ...(base_model_name_or_path ? { baseModel: base_model_name_or_path } : {}),
    targetModules: typeof target_modules === "string" ? [target_modules] : (target_modules ?? []),
  };
}

/** The file's text. Only fields that every PEFT since 2024 knows, so that older releases read it too. */
export function formatPeftConfig(config: PeftConfig): string {
  const written = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: config.baseModel ?? null,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: config.rank,
    rank_pattern: {},
    revision: null,
    target_modules: config.targetModules,
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  };
  return `${JSON.stringify(written, null, 2)}\n`;
}
