/** inward report: the report of a scored run written again. */

import { Command } from "commander";
import { report } from "../run/run-study.js";
import { jsonOption, type JsonOption } from "./options.js";
import { print, printJson } from "./output.js";

export function reportCommand(): Command {
  const command = new Command("report")
    .summary("write the report of a scored run again; asks no model")
    .argument("<run>", "run folder");
  return jsonOption(command, "print the paths as JSON").action(async (path: string, options: JsonOption) => {
    const files = await report(path);
    if (options.json) printJson(files);
    else print(files.html);
  });
}
