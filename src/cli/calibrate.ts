/** inward calibrate: of a study, what its models hold likely that they would do, against how likely it is. */

import { Command } from "commander";
import { calibrate, readStudy } from "../run/run-study.js";
import {
  jsonOption,
  type JsonOption,
  noteCacheFaults,
  renamed,
  type StudyCommandOptions,
  studyOptions,
} from "./options.js";
import { abortOnInterrupt, notice, print, printJson } from "./output.js";
import { showProgress } from "./progress.js";
import { calibrationText, plannedText } from "./summary.js";

export function calibrateCommand(): Command {
  const command = new Command("calibrate")
    .summary("of a study: compare what models say that they would do with how likely they do it, at temperature 1")
    .description(
      "Measures how a study's models answer at temperature 1, as whole distributions over a property's values: of their answers,\n" +
        "and of their predictions of them; trains what that needs. Works in the study's own run folder, where npx inward run goes\n" +
        "on from there. A study without a calibration section gets the defaults, as by --set calibration={}.\n" +
        "One model without a study: npx inward distribution --help",
    )
    .argument("<study>", "path of a study file");
  return renamed(
    jsonOption(studyOptions(command)).action(calibrateStudy),
    /'(-m|--model|-t|--task|-p|--property|-n|--strings|--adapter|--device|--encoding|--variant)'|argument 'study'/,
    "calibrate is of a study file. Some strings of a task on one model: npx inward distribution --task animals_long",
  );
}

async function calibrateStudy(path: string, options: StudyCommandOptions & JsonOption): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  if (!(await readStudy(path, options.set)).calibration) {
    notice(
      `${path} has no calibration section: the defaults are taken, as by --set calibration={}; that is another plan.`,
    );
  }
  const { folder, files, scores } = await calibrate(path, {
    ...options,
    signal,
    onProgress: progress.update,
    onPlanned: (planned) => notice(plannedText(planned)),
    onCacheFaults: noteCacheFaults,
  }).finally(progress.end);
  const { distributions, calibration } = files;
  if (options.json) printJson({ folder, distributions, calibration, scores });
  else print(`${calibrationText(scores)}\n\n${calibration}`);
}
