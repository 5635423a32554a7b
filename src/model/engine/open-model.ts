/** Opens a model in a worker process and speaks for it as a LanguageModel: an abort in native code becomes ENGINE_CRASHED. */
import { resolve } from "node:path";
import type { StudyEngine } from "../../records/study.js";
import { builtScript } from "../built-script.js";
import type { AdapterChoice, LanguageModel } from "../language-model.js";
import { WorkerProcess } from "../worker-process.js";
import type { EngineCall, EngineNote, EngineResults } from "./worker-protocol.js";

export interface OpenModelOptions {
  /** Asks base and adapter together. Whether they belong together by the adapter's card is the caller's to check. */
  readonly adapter?: AdapterChoice;
}

/**
 * @param modelPath a GGUF that was verified
 * @throws MODEL_*, ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE, ENGINE_UNAVAILABLE, ENGINE_CRASHED
 */
export async function openModel(
  modelPath: string,
  settings: StudyEngine,
  { adapter }: OpenModelOptions = {},
): Promise<LanguageModel> {
  const worker = new WorkerProcess<EngineCall, EngineResults, EngineNote>({
    script: builtScript("./worker-main.js", import.meta.url),
    owner: "engine",
    crashCode: "ENGINE_CRASHED",
  });
  try {
    const { manifest, facts } = await worker.call({
      call: "open",
      modelPath,
      settings,
      ...(adapter ? { adapter: { ...adapter, path: resolve(adapter.path) } } : {}),
    });
    return {
      manifest,
      facts,
      render: (messages) => worker.call({ call: "render", messages }),
      encode: (conversations) => worker.call({ call: "encode", conversations }),
      check: (requests) => worker.call({ call: "check", requests }),
      ask: (requests, { sequences, onReply, signal } = {}) =>
        worker.call(
          { call: "ask", requests, ...(sequences === undefined ? {} : { sequences }) },
          {
            ...(onReply ? { onNote: ({ index, reply }) => onReply(index, reply) } : {}),
            ...(signal ? { signal } : {}),
          },
        ),
      dispose: () => worker.end(),
    };
  } catch (error) {
    await worker.end();
    throw error;
  }
}
