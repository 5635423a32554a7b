/** inward score and inward report: the stages that need no model, on a run that was asked. */

import { Command } from "commander";
import { BEHAVIORS_OF_ROUND, extractBehaviors, roundsOf } from "../run/behaviors.js";
import { RunFolder } from "../run/folder.js";
import { writeReport } from "../run/report-stage.js";
import {
  comparePredictors,
  judgeExperiments,
  predictFromStrings,
  scoreCalibration,
  scoreMatrix,
  scorePredictions,
  scoreShifts,
} from "../run/score-stages.js";
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
        for (const file of BEHAVIORS_OF_ROUND) run.forget(file);
        run.forget("inputOnly");
        run.forget("scores");
        run.forget("comparisons");
        run.forget("calibration");
        run.forget("matrix");
        run.forget("shifts");
        run.forget("experiments");
        for (const round of roundsOf(run.plan)) await extractBehaviors({ run }, round);
        await predictFromStrings({ run });
        await scorePredictions({ run });
        await comparePredictors({ run });
        await scoreCalibration({ run });
        await scoreMatrix({ run });
        await scoreShifts({ run });
        await judgeExperiments({ run });
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
        run.forget("report");
        await writeReport({ run });
        const files = { html: run.file("report"), markdown: run.file("reportMarkdown"), figures: run.file("figures") };
        if (options.json) printJson(files);
        else print(files.html);
      } finally {
        await run.close();
      }
    });
}
