/** The addon's trainer in a worker process: the same methods, asynchronous. An abort in native code becomes TRAIN_CRASHED. And what it takes. */

import type { NativeDescription, NativeTrainerOptions, Trainer } from "../../native/index.js";
import { InwardError } from "../errors.js";
import { trainingFault } from "../gguf/own-forward.js";
import { readGguf } from "../gguf/read-gguf.js";
import { arithmeticEnvironment, exactRows, lossScale } from "../model/arithmetic.js";
import type { ResolvedDevice } from "../model/device.js";
import { joinedProjections } from "../model/model-shape.js";
import { findBinaries } from "../model/native/addon.js";
import type { LoraTarget } from "../study/schema.js";
import { builtScript, type Remote, WorkerProcess } from "../model/worker-process.js";

/** What the trainer's process serves: the addon's own methods, and `open`. */
export interface TrainerMethods extends Omit<Trainer, "describe"> {
  open(options: NativeTrainerOptions): Promise<NativeDescription>;
  memory(): ProcessMemory;
}

/** Bytes, of a trainer's process and its devices. */
export interface ProcessMemory {
  /** Of the process before the trainer was opened, and the most that it has had so far. */
  readonly processBefore: number;
  readonly processMost: number;
  /** Of GPUs, by name: free before and now. Devices keep what a microbatch once took. */
  readonly devices: Readonly<
    Record<string, { readonly freeBefore: number; readonly free: number; readonly integrated: boolean }>
  >;
}

/** Every method throws what the addon throws (TRAIN_*, MODEL_*), or TRAIN_CRASHED with the worker's last words. */
export interface NativeTrainer extends Remote<Omit<Trainer, "describe" | "dispose">> {
  readonly description: NativeDescription;
  memory(): Promise<ProcessMemory>;
  /** Ends the process at once, in the middle of whatever it does. */
  kill(): Promise<void>;
  /** Frees the device's memory and ends the process. */
  dispose(): Promise<void>;
}

/** @throws TRAIN_ADDON, TRAIN_MODEL, TRAIN_DEVICE, TRAIN_MEMORY, MODEL_* */
export async function openNativeTrainer(options: NativeTrainerOptions): Promise<NativeTrainer> {
  const worker = new WorkerProcess<TrainerMethods>({
    script: builtScript("./trainer-worker.js", import.meta.url),
    owner: "trainer",
    crashCode: "TRAIN_CRASHED",
    env: arithmeticEnvironment(options.exact === true),
  });
  const { accumulate, evaluate, logits, update, gradients, zeroGradients, state, setState, profile, memory } =
    worker.remote;
  try {
    return {
      description: await worker.remote.open(options),
      accumulate,
      evaluate,
      logits,
      update,
      gradients,
      zeroGradients,
      state,
      setState,
      profile,
      memory,
      kill: () => worker.kill(),
      async dispose() {
        // A worker that is gone already has nothing left to free.
        await worker.remote.dispose().catch(() => {});
        await worker.end();
      },
    };
  } catch (error) {
    await worker.end();
    throw error;
  }
}

/**
 * What a trainer is told of the device that it runs on: its libraries, and the arithmetic there.
 * @param exact whether products of floats are to stay floats
 */
export function trainerOn(
  device: Pick<ResolvedDevice, "name" | "list">,
  exact: boolean,
): Pick<NativeTrainerOptions, "binariesFolder" | "fallbackFolder" | "device" | "exact" | "leastColumns" | "lossScale"> {
  const { folder, fallbackFolder } = findBinaries(device.name);
  const { least } = exact ? exactRows(device.name) : {};
  return {
    binariesFolder: folder,
    ...(fallbackFolder ? { fallbackFolder } : {}),
    device: device.list,
    exact,
    ...(least ? { leastColumns: least } : {}),
    lossScale: lossScale(device.name, exact),
  };
}

/**
 * Found out before a base is asked for hours.
 * @throws InwardError TRAIN_MODEL where the trainer does not compute what the file's weights mean · TRAIN_SETTINGS where a matrix that is
 * several projections is to be trained for a part of them · MODEL_*
 */
export async function requireTrainable(path: string, targets: readonly LoraTarget[]): Promise<void> {
  const file = await readGguf(path);
  const fault = trainingFault(file);
  if (fault !== undefined) throw new InwardError("TRAIN_MODEL", `${path} cannot be trained: ${fault}.`);
  for (const joined of joinedProjections(file)) {
    const absent = joined.filter((one) => !targets.includes(one));
    if (absent.length === 0 || absent.length === joined.length) continue;
    throw new InwardError(
      "TRAIN_SETTINGS",
      `lora.targets are ${targets.join(", ")}: in ${path} ${joined.join(", ")} are one matrix, which has one pair. Add ${absent.join(", ")}, or leave out all of them.`,
    );
  }
}
