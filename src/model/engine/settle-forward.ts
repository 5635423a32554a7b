/** Decides who evaluates, llama.cpp or our own forward pass, from what the study says and from the models' headers. */
import { totalmem } from "node:os";
import { InwardError } from "../../errors.js";
import type { SettledEngine, StudyEngine } from "../../records/study.js";
import { resolveDevice } from "../device.js";
import type { GgufHeader, GgufValue } from "../gguf/gguf-file.js";
import { readGguf } from "../gguf/read-gguf.js";

type Forward = NonNullable<SettledEngine["forward"]>;

/** Where weights are integers, llama.cpp rounds activations to integers too: what such a file says is what those kernels say. */
const FLOATS: readonly string[] = ["F32", "F16", "BF16"];
/** Matrices and vectors of the dense llama models that native/core/base-model.cpp reads. */
const KNOWN_TENSORS =
  /^(?:(?:token_embd|output|output_norm|rope_freqs)\.weight|blk\.\d+\.(?:(?:attn_norm|ffn_norm)\.weight|(?:attn_(?:q|k|v|output)|ffn_(?:gate|up|down))\.(?:weight|bias)))$/;
/** Of the machine's memory, for weights as floats: the rest is for caches, and for whatever else runs. */
const MOST_MEMORY = 0.5;

/** @throws ENGINE_UNAVAILABLE where a study asks for ours and for something that only llama.cpp has */
export async function settleForward(
  settings: StudyEngine,
  engine: SettledEngine["engine"],
  modelPaths: readonly string[],
): Promise<Forward> {
  const { forward = "llama.cpp" } = settings;
  const against = objection(settings, engine);
  if (forward === "own" && against !== undefined) {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.forward own and ${against} do not go together`);
  }
  if (forward !== "auto") return forward;
  if (against !== undefined || modelPaths.length === 0) return "llama.cpp";
  const headers = await Promise.all(modelPaths.map((path) => readGguf(path)));
  if (!headers.every(takesOwnForward)) return "llama.cpp";
  return (await resolveDevice(settings.device)).name === "cpu" ? "own" : "llama.cpp";
}

function objection(settings: StudyEngine, engine: SettledEngine["engine"]): string | undefined {
  if (engine !== "native") return `engine ${engine}`;
  if (settings.device !== "cpu" && settings.device !== "auto") return `device ${settings.device}`;
  if (settings.flashAttention) return "flashAttention";
  return settings.blas ? "blas" : undefined;
}

/** Whether it can evaluate this file, and rounds nothing that the file does not. native/core/base-model.cpp has the last word. */
export function takesOwnForward({ metadata, tensors }: Pick<GgufHeader, "metadata" | "tensors">): boolean {
  const value = (suffix: string): GgufValue["value"] | undefined => metadata.get(`llama.${suffix}`)?.value;
  const weights = tensors.reduce((sum, { elements }) => sum + elements, 0);
  const width =
    value("attention.key_length") ?? Number(value("embedding_length")) / Number(value("attention.head_count"));
  const isOrAbsent = (suffix: string, ...wanted: unknown[]) => [undefined, ...wanted].includes(value(suffix) as never);
  return (
    metadata.get("general.architecture")?.value === "llama" &&
    tensors.every(({ name, type }) => KNOWN_TENSORS.test(name) && FLOATS.includes(type)) &&
    isOrAbsent("expert_count", 0) &&
    isOrAbsent("attention.value_length", width) &&
    isOrAbsent("rope.dimension_count", width) &&
    isOrAbsent("rope.scaling.type", "linear", "none") &&
    isOrAbsent("rope.scaling.attn_factor", 1) &&
    weights * Float32Array.BYTES_PER_ELEMENT <= totalmem() * MOST_MEMORY
  );
}
