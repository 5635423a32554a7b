/** Captures states in a process of its own, a file of prompts at a time, and outlives that process's crashes. */

import { plainMessages } from "../ask/plain-question.js";
import { InwardError } from "../errors.js";
import type { ChatFormat } from "../model/chat/format.js";
import type { AdapterChoice, AskRequest, ModelFacts } from "../model/language-model.js";
import { engineEnvironment } from "../model/native/blas-plugin.js";
import { builtScript, WorkerProcess } from "../model/worker-process.js";
import type { EngineManifest } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import type { Reply } from "../tasks/answer.js";
import type { TokenText } from "../tasks/answer-tokens.js";
import type { Capture, WrittenShard } from "./states-shard.js";

/** Of which tokens states are captured. */
export interface PositionChoice {
  /** Of a prompt: all, or some by number, from 0, or from -1 for the last one. */
  readonly prompt: "all" | readonly number[];
  /** Of a reply: all that the model reads, which is all but its last one, or none. */
  readonly reply: boolean;
}

/**
 * @param text comma-separated: `all` (prompt and reply), `prompt`, `reply`, `last` (of the prompt), or numbers of the prompt's tokens
 * @throws USAGE
 */
export function parsePositions(text: string): PositionChoice {
  let everything = false;
  let reply = false;
  const chosen = new Set<number>();
  for (const item of text.split(",").map((one) => one.trim())) {
    if (item === "all" || item === "prompt") everything = true;
    if (item === "all" || item === "reply") reply = true;
    if (item === "last") chosen.add(-1);
    if (/^-?\d{1,7}$/.test(item)) chosen.add(Number(item));
    else if (!["all", "prompt", "reply", "last"].includes(item)) {
      const what = `--positions ${JSON.stringify(item.slice(0, 40))} is none of all, prompt, reply, last and whole numbers`;
      throw new InwardError("USAGE", what);
    }
  }
  return { prompt: everything ? "all" : [...chosen], reply };
}

/** [tokens] 1 where a token of the prompt is chosen. @param which for messages @throws USAGE where there is no such token */
export function chosenTokens({ prompt }: PositionChoice, length: number, which: string): Uint8Array {
  const mask = new Uint8Array(length).fill(prompt === "all" ? 1 : 0);
  for (const position of prompt === "all" ? [] : prompt) {
    const at = position < 0 ? length + position : position;
    if (at < 0 || at >= length) {
      throw new InwardError("USAGE", `${which} has ${length} tokens, and --positions asks for ${position}`);
    }
    mask[at] = 1;
  }
  return mask;
}

/** Texts to evaluate, and states of theirs to take. */
export interface CaptureJob {
  readonly requests: readonly AskRequest[];
  readonly capture: Capture;
  /** [requests] */
  readonly positions: readonly PositionChoice[];
  /** Each is evaluated by itself and not with the others. */
  readonly oneByOne?: boolean;
}

/** One file of states to make. */
export interface ShardJob extends CaptureJob {
  /** Where the file goes. */
  readonly path: string;
}

/** What became of one of its prompts. */
export interface CapturedText {
  readonly promptTokens: number;
  readonly promptSha256: string;
  /** Of the captured tokens, in the order of the file's rows. */
  readonly tokens: readonly ({ readonly position: number; readonly id: number } & TokenText)[];
  /** Absent where nothing was to be answered. */
  readonly reply?: Pick<Reply, "text" | "stop" | "tokenIds" | "logprobs">;
}

/** A file of states as it was written. */
export interface MadeShard extends WrittenShard {
  readonly texts: readonly CapturedText[];
  readonly rows: number;
}

export interface CaptureMethods {
  open(
    modelPath: string,
    choice: { readonly settings: SettledEngine; readonly adapter?: AdapterChoice; readonly chat?: ChatFormat },
  ): Promise<{ readonly manifest: EngineManifest; readonly facts: ModelFacts }>;
  /** Writes the file whole, or not at all. */
  shard(job: ShardJob): Promise<MadeShard>;
  /** The same states without a file: whether the engine outlives them. */
  evaluate(job: CaptureJob): Promise<void>;
  /** The most that the process has held, bytes. */
  memory(): { readonly peakBytes: number };
}

/** Its notes are prompts that are done. */
export type CaptureProcess = WorkerProcess<CaptureMethods, number>;

/** End it when it has done its work. @throws ENGINE_UNAVAILABLE where the engine cannot capture */
export function startCaptureProcess(settings: SettledEngine): CaptureProcess {
  if (settings.engine !== "native") {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `The engine ${settings.engine} has no states to show; build the native one: node scripts/build-native.mjs`,
    );
  }
  return new WorkerProcess<CaptureMethods, number>({
    env: engineEnvironment(settings),
    script: builtScript("./capture-worker.js", import.meta.url),
    owner: "capture",
    crashCode: "ENGINE_CRASHED",
  });
}

/** A model's file as it is asked, and who asks it. */
export interface CapturedModel {
  readonly path: string;
  readonly settings: SettledEngine;
  readonly adapter?: AdapterChoice;
  readonly chat?: ChatFormat;
}

export interface CaptureHooks {
  /** Prompts of the file that are done. */
  readonly onNote?: (done: number) => void;
  /** For the event log: a process is gone, and how often that was so with these prompts. */
  readonly onCrash?: (crash: { readonly attempt: number; readonly prompts: number; readonly message: string }) => void;
  readonly signal?: AbortSignal;
}

/** A file is tried so often whole; then its prompts alone. */
const WHOLE_ATTEMPTS = 2;

