/** The engine's process. One may be started before it is known what it will open: it loads its code while its parent loads its own. */

import { arithmeticEnvironment } from "../arithmetic.js";
import { builtScript, WorkerProcess } from "../worker-process.js";
import type { EngineMethods, EngineNote } from "./start-engine.js";

type EngineProcess = WorkerProcess<EngineMethods, EngineNote>;
type Environment = Readonly<Record<string, string>>;

let waiting: { readonly env: Environment; readonly process: EngineProcess } | undefined;

/** For commands that open a model. What is never taken keeps nobody waiting, and ends with its parent. */
export function startEngineProcess(): void {
  const env = arithmeticEnvironment(false);
  const process = newProcess(env);
  process.detain(false);
  waiting = { env, process };
}

/** @param env what its libraries read when they start: only a process with the same is taken @returns one that nobody else has */
export function takeEngineProcess(env: Environment): EngineProcess {
  const early = waiting;
  waiting = undefined;
  if (early === undefined) return newProcess(env);
  if (isSame(early.env, env)) {
    early.process.detain(true);
    return early.process;
  }
  void early.process.end();
  return newProcess(env);
}

function newProcess(env: Environment): EngineProcess {
  return new WorkerProcess<EngineMethods, EngineNote>({
    env,
    script: builtScript("./worker-main.js", import.meta.url),
    owner: "engine",
    crashCode: "ENGINE_CRASHED",
  });
}

function isSame(one: Environment, other: Environment): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
