/** inward score and inward report: the stages that need no model, on a run that was asked. */

import { Command } from "commander";
import { RunFolder } from "../run/folder.js";
import { REPORTING, runStagesAgain, SCORING } from "../run/stages.js";
import { print, printJson } from "./output.js";
import { summarize } from "./summary.js";

export function scoreCommand(): Command {
  return new Command("score")
    .summary("take behaviors and score predictions again from a run's stored answers; asks no model")
    .argument("<run>", "run folder")
    .option("--json", "print the averages as JSON")
    .action(async (path: string, options: { json?: boolean }) => {
      const run = await RunFolder.open(path);
      try {
        await runStagesAgain(run, SCORING);
        const summary = await summarize(run);
        if (options.json) printJson(summary);
        else print(summary.text);
      } finally {
        await run.close();
      }
    });
}

export function reportCommand(): Command {
  return new Command("report")
    .summary("write the report of a scored run again; asks no model")
    .argument("<run>", "run folder")
    .option("--json", "print the paths as JSON")
    .action(async (path: string, options: { json?: boolean }) => {
      const run = await RunFolder.open(path);
      try {
        await runStagesAgain(run, REPORTING);
        const files = { html: run.file("report"), markdown: run.file("reportMarkdown"), figures: run.file("figures") };
        if (options.json) printJson(files);
        else print(files.html);
      } finally {
        await run.close();
      }
    });
}
