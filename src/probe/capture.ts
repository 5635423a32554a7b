/** Captures states in a process of its own, a file of prompts at a time. */

import { InwardError } from "../errors.js";
import type { ChatFormat } from "../model/chat/format.js";
import type { AdapterChoice, AskRequest, ModelFacts } from "../model/language-model.js";
import { engineEnvironment } from "../model/native/blas-plugin.js";
import { builtScript, WorkerProcess } from "../model/worker-process.js";
import type { EngineManifest } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import type { Reply, TokenText } from "../tasks/answer.js";
import type { Capture } from "./states-shard.js";

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

/** One file of states to make. */
export interface ShardJob {
  readonly path: string;
  readonly requests: readonly AskRequest[];
  readonly capture: Capture;
  /** [requests] */
  readonly positions: readonly PositionChoice[];
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

export interface CaptureMethods {
  open(
    modelPath: string,
    choice: { readonly settings: SettledEngine; readonly adapter?: AdapterChoice; readonly chat?: ChatFormat },
  ): Promise<{ readonly manifest: EngineManifest; readonly facts: ModelFacts }>;
  /** Writes the file whole, or not at all. */
  shard(job: ShardJob): Promise<{ readonly texts: CapturedText[]; readonly bytes: number; readonly rows: number }>;
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
