/** Opens a model in a worker process and speaks for it as a LanguageModel: an abort in native code becomes ENGINE_CRASHED. */
import { type ChildProcess, fork } from "node:child_process";
import { InwardError } from "../../errors.js";
import type { Reply } from "../../records/answer.js";
import type { StudyEngine } from "../../records/study.js";
import { builtScript } from "../built-script.js";
import type { AskOptions, LanguageModel } from "../language-model.js";
import type { WorkerCall, WorkerRequest, WorkerResponse, WorkerResults } from "./worker-protocol.js";

const LOG_LINES_KEPT = 20;

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: InwardError) => void;
  readonly onReply?: (index: number, reply: Reply) => void;
}

/**
 * @param modelPath a GGUF that was verified
 * @throws MODEL_*, ENGINE_UNAVAILABLE, ENGINE_CRASHED
 */
export async function openModel(modelPath: string, settings: StudyEngine): Promise<LanguageModel> {
  const worker = new EngineWorker();
  try {
    const manifest = await worker.call({ call: "open", modelPath, settings });
    return {
      manifest,
      render: (messages) => worker.call({ call: "render", messages }),
      check: (requests) => worker.call({ call: "check", requests }),
      ask: (requests, options = {}) =>
        worker.call(
          { call: "ask", requests, ...(options.sequences === undefined ? {} : { sequences: options.sequences }) },
          options,
        ),
      dispose: () => worker.end(),
    };
  } catch (error) {
    await worker.end();
    throw error;
  }
}

class EngineWorker {
  private readonly child: ChildProcess;
  private readonly pending = new Map<number, Pending>();
  private readonly log: string[] = [];
  private nextId = 1;
  private ended: Promise<void>;

  constructor() {
    this.child = fork(builtScript("./worker-main.js", import.meta.url), {
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      execArgv: [],
      // Without the first, an abort in ggml forks a debugger; the second keeps node-llama-cpp from the network.
      env: { ...process.env, GGML_NO_BACKTRACE: "1", NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true" },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.keepLog(text));
    }
    this.child.on("message", (response: WorkerResponse) => this.receive(response));
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => {
        this.failAll(`it could not be started: ${error.message}`);
        resolve();
      });
      this.child.on("exit", (code, signal) => {
        this.failAll(signal ? `it was ended by ${signal}` : `it exited with code ${code}`);
        resolve();
      });
    });
  }

  call<Call extends WorkerCall>(call: Call, options: AskOptions = {}): Promise<WorkerResults[Call["call"]]> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      if (!this.child.connected) {
        reject(this.crashed("it has ended"));
        return;
      }
      const abort = () => this.send({ abort: id });
      options.signal?.addEventListener("abort", abort, { once: true });
      const settle = () => options.signal?.removeEventListener("abort", abort);
      this.pending.set(id, {
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
        ...(options.onReply ? { onReply: options.onReply } : {}),
      });
      this.send({ ...call, id });
      if (options.signal?.aborted) abort();
    });
  }

  async end(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    // The worker leaves when it is disconnected; one that is deep in native code is not waited for.
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 2000);
    await this.ended;
    clearTimeout(timer);
  }

  private send(request: WorkerRequest): void {
    if (this.child.connected) this.child.send(request, () => {});
  }

  private receive(response: WorkerResponse): void {
    const pending = this.pending.get(response.id);
    if (!pending) return;
    if ("reply" in response) {
      pending.onReply?.(response.index, response.reply);
      return;
    }
    this.pending.delete(response.id);
    if ("error" in response) pending.reject(new InwardError(response.error.code, response.error.message));
    else pending.resolve(response.result as never);
  }

  private keepLog(text: string): void {
    this.log.push(...text.split("\n").filter((line) => line.trim() !== ""));
    this.log.splice(0, Math.max(0, this.log.length - LOG_LINES_KEPT));
  }

  private crashed(how: string): InwardError {
    const last = this.log.length === 0 ? "It left no log." : `Its last words:\n  ${this.log.join("\n  ")}`;
    return new InwardError("ENGINE_CRASHED", `The engine's worker process is gone: ${how}. ${last}`);
  }

  private failAll(how: string): void {
    for (const pending of this.pending.values()) pending.reject(this.crashed(how));
    this.pending.clear();
  }
}
