/** Opens a model in a worker process and speaks for it as a LanguageModel: an abort in native code becomes ENGINE_CRASHED. */
import { resolve } from "node:path";
import type { StudyEngine } from "../../records/study.js";
import { blasPluginEnv, requireBlasPlugin, usesBlasPlugin } from "./blas-plugin.js";
import { builtScript } from "../built-script.js";
import type { AdapterChoice, LanguageModel } from "../language-model.js";
import { WorkerProcess } from "../worker-process.js";
import { settleEngine } from "./settle-engine.js";
import type { EngineCall, EngineNote, EngineResults, OpenedModel } from "./worker-protocol.js";

export interface OpenModelOptions {
  /** Asks base and adapter together. Whether they belong together by the adapter's card is the caller's to check. */
  readonly adapter?: AdapterChoice;
  /** Native only: numbers that keys and values are kept as; default f32. node-llama-cpp always keeps f16. */
  readonly cacheType?: "f32" | "f16";
}

/**
 * @param modelPath a GGUF that was verified
 * @param settings what they leave open is settled here, as a plan would
 * @throws MODEL_*, ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE, ENGINE_UNAVAILABLE, ENGINE_CRASHED
 */
export async function openModel(
  modelPath: string,
  settings: StudyEngine,
  { adapter, cacheType }: OpenModelOptions = {},
): Promise<LanguageModel> {
  const settled = await settleEngine(settings, [modelPath]);
  // A plugin is found by its process's environment, when llama.cpp registers its backends.
  const worker = new WorkerProcess<EngineCall, EngineResults, EngineNote>({
    ...(usesBlasPlugin(settled) ? { env: blasPluginEnv(requireBlasPlugin()) } : {}),
    script: builtScript("./worker-main.js", import.meta.url),
    owner: "engine",
    crashCode: "ENGINE_CRASHED",
  });
  try {
    const opened = await worker.call({
      call: "open",
      modelPath,
      settings: settled,
      ...withFullPath(adapter),
      ...(cacheType ? { cacheType } : {}),
    });
    return modelOf(worker, opened);
  } catch (error) {
    await worker.end();
    throw error;
  }
}

function modelOf(
  worker: WorkerProcess<EngineCall, EngineResults, EngineNote>,
  { manifest, facts, adapts }: OpenedModel,
): LanguageModel {
  return {
    manifest,
    facts,
    render: (messages) => worker.call({ call: "render", messages }),
    encode: (conversations) => worker.call({ call: "encode", conversations }),
    check: (requests) => worker.call({ call: "check", requests }),
    ask: (requests, { sequences, onReply, onCost, signal } = {}) =>
      worker.call(
        { call: "ask", requests, ...(sequences === undefined ? {} : { sequences }) },
        {
          onNote: (note) => ("cost" in note ? onCost?.(note.cost) : onReply?.(note.index, note.reply)),
          ...(signal ? { signal } : {}),
        },
      ),
    score: (requests, { signal } = {}) => worker.call({ call: "score", requests }, signal ? { signal } : {}),
    nextTokens: (messages, paths, topTokens) => worker.call({ call: "nextTokens", messages, paths, topTokens }),
    ...(adapts
      ? {
          withAdapter: async (adapter?: AdapterChoice) =>
            modelOf(worker, await worker.call({ call: "adapt", ...withFullPath(adapter) })),
        }
      : {}),
    dispose: () => worker.end(),
  };
}

/** The worker may stand in another folder. */
function withFullPath(adapter: AdapterChoice | undefined): { readonly adapter?: AdapterChoice } {
  return adapter ? { adapter: { ...adapter, path: resolve(adapter.path) } } : {};
}
