/** Tiny models and adapters that transformers and PEFT compute, too: what validation/compare-architectures.mjs and its test have in common. */
import { join } from "node:path";
import { exportPeft } from "../../src/finetune/adapter/peft.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { type ReferenceAdapter, randomAdapter } from "./reference/adapter.js";
import { type ReferenceModel, readReferenceModel } from "./reference/reference-model.js";
import { referenceLogits } from "./reference/reference-pass.js";
import { type TinyModelOptions, writeTinyModel } from "./tiny-model.js";

const RANK = 3;
export const ALPHA = 5;
/** With biases where transformers' model may have them. */
const OPTIONS: Readonly<Record<string, TinyModelOptions>> = {
  llama: { biases: true, normSpread: 0.2, ropeScale: 3 },
  granite: { biases: true },
};

/** Several times every window. */
export const TOKEN_IDS: readonly number[] = [1, ...Array.from({ length: 29 }, (_, at) => 20 + ((at * 37) % 200))];
/** Whose logprobs are kept of each position: letters, blank, a merge, a control token. */
export const KEPT_IDS: readonly number[] = [2, 30, 88, 100, 107, 118, 145, 264];

export interface TransformersCase {
  readonly architecture: string;
  readonly modelPath: string;
  readonly modelSha256: string;
  /** A folder as PEFT has it. */
  readonly peft: string;
  readonly model: ReferenceModel;
  readonly adapter: ReferenceAdapter;
}

/** The same bytes each time. */
export async function writeTransformersCase(folder: string, architecture: string): Promise<TransformersCase> {
  const path = join(folder, `${architecture}.gguf`);
  const { sha256 } = await writeTinyModel(path, { architecture, ...OPTIONS[architecture] });
  const model = await readReferenceModel(path);
  const adapter = randomAdapter(model, { rank: RANK, alpha: ALPHA, targets: LORA_TARGETS }, 0.2);
  // As an adapter's file holds them.
  for (const { values } of adapter.tensors.values()) values.set(Float32Array.from(values));
  const tensors = [...adapter.tensors].map(([name, { rows, columns, values }]) => {
    return [name, { dimensions: [columns, rows] as const, values: Float32Array.from(values) }] as const;
  });
  const peft = join(folder, `${architecture}-peft`);
  const { heads, keyValueHeads, blocks } = model;
  await exportPeft(
    peft,
    { architecture, alpha: ALPHA, rank: RANK, tensors: new Map(tensors) },
    { architecture, heads, keyValueHeads, layers: blocks.length, name: "tiny" },
  );
  return { architecture, modelPath: path, modelSha256: sha256, peft, model, adapter };
}

/** Of the kept tokens after each of the prompt's, [tokens][kept], in float64. */
export function keptLogprobs(model: ReferenceModel, adapter?: ReferenceAdapter): number[][] {
  const logits = referenceLogits(model, TOKEN_IDS, adapter);
  return TOKEN_IDS.map((_, row) => {
    const all = logits.values.subarray(row * logits.columns, (row + 1) * logits.columns);
    const most = Math.max(...all);
    const logTotal = most + Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
    return KEPT_IDS.map((id) => (all[id] as number) - logTotal);
  });
}
