/** Raw logits of stock llama.cpp, through node-llama-cpp and nothing of ours. */
import { getLlama, LlamaLogLevel, type Token } from "node-llama-cpp";

export interface LlamaCpp {
  /** At every position. Keys and values are F32: the default of F16 would hide errors of 1e-3. */
  logits(modelPath: string, tokenIds: readonly number[], adapterPath?: string): Promise<Float32Array[]>;
  dispose(): Promise<void>;
}

export async function startLlamaCpp(): Promise<LlamaCpp> {
  const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
  return {
    async logits(modelPath, tokenIds, adapterPath) {
      const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
      try {
        const context = await model.createContext({
          contextSize: Math.max(64, tokenIds.length + 1),
          threads: 1,
          flashAttention: false,
          experimentalKvCacheKeyType: "F32",
          experimentalKvCacheValueType: "F32",
          ...(adapterPath === undefined ? {} : { lora: { adapters: [{ filePath: adapterPath }] } }),
        });
        const output = await context
          .getSequence()
          .controlledEvaluate(
            tokenIds.map((id) => [id as Token, { generateNext: { logits: true, options: { temperature: 0 } } }]),
          );
        return output.map((position) => {
          const logits = position?.next.logits;
          if (logits === undefined) throw new Error("llama.cpp gave no logits");
          const dense = new Float32Array(logits.size);
          for (const [id, logit] of logits) dense[id] = logit;
          return dense;
        });
      } finally {
        await model.dispose();
      }
    },
    dispose: () => llama.dispose(),
  };
}
