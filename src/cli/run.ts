/** inward run: a whole study, from its YAML to its report. */
import { join } from "node:path";
import { Command } from "commander";
import { calibrationQuestions } from "../ask/calibration-questions.js";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { adaptedObjectLevelQuestions, objectLevelQuestions } from "../ask/object-level-questions.js";
import { loadStudy } from "../plan/load-study.js";
import type { Plan } from "../records/plan.js";
import { runStudy } from "../run-study.js";
import { hashOf } from "../store/canonical-json.js";
import { RUN_FILES } from "../store/run-folder.js";
import { abortOnInterrupt } from "./interrupt.js";
import { print, printJson } from "./output.js";
import { showProgress } from "./progress.js";
import { planStudy, type StudyOptions, studyOptions, workInRun } from "./study-run.js";
import { summarize } from "./summary.js";

interface RunOptions extends StudyOptions {
  readonly dryRun?: boolean;
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
    .option("--dry-run", "print the plan's size and folder, ask nothing")
    .option("--json", "print one JSON object about the finished run")
    .action(run);
}

async function run(studyPath: string, options: RunOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const study = await loadStudy(studyPath, options.set);
  const planned = await planStudy(study, studyPath, options, progress, signal);
  if (options.dryRun) {
    printDryRun(planned.plan, planned.folder, options.json === true);
    return;
  }
  const finished = await workInRun(planned, progress, signal, runStudy);
  const summary = await summarize(finished);
  if (options.json) printJson(summary);
  else print(`${summary.text}\n\nReport: ${join(finished.path, RUN_FILES.report)}`);
}

function printDryRun(plan: Plan, folder: string, json: boolean): void {
  const adapters = Object.keys(plan.adapters ?? {});
  const distributions = calibrationQuestions(plan).length;
  const size = {
    folder,
    planHash: hashOf(plan),
    tasks: plan.tasks.length,
    objectLevel: objectLevelQuestions(plan).length + adaptedObjectLevelQuestions(plan).length,
    hypothetical: hypotheticalQuestions(plan).length,
    ...(distributions > 0 ? { distributions } : {}),
    ...(adapters.length > 0 ? { adapters } : {}),
  };
  if (json) printJson(size);
  else {
    const measured = distributions > 0 ? `\n${distributions} distributions to measure` : "";
    const trained = adapters.length > 0 ? `\nadapters to train: ${adapters.join(", ")}` : "";
    print(
      `${folder}\n${size.tasks} tasks, ${size.objectLevel} object-level and ${size.hypothetical} hypothetical questions${measured}${trained}`,
    );
  }
}
