/** Entry of the worker process: one engine, driven by messages; ends with its parent. */
import { InsufficientMemoryError } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { LanguageModel } from "../language-model.js";
import { openNodeLlamaEngine } from "./node-llama-engine.js";
import type { WorkerRequest, WorkerResponse, WorkerResults } from "./worker-protocol.js";

let model: LanguageModel | undefined;
const running = new Map<number, AbortController>();

// Ctrl-C reaches the whole process group: the parent decides when to stop.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit(0));
process.on("message", (message: WorkerRequest) => {
  if ("abort" in message) {
    running.get(message.abort)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(message.id, controller);
  answer(message, controller.signal)
    .then((result) => send({ id: message.id, result }))
    .catch((error: unknown) => send({ id: message.id, error: describe(error) }))
    .finally(() => running.delete(message.id));
});

function send(response: WorkerResponse): void {
  if (process.connected) process.send?.(response);
}

async function answer(
  message: Exclude<WorkerRequest, { abort: number }>,
  signal: AbortSignal,
): Promise<WorkerResults[keyof WorkerResults]> {
  if (message.call === "open") {
    model = await openNodeLlamaEngine(message.modelPath, message.settings);
    return model.manifest;
  }
  if (!model) throw new InwardError("INTERNAL", `The worker was asked to ${message.call} before it opened a model.`);
  switch (message.call) {
    case "render":
      return model.render(message.messages);
    case "check":
      return model.check(message.requests);
    case "ask":
      return model.ask(message.requests, {
        signal,
        onReply: (index, reply) => send({ id: message.id, index, reply }),
        ...(message.sequences === undefined ? {} : { sequences: message.sequences }),
      });
    case "dispose":
      await model.dispose();
      model = undefined;
      return null;
  }
}

function describe(error: unknown): { code: InwardError["code"]; message: string } {
  if (error instanceof InwardError) return { code: error.code, message: error.message };
  if (error instanceof InsufficientMemoryError) return { code: "ENGINE_MEMORY", message: error.message };
  return { code: "ENGINE_CRASHED", message: error instanceof Error ? error.message : String(error) };
}
