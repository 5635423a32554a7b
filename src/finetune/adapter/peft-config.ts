/** adapter_config.json, as PEFT 0.21's LoraConfig reads and writes it: which modules get a pair, of which rank, scaled by what. */

import { runInNewContext } from "node:vm";
import { z } from "zod";
import { parseStrictJson, shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";

/** What PEFT makes of a module that the configuration covers. */
export interface PeftPair {
  readonly rank: number;
  /** As a GGUF says it: B·A is multiplied by alpha / rank. Under rsLoRA that is lora_alpha · √rank. */
  readonly alpha: number;
}

export interface PeftConfig {
  /** base_model_name_or_path: what the adapter says its base is. */
  readonly baseModel?: string;
  /** Of modules that no pattern names. */
  readonly plain: PeftPair;
  /**
   * @param modules such as `model.layers.0.self_attn.q_proj`, as the file's tensors name them
   * @returns their pairs in the same order
   * @throws InwardError ADAPTER_INVALID naming the field, for a module that PEFT would give no pair: its tensors would be left out unsaid
   */
  pairsOf(modules: readonly string[]): PeftPair[];
}

const nothing = z.union([z.null(), z.literal(false), z.literal(""), z.tuple([]), z.strictObject({})]);
/** How A and B began does not matter later, but pissa, olora, corda and loftq also change the base's own weights. */
const harmlessInit = z.union([z.boolean(), z.null(), z.enum(["gaussian", "orthogonal", "eva"])]);

const anything = z.unknown().optional();
const layer = z.int().min(0);
const names = z.union([z.string(), z.array(z.string())]).nullish();

/** A field that is not here must be null, false or empty: it may change what the adapter computes. */
const fields = z
  .object({
    peft_type: z.literal("LORA"),
    r: z.int().min(1),
    lora_alpha: z.number().positive(),
    use_rslora: z.boolean().nullish(),
    rank_pattern: z.record(z.string(), z.int().min(1)).nullish(),
    alpha_pattern: z.record(z.string(), z.number()).nullish(),
    lora_dropout: z.number().min(0).lt(1).default(0),
    base_model_name_or_path: z.string().nullish(),
    target_modules: names,
    exclude_modules: names,
    layers_to_transform: z.union([layer, z.array(layer)]).nullish(),
    layers_pattern: names,
    task_type: z.literal("CAUSAL_LM").nullish(),
    bias: z.literal("none").default("none"),
    init_lora_weights: harmlessInit.optional(),
    inference_mode: z.boolean().optional(),
    // Where it was made and by which release.
    auto_mapping: anything,
    revision: anything,
    peft_version: anything,
    // Settings of other settings, without effect while those are off.
    megatron_core: anything,
    qalora_group_size: anything,
    eva_config: anything,
    runtime_config: anything,
  })
  .catchall(nothing);
type Fields = z.output<typeof fields>;

/**
 * @param source what to call the file in messages
 * @param usualModules what PEFT takes where target_modules is null; undefined where it refuses that
 * @throws InwardError ADAPTER_INVALID naming the field: DoRA, modules_to_save, biases and whatever else pairs of matrices cannot express
 */
export function parsePeftConfig(json: string, source: string, usualModules: readonly string[] | undefined): PeftConfig {
  const parsed = parseStrictJson(json, { code: "ADAPTER_INVALID", place: source });
  const checked = fields.safeParse(parsed);
  if (!checked.success) {
    const path = checked.error.issues[0]?.path ?? [];
    if (path.length === 0) throw new InwardError("ADAPTER_INVALID", `${source} is not a JSON object.`);
    const key = String(path[0]);
    const value = shown((parsed as Record<string, unknown>)[key]);
    throw new InwardError(
      "ADAPTER_INVALID",
      `${source}: ${/^\w{1,100}$/.test(key) ? key : shown(key)} is ${value}, which is not the LoRA of matrix pairs that inward reads.`,
    );
  }
  const config = checked.data;
  return {
    baseModel: config.base_model_name_or_path || undefined,
    plain: pairOf(config, config.r, config.lora_alpha),
    pairsOf: (modules) => {
      requireCovered(config, modules, source, usualModules);
      const ranks = patternValues("rank_pattern", config, modules, source);
      const alphas = patternValues("alpha_pattern", config, modules, source);
      return modules.map((_, at) => pairOf(config, ranks[at] ?? config.r, alphas[at] ?? config.lora_alpha));
    },
  };
}

function pairOf({ use_rslora }: Fields, rank: number, alpha: number): PeftPair {
  return { rank, alpha: use_rslora ? alpha * Math.sqrt(rank) : alpha };
}

/** The value of the first key that matches the end of a module's name, as PEFT's get_pattern_key chooses it. */
function patternValues(
  field: "rank_pattern" | "alpha_pattern",
  config: Fields,
  modules: readonly string[],
  source: string,
): (number | undefined)[] {
  const pattern = Object.entries(config[field] ?? {});
  const keys = pattern.map(([key]) => key);
  const first = firstMatches(keys, (key) => `(.*\\.)?(${key})$`, modules, `${source}: ${field}`);
  return first.map((at) => pattern[at]?.[1]);
}

// Which modules PEFT gives a pair: check_target_module_exists of its tuners.

function requireCovered(
  config: Fields,
  modules: readonly string[],
  source: string,
  usualModules: readonly string[] | undefined,
): void {
  const { exclude_modules: excluded, layers_to_transform: layers } = config;
  const targets = config.target_modules ?? usualModules;
  if (targets === undefined)
    throw new InwardError(
      "ADAPTER_INVALID",
      `${source}: target_modules is null, and PEFT has no usual ones for models of this architecture.`,
    );
  const left = (field: string, module: string) =>
    new InwardError(
      "ADAPTER_INVALID",
      `${source}: ${field} leaves out ${module}, of which the file has tensors; PEFT would not use them.`,
    );
  const isExcluded = named(excluded ?? [], modules, `${source}: exclude_modules`);
  const out = modules.find((_, at) => isExcluded[at]);
  if (out !== undefined) throw left("exclude_modules", out);
  const ofLayers = layers !== null && layers !== undefined && [layers].flat().length > 0;
  if (typeof targets === "string") {
    if (ofLayers) {
      const value = shown(layers);
      throw new InwardError(
        "ADAPTER_INVALID",
        `${source}: layers_to_transform is ${value} beside a target_modules that is one pattern, which PEFT refuses.`,
      );
    }
    if (/^all-linear$/i.test(targets)) return;
    const fits = named(targets, modules, `${source}: target_modules`);
    // A pattern for another wrapping of the same network (a vision model's language part) fits none of these names: PEFT would not
    // load it on this base at all, so that there is nothing which it would do otherwise.
    if (fits.every((one) => !one)) return;
    const other = modules.find((_, at) => !fits[at]);
    if (other !== undefined) throw left("target_modules", other);
    return;
  }
  const fits = named(targets, modules, "");
  const other = modules.find((_, at) => !fits[at]);
  if (other !== undefined) throw left("target_modules", other);
  if (!ofLayers) return;
  const wanted = new Set([layers].flat());
  const indices = layerIndices(config, modules, source);
  // A module that is named in full is not asked for its layer.
  const wrong = modules.find((module, at) => !targets.includes(module) && !wanted.has(indices[at] as number));
  if (wrong !== undefined) throw left("layers_to_transform", wrong);
}

/** By a list: the whole name or its end after a dot. By one pattern: the whole name. */
function named(wanted: string | readonly string[], modules: readonly string[], place: string): boolean[] {
  if (typeof wanted === "string") {
    if (wanted === "") return modules.map(() => false);
    return firstMatches([wanted], (pattern) => `(?:${pattern})$`, modules, place).map((at) => at === 0);
  }
  const all = new Set(wanted);
  return modules.map((module) => {
    const parts = module.split(".");
    return parts.some((_, at) => all.has(parts.slice(at).join(".")));
  });
}

function layerIndices({ layers_pattern }: Fields, modules: readonly string[], source: string): (number | undefined)[] {
  const given = [layers_pattern ?? []].flat();
  const patterns = given.length > 0 && given[0] !== "" ? given : [undefined];
  const place = `${source}: layers_pattern`;
  const found = evaluate(
    patterns.map((pattern) => pattern ?? "[^.]*"),
    (pattern) => (pattern === "[^.]*" ? ".*?\\.[^.]*\\.(\\d+)\\." : `(?:^|.*?\\.)(?:${pattern})\\.(\\d+)\\.`),
    modules,
    place,
  );
  return found.map(({ last }) => (last === null ? undefined : Number(last)));
}

/** @returns [modules] index of the first pattern that matches from the name's beginning, -1 for none */
function firstMatches(
  patterns: readonly string[],
  wrap: (pattern: string) => string,
  modules: readonly string[],
  place: string,
): number[] {
  return evaluate(patterns, wrap, modules, place).map(({ at }) => at);
}

// Python's patterns. They come from strangers: what JavaScript reads otherwise, or not at all, is refused, and time is bounded.

/** Where the two languages agree on what is a pattern but not on what it means: a `]` that comes first in a class. */
const READ_OTHERWISE = /\[\^?\]/;
const MOST_MILLISECONDS = 1000;

interface Matched {
  readonly at: number;
  /** The last group's text. */
  readonly last: string | null;
}

/** Its regular expressions are another realm's: a pattern that backtracks without end is stopped there. */
const EVALUATION = `JSON.stringify(modules.map((module) => {
  for (let at = 0; at < sources.length; at++) {
    const expression = compiled[at] ??= new RegExp(sources[at], "uy");
    expression.lastIndex = 0;
    const match = expression.exec(module);
    if (match) return { at, last: match.at(-1) ?? null };
  }
  return { at: -1, last: null };
}))`;

function evaluate(
  patterns: readonly string[],
  wrap: (pattern: string) => string,
  modules: readonly string[],
  place: string,
): Matched[] {
  if (patterns.length === 0) return modules.map(() => ({ at: -1, last: null }));
  for (const pattern of patterns) {
    if (READ_OTHERWISE.test(pattern) || !isPattern(pattern) || !isPattern(wrap(pattern)))
      throw new InwardError("ADAPTER_INVALID", `${place} has ${shown(pattern)}, a pattern that inward does not read.`);
  }
  const sources = patterns.map(wrap);
  try {
    return JSON.parse(
      runInNewContext(EVALUATION, { sources, modules, compiled: [] }, { timeout: MOST_MILLISECONDS }),
    ) as Matched[];
  } catch (error) {
    throw new InwardError(
      "ADAPTER_INVALID",
      `${place} has a pattern that takes more than ${MOST_MILLISECONDS / 1000} second to match.`,
      { cause: error },
    );
  }
}

/** With the flag u an escape or a brace that JavaScript would read as itself is an error. */
function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

// Written.

interface WrittenConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly baseModel?: string;
  /** Names, or ends of names, of the modules that carry a pair. */
  readonly targetModules: readonly string[];
}

/** The file's text. Only fields that every PEFT since 2024 knows, so that older releases read it too. */
export function formatPeftConfig(config: WrittenConfig): string {
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
