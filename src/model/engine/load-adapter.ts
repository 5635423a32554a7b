/** Puts an adapter into llama.cpp once, so that one which it refuses is refused before any question. */
import { InsufficientMemoryError, type LlamaContextOptions, type LlamaModel } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { AdapterChoice } from "../language-model.js";

/**
 * node-llama-cpp reads an adapter when the first context wants it, keeps it with the model until that is disposed, and hands the
 * same one to every later context; its scale belongs to each context. A first, tiny context makes it read now.
 * @param adapter one that checkAdapter has passed
 * @returns what every context that is asked must be created with
 * @throws ADAPTER_INVALID
 */
export async function loadAdapter(
  model: LlamaModel,
  adapter: AdapterChoice,
  threads: number,
): Promise<Required<Pick<LlamaContextOptions, "lora">>> {
  const options = { lora: { adapters: [{ filePath: adapter.path, scale: adapter.scale ?? 1 }] } };
  try {
    const context = await model.createContext({
      contextSize: 64,
      batchSize: 64,
      flashAttention: false,
      threads,
      ...options,
    });
    await context.dispose();
  } catch (error) {
    if (error instanceof InsufficientMemoryError) throw error;
    throw new InwardError(
      "ADAPTER_INVALID",
      `${adapter.path}: llama.cpp does not load it (${(error as Error).message})`,
    );
  }
  return options;
}
