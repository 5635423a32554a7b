/**
 * Proves from two headers that llama.cpp can put a LoRA adapter on a base. Its own loader throws without words that reach us, asserts
 * (and so ends the process) on metadata of another type, and passes by what it does not know: all of that is refused here.
 */

import { shown } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";
import { canDequantize } from "../../gguf/encodings.js";
import { type GgufFile, type GgufTensor, readGguf } from "../../gguf/read-gguf.js";

/** Matrices of dense models whose products every evaluator adds a pair to. */
const TAKES_PAIR = /^(?:blk\.\d+\.(?:attn_(?:q|k|v|qkv|output)|ffn_(?:gate|up|down))|output)\.weight$/;
/** Looked up and not multiplied with. With a tied output llama.cpp uses such a pair in two ways of which one asserts. */
const LOOKED_UP = /embd\.weight$/;

/**
 * Reads headers only.
 * @param tried whether the evaluator proves, when it loads the adapter, that it computes every pair: then any matrix may have one
 * @throws ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE · MODEL_* of the base
 */
export async function checkAdapter(adapterPath: string, basePath: string, tried = true): Promise<void> {
  const adapter = await readAdapterHeader(adapterPath);
  const base = await readGguf(basePath);
  checkMetadata(adapter, base);
  const pairs = loraPairs(adapter);
  const weights = new Map(base.tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, { a, b }] of pairs) {
    if (!a || !b) throw invalid(adapter, `${name} has a lora_${a ? "a" : "b"} but no lora_${a ? "b" : "a"}`);
    const weight = weights.get(name);
    const isVector = weight !== undefined && weight.dimensions.length < 2;
    if (isVector || LOOKED_UP.test(name) || !(tried || TAKES_PAIR.test(name))) {
      throw invalid(adapter, `${name} has a pair, but LoRA is run on projections only`);
    }
    if (!weight) throw misfit(adapter, `${name} has a pair, but ${basePath} has no such tensor`);
    // llama.cpp scales these by tensor and asserts that no pair stands beside one.
    if (weight.type === "NVFP4") throw invalid(adapter, `${name} has a pair, but the base's weight is NVFP4`);
    checkShape(adapter, weight, a, b);
  }
}

async function readAdapterHeader(path: string): Promise<GgufFile> {
  try {
    return await readGguf(path);
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    const code = error.code === "MODEL_NOT_FOUND" ? "ADAPTER_NOT_FOUND" : "ADAPTER_INVALID";
    throw new InwardError(code, error.message, { cause: error });
  }
}

function checkMetadata(adapter: GgufFile, base: GgufFile): void {
  const text = (file: GgufFile, key: string) => {
    const value = file.metadata.get(key);
    return value?.type === "string" ? value.value : undefined;
  };
  for (const [key, wanted] of [
    ["general.type", "adapter"],
    ["adapter.type", "lora"],
  ] as const) {
    const found = text(adapter, key);
    if (found !== wanted) {
      throw invalid(adapter, `its ${key} is ${found === undefined ? "missing" : shown(found)}, not "${wanted}"`);
    }
  }
  const architectures = [adapter, base].map((file) => text(file, "general.architecture") ?? "unknown");
  if (architectures[0] !== architectures[1]) {
    throw misfit(
      adapter,
      `it is for the architecture ${shown(architectures[0])}, the base is ${shown(architectures[1])}`,
    );
  }
  const alpha = adapter.metadata.get("adapter.lora.alpha");
  // Absent or 0, llama.cpp leaves out the division by the rank too: the pair is scaled by 1.
  if (alpha && (alpha.type !== "f32" || !Number.isFinite(alpha.value) || alpha.value < 0)) {
    throw invalid(adapter, `its adapter.lora.alpha is ${alpha.value} (${alpha.type})`);
  }
  if (adapter.metadata.has("adapter.alora.invocation_tokens")) {
    throw invalid(adapter, "it is an activated LoRA, which is meant for a part of each prompt only");
  }
  if (adapter.parts.length > 1) throw invalid(adapter, "it is split over several files, of which llama.cpp reads one");
}

interface LoraPair {
  a?: GgufTensor;
  b?: GgufTensor;
}

function loraPairs(adapter: GgufFile): Map<string, LoraPair> {
  const pairs = new Map<string, LoraPair>();
  for (const tensor of adapter.tensors) {
    const [, name, half] = /^(.+)\.lora_([ab])$/.exec(tensor.name) ?? [];
    // llama.cpp passes by norms that an adapter carries: what would be asked is not what was trained.
    if (name === undefined) throw invalid(adapter, `its tensor ${tensor.name} is no half of a LoRA pair`);
    if (!canDequantize(tensor.type)) throw invalid(adapter, `its tensor ${tensor.name} is of type ${tensor.type}`);
    const pair = pairs.get(name) ?? {};
    pair[half as "a" | "b"] = tensor;
    pairs.set(name, pair);
  }
  if (pairs.size === 0) throw invalid(adapter, "it holds no LoRA pair");
  return pairs;
}

/** A is [in, rank] and B [rank, out] beside a weight of [in, out], of each expert where it has some. */
function checkShape(adapter: GgufFile, weight: GgufTensor, a: GgufTensor, b: GgufTensor): void {
  const rank = a.dimensions[1] ?? 1;
  const [columns = 1, rows = 1, experts = 1] = weight.dimensions;
  const fits = (tensor: GgufTensor, ...wanted: readonly number[]) =>
    tensor.elements === wanted.reduce((product, one) => product * one) &&
    wanted.every((one, at) => (tensor.dimensions[at] ?? 1) === one);
  if (
    rank > 0 &&
    fits(weight, columns, rows, experts) &&
    fits(a, columns, rank, experts) &&
    fits(b, rank, rows, experts)
  ) {
    return;
  }
  const shape = (tensor: GgufTensor) => `[${tensor.dimensions.join(", ")}]`;
  throw misfit(adapter, `the pair ${shape(a)}, ${shape(b)} does not fit ${weight.name} ${shape(weight)}`);
}

function invalid(adapter: GgufFile, what: string): InwardError {
  return new InwardError("ADAPTER_INVALID", `${adapter.path}: ${what}`);
}

function misfit(adapter: GgufFile, what: string): InwardError {
  return new InwardError("ADAPTER_SHAPE", `${adapter.path}: ${what}`);
}
