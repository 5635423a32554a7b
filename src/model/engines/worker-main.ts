/** Entry of the worker process: one engine, driven by messages; ends with its parent. */

import { InwardError } from "../../errors.js";
import type { LanguageModel } from "../language-model.js";
import { nativeCode } from "../native/addon.js";
import { serveParent } from "../worker-process.js";
import type { EngineMethods, EngineNote, OpenedModel } from "./start-engine.js";

let model: LanguageModel | undefined;
let peer: typeof import("./node-llama-cpp.js") | undefined;

// While the parent finds out what is to be opened; what goes wrong is told when it is opened.
import("./native.js").catch(() => {});

serveParent<EngineMethods, EngineNote>(
  ({ signal, note }) => ({
    async open(modelPath, { settings, adapter, cacheType, chat }) {
      // Each with what it stands on alone: node-llama-cpp takes longer to load than a small model's answer.
      if (settings.engine === "native") {
        const { openNativeEngine } = await import("./native.js");
        model = await openNativeEngine(modelPath, settings, { adapter, cacheType, chat });
      } else {
        peer = await import("./node-llama-cpp.js");
        model = await peer.openNodeLlamaEngine(modelPath, settings, { adapter, chat });
      }
      return describe(model);
    },
    render: (messages, options) => opened().render(messages, options),
    tokenTexts: (ids) => opened().tokenTexts(ids),
    encode: (conversations, options) => opened().encode(conversations, options),
    check: (requests) => opened().check(requests),
    ask: (requests, sequences) =>
      opened().ask(requests, {
        signal,
        onReply: (index, reply) => note({ index, reply }),
        onCost: (cost) => note({ cost }),
        sequences,
      }),
    score: (requests) =>
      opened().score(requests, {
        signal,
        onScored: (scored) => note({ scored }),
        onCost: (cost) => note({ cost }),
      }),
    nextTokens: (...asked) => opened().nextTokens(...asked),
    async nextTokensTogether(requests) {
      const { nextTokensTogether } = opened();
      if (!nextTokensTogether)
        throw new InwardError("INTERNAL", "The worker was asked for many prompts' next tokens together.");
      return nextTokensTogether(requests);
    },
    async adapt(adapter) {
      const current = opened();
      if (!current.withAdapter) {
        const what = "The worker was asked for another adapter by an engine that has to open anew.";
        throw new InwardError("INTERNAL", what);
      }
      model = await current.withAdapter(adapter);
      return describe(model);
    },
    async dispose() {
      await opened().dispose();
      model = undefined;
    },
  }),
  (error) => peer?.nodeLlamaCode(error) ?? nativeCode(error) ?? "ENGINE_CRASHED",
);

function opened(): LanguageModel {
  if (!model) throw new InwardError("INTERNAL", "The engine was asked before it opened a model.");
  return model;
}

function describe({ manifest, facts, withAdapter, nextTokensTogether }: LanguageModel): OpenedModel {
  return {
    manifest,
    facts,
    adapts: withAdapter !== undefined,
    together: nextTokensTogether !== undefined,
    intervenes: manifest.engine === "native",
  };
}
