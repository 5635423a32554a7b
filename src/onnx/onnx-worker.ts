/** Entry of the second engine's worker process: onnxruntime and transformers.js, driven by messages; ends with its parent. */

import { InwardError } from "../errors.js";
import { serveParent } from "../model/worker-process.js";
import type { OnnxMethods, OnnxNote } from "./onnx-engine.js";
import { OnnxSession } from "./onnx-session.js";
import { TransformersJs } from "./transformers-js.js";

let session: OnnxSession | undefined;
let library: TransformersJs | undefined;

serveParent<OnnxMethods, OnnxNote>(
  ({ signal, note }) => ({
    async open(path, settings, cacheShape) {
      session = await OnnxSession.open(path, settings, cacheShape);
    },
    score: (sequences, how) => opened().score(sequences, how),
    generate: (questions) => opened().generate(questions, () => note({ answered: 1 }), signal),
    distribution: (promptIds) => opened().distribution(promptIds),
    logits: (ids, kept) => opened().logits(ids, kept),
    hiddenStates: (ids, names) => opened().hiddenStates(ids, names),
    time: (prompts, answerTokens) => opened().time(prompts, answerTokens),
    async openTransformers(folder, settings, padId) {
      library = await TransformersJs.open(folder, settings, padId);
    },
    tokenize: (texts) => there().tokenize(texts),
    template: (conversations, variables) => there().template(conversations, variables),
    generateThere: (prompts, maxTokens, endIds) => there().generate(prompts, maxTokens, endIds),
    async dispose() {
      await session?.release();
      await library?.dispose();
      session = undefined;
      library = undefined;
    },
  }),
  () => "ONNX_RUN",
);

function opened(): OnnxSession {
  if (!session) throw new InwardError("INTERNAL", "The worker was asked before it opened a graph.");
  return session;
}

function there(): TransformersJs {
  if (!library) throw new InwardError("INTERNAL", "The worker was asked before it opened transformers.js.");
  return library;
}
