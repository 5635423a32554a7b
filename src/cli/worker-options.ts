/** Options of commands whose work several processes may share. */

import type { Command } from "commander";
import { environmentOf, type Sharing } from "../cluster/launch-workers.js";
import { InwardError } from "../errors.js";
import { wholeNumber } from "./options.js";
import { notice } from "./output.js";

export interface WorkersGiven {
  readonly workers?: string;
  readonly devices?: string;
  readonly unitQuestions?: string;
}

export function workerOptions(command: Command): Command {
  return command
    .option("--workers <n>", "processes that share the work, each with a model of its own in memory; the same bytes")
    .option(
      "--devices <list>",
      "a device for each worker, and one worker each unless --workers says how many: cuda:0,cuda:1 · vulkan:0 · metal",
    )
    .option(
      "--unit-questions <n>",
      "with workers: questions of a state that one takes at a time, about (default: 512)",
    );
}

/** From here on this process, too, sees the first device alone. @throws USAGE */
export function readWorkers({ workers, devices: list, unitQuestions }: WorkersGiven): Sharing {
  const devices = list?.split(",").map((one) => one.trim());
  for (const device of devices ?? []) environmentOf(device);
  // The plan says where layers lie: as a worker sees it, which has one device.
  Object.assign(process.env, environmentOf(devices?.[0]));
  const wanted = workers === undefined ? devices?.length : wholeNumber("--workers", workers);
  if (wanted === undefined && unitQuestions !== undefined) {
    throw new InwardError("USAGE", "--unit-questions is for --workers.");
  }
  const questions = unitQuestions === undefined ? undefined : wholeNumber("--unit-questions", unitQuestions);
  return { workers: wanted, devices, ...(questions === undefined ? {} : { cut: { questions } }), onWorkers: notice };
}
