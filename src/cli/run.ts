/** inward run: a whole study, from its YAML to its report. */
import { join } from "node:path";
import { Command } from "commander";
import { loadStudy } from "../plan/load-study.js";
import { runStudy } from "../run-study.js";
import { RUN_FILES } from "../store/run-folder.js";
import { dryRun } from "./dry-run.js";
import { dryRunText } from "./dry-run-text.js";
import { abortOnInterrupt } from "./interrupt.js";
import { print, printJson } from "./output.js";
import { showProgress } from "./progress.js";
import { planStudy, type StudyOptions, studyOptions, workInRun } from "./study-run.js";
import { summarize } from "./summary.js";

interface RunOptions extends StudyOptions {
  readonly dryRun?: boolean;
  readonly measure: boolean;
  readonly json?: boolean;
}

export function runCommand(): Command {
  const command = new Command("run")
    .summary("run a study from its YAML to its report; run it again to go on where it stopped")
    .description(
      "Asks every question of the study, takes the behaviors, trains the adapters that the study wants, scores the\n" +
        "predictions and writes the report.\n" +
        "The run folder is runs/<study>-<plan hash>: the same study finds its folder again and goes on from the last\n" +
        "finished group of questions, after Ctrl-C or kill -9 alike. Results depend only on the plan (01-plan.json).",
    )
    .argument("<study>", "path of a study file (scripts/studies has examples)");
  return studyOptions(command)
    .option(
      "--dry-run",
      "print what the plan comes to: questions, tokens, steps, time, memory, disk; downloads nothing",
    )
    .option("--no-measure", "with --dry-run: do not time a few questions, so that hours stay unknown")
    .option("--json", "print one JSON object about the finished run")
    .action(run);
}

async function run(studyPath: string, options: RunOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = await loadStudy(studyPath, options.set);
  if (options.dryRun) {
    const planned = await dryRun(study, studyPath, options, progress, signal);
    if (options.json) printJson(planned);
    else print(dryRunText(planned));
    return;
  }
  const planned = await planStudy(study, studyPath, options, progress, signal);
  const finished = await workInRun(planned, progress, signal, runStudy);
  const summary = await summarize(finished);
  if (options.json) printJson(summary);
  else print(`${summary.text}\n\nReport: ${join(finished.path, RUN_FILES.report)}`);
}
