/** inward score: behaviors and predictions scored again on a run that was asked. */

import { Command } from "commander";
import { score } from "../run/run-study.js";
import { jsonOption, type JsonOption } from "./options.js";
import { print, printJson } from "./output.js";
import { summarize } from "./summary.js";

export function scoreCommand(): Command {
  const command = new Command("score")
    .summary("take behaviors and score predictions again from a run's stored answers; asks no model")
    .argument("<run>", "run folder");
  return jsonOption(command, "print the averages as JSON").action(async (path: string, options: JsonOption) => {
    const summary = await summarize(await score(path));
    if (options.json) printJson(summary);
    else print(summary.text);
  });
}