/** Files of states of one model. A prompt that crashes the engine alone, where a plain one does not, is set aside. */
export class StateCapturer {
  private process?: CaptureProcess;
  private opened?: ReturnType<CaptureMethods["open"]>;

  constructor(private readonly model: CapturedModel) {}

  /** @throws ENGINE_UNAVAILABLE, MODEL_*, ADAPTER_*, ENGINE_* */
  async open(): Promise<Awaited<ReturnType<CaptureMethods["open"]>>> {
    if (this.opened) return this.opened;
    const { path, settings, adapter, chat } = this.model;
    this.process = startCaptureProcess(settings);
    this.opened = this.process.remote.open(path, { settings, ...(adapter ? { adapter } : {}), chat });
    return this.opened;
  }

  /**
   * Files one after the other; a file is written while the states of the next one are evaluated.
   * @returns in their order: texts of those that were not set aside
   * @throws as the worker · ENGINE_CRASHED where it crashes on anything · INTERRUPTED
   */
  async *shards(jobs: readonly ShardJob[], hooksOf: (at: number) => CaptureHooks): AsyncGenerator<CapturedShard> {
    const evaluated = jobs.map(() => 0);
    const started = (at: number): Promise<MadeShard> | undefined => {
      const job = jobs[at];
      if (!job) return undefined;
      const hooks = hooksOf(at);
      const onNote = (done: number) => {
        evaluated[at] = done;
        hooks.onNote?.(done);
      };
      const made = this.written(job, { ...hooks, onNote });
      // Whoever waits for it hears of its end.
      made.catch(() => undefined);
      return made;
    };
    let next = started(0);
    let blamed: InwardError | undefined;
    for (const [at, job] of jobs.entries()) {
      const [own, hooks] = [next, hooksOf(at)];
      next = blamed ? undefined : started(at + 1);
      const made = blamed ?? (await this.unlessCrashed(() => own as Promise<MadeShard>, hooks));
      blamed = undefined;
      if (!(made instanceof InwardError)) {
        yield { ...made, setAside: [] };
        continue;
      }
      await next?.catch(() => undefined);
      // What was evaluated whole and only being written is not what ended the process.
      if (evaluated[at] === job.requests.length && jobs[at + 1]) {
        blamed = made;
        yield await this.shard(job, hooks, 1);
      } else {
        hooks.onCrash?.({ attempt: 1, prompts: job.requests.length, message: made.message });
        yield await this.shard(job, hooks, 2);
        next = started(at + 1);
      }
    }
  }

  /** @param from the number of the first attempt */
  private async shard(job: ShardJob, hooks: CaptureHooks, from: number): Promise<CapturedShard> {
    const crashed = (attempt: number, prompts: number, { message }: InwardError) =>
      hooks.onCrash?.({ attempt, prompts, message });
    for (let attempt = from; attempt <= WHOLE_ATTEMPTS; attempt++) {
      const made = await this.unlessCrashed(() => this.written(job, hooks), hooks);
      if (!(made instanceof InwardError)) return { ...made, setAside: [] };
      crashed(attempt, job.requests.length, made);
    }
    const setAside: number[] = [];
    const isSurvived = async (request: AskRequest, position: PositionChoice): Promise<boolean> => {
      const alone = { requests: [request], capture: job.capture, positions: [position], oneByOne: true };
      const { onNote, signal } = hooks;
      const evaluate = async () => (await this.running()).call("evaluate", [alone], { onNote, signal });
      const end = await this.unlessCrashed(evaluate, hooks);
      if (!(end instanceof InwardError)) return true;
      crashed(WHOLE_ATTEMPTS + 1, 1, end);
      return false;
    };
    for (const [at, request] of job.requests.entries()) {
      if (await isSurvived(request, job.positions[at] as PositionChoice)) continue;
      // An engine that crashes on anything would set aside all that is left.
      const plain = { ...request, messages: plainMessages(request.messages), maxTokens: 0 };
      if (!(await isSurvived(plain, { prompt: [-1], reply: false }))) {
        throw new InwardError(
          "ENGINE_CRASHED",
          `The engine crashes on a plain question as well as on prompt ${at + 1} of ${job.path}.`,
        );
      }
      setAside.push(at);
    }
    const sound = <One>(all: readonly One[]) => all.filter((_, at) => !setAside.includes(at));
    const left = { ...job, requests: sound(job.requests), positions: sound(job.positions), oneByOne: true };
    return { ...(await this.written(left, hooks)), setAside };
  }

  /** @returns the crash, where the process is gone, which is then ended @throws any other error */
  private async unlessCrashed<Result>(
    call: () => Promise<Result>,
    { signal }: CaptureHooks,
  ): Promise<Result | InwardError> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof InwardError) || error.code !== "ENGINE_CRASHED") throw error;
      // What ends a whole process group ends the worker too.
      if (signal?.aborted) throw new InwardError("INTERRUPTED", "Capturing was interrupted.", { cause: error });
      await this.end();
      return error;
    }
  }

  private async written(job: ShardJob, { onNote, signal }: CaptureHooks): Promise<MadeShard> {
    return (await this.running()).call("shard", [job], { onNote, signal });
  }

  private async running(): Promise<CaptureProcess> {
    await this.open();
    return this.process as CaptureProcess;
  }

  /** The most that the process that is open has held, bytes. */
  async peakBytes(): Promise<number | undefined> {
    return (await this.process?.remote.memory())?.peakBytes;
  }

  async end(): Promise<void> {
    const { process } = this;
    this.process = undefined;
    this.opened = undefined;
    await process?.end();
  }
}

export interface CapturedShard extends MadeShard {
  /** Numbers of the prompts that crash the engine. */
  readonly setAside: readonly number[];
}
