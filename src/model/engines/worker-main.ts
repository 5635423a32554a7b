/** Entry of the worker process: one engine, driven by messages; ends with its parent. */

import { InsufficientMemoryError } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { LanguageModel } from "../language-model.js";
import { nativeCode } from "../native/addon.js";
import { type ServedCall, serveParent } from "../worker-process.js";
import { openNativeEngine } from "./native.js";
import { openNodeLlamaEngine } from "./node-llama-cpp.js";
import type { EngineCall, EngineNote, EngineResults, OpenedModel } from "./start-engine.js";

let model: LanguageModel | undefined;

serveParent<EngineCall, EngineNote>(answer, (error) =>
  error instanceof InsufficientMemoryError ? "ENGINE_MEMORY" : (nativeCode(error) ?? "ENGINE_CRASHED"),
);

async function answer(
  call: EngineCall,
  { signal, note }: ServedCall<EngineNote>,
): Promise<EngineResults[keyof EngineResults]> {
  if (call.call === "open") {
    const { modelPath, settings, adapter, cacheType } = call;
    model =
      settings.engine === "native"
        ? await openNativeEngine(modelPath, settings, {
            ...(adapter ? { adapter } : {}),
            ...(cacheType ? { cacheType } : {}),
          })
        : await openNodeLlamaEngine(modelPath, settings, adapter);
    return opened(model);
  }
  if (!model) throw new InwardError("INTERNAL", `The worker was asked to ${call.call} before it opened a model.`);
  switch (call.call) {
    case "render":
      return model.render(call.messages);
    case "encode":
      return model.encode(call.conversations);
    case "check":
      return model.check(call.requests);
    case "ask":
      return model.ask(call.requests, {
        signal,
        onReply: (index, reply) => note({ index, reply }),
        onCost: (cost) => note({ cost }),
        ...(call.sequences === undefined ? {} : { sequences: call.sequences }),
      });
    case "score":
      return model.score(call.requests, { signal });
    case "nextTokens":
      return model.nextTokens(call.messages, call.paths, call.topTokens);
    case "adapt":
      if (!model.withAdapter)
        throw new InwardError(
          "INTERNAL",
          "The worker was asked for another adapter by an engine that has to open anew.",
        );
      model = await model.withAdapter(call.adapter);
      return opened(model);
    case "dispose":
      await model.dispose();
      model = undefined;
      return null;
  }
}

function opened({ manifest, facts, withAdapter }: LanguageModel): OpenedModel {
  return { manifest, facts, adapts: withAdapter !== undefined };
}
