/** The one place that says which architectures of models inward knows, and what for. */
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import type { GgufHeader, GgufValue } from "./read-gguf.js";

/** What is known of an architecture, by its name in `general.architecture`. */
export interface Architecture {
  readonly name: string;
  /**
   * Why our own forward pass, and so the trainer, would not compute what this file's weights mean; undefined where it does.
   * native/core reads the same file and has the last word.
   */
  readonly outsideOwnForward: (file: Pick<GgufHeader, "metadata" | "tensors">) => string | undefined;
}

/** Matrices and vectors of a dense llama model. */
const LLAMA_TENSORS =
  /^(?:(?:token_embd|output|output_norm|rope_freqs)\.weight|blk\.\d+\.(?:(?:attn_norm|ffn_norm)\.weight|(?:attn_(?:q|k|v|output)|ffn_(?:gate|up|down))\.(?:weight|bias)))$/;

const llama: Architecture = {
  name: "llama",
  outsideOwnForward({ metadata, tensors }) {
    const value = (suffix: string): GgufValue["value"] | undefined => metadata.get(`llama.${suffix}`)?.value;
    const width =
      value("attention.key_length") ?? Number(value("embedding_length")) / Number(value("attention.head_count"));
    const allowed: readonly (readonly [string, ...unknown[]])[] = [
      ["expert_count", 0],
      ["attention.value_length", width],
      ["rope.dimension_count", width],
      ["rope.scaling.type", "linear", "none"],
      ["rope.scaling.attn_factor", 1],
    ];
    for (const [suffix, ...wanted] of allowed) {
      const found = value(suffix);
      if (found !== undefined && !wanted.includes(found)) return `llama.${suffix} is ${String(found)}`;
    }
    const listed = ["attention.head_count", "attention.head_count_kv", "feed_forward_length"].find(
      (suffix) => metadata.get(`llama.${suffix}`)?.type === "array",
    );
    if (listed !== undefined) return `llama.${listed} has a value for each layer`;
    const unknown = tensors.find(({ name }) => !LLAMA_TENSORS.test(name));
    return unknown && `it has the tensor ${unknown.name}`;
  },
};

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([llama].map((one) => [one.name, one]));

/** What the adapters are for that inward trains and reads. */
export const ADAPTER_ARCHITECTURE = llama.name;

/** @throws MODEL_ARCHITECTURE naming the known ones */
export function requireKnownArchitecture(name: string, path: string): Architecture {
  const known = ARCHITECTURES.get(name);
  if (known) return known;
  const names = [...ARCHITECTURES.keys()].join(", ");
  throw new InwardError(
    "MODEL_ARCHITECTURE",
    `${path} is a model of architecture ${/^\w{1,50}$/.test(name) ? name : shown(name)}; known: ${names}`,
  );
}

/** Whether our own forward pass computes what this file's weights mean. */
export function hasOwnForward(file: Pick<GgufHeader, "metadata" | "tensors">): boolean {
  const known = ARCHITECTURES.get(String(file.metadata.get("general.architecture")?.value));
  return known !== undefined && known.outsideOwnForward(file) === undefined;
}
