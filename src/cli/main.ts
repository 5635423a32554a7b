#!/usr/bin/env node
/** The command line: one file per command; results depend only on the resolved plan, never on a hidden flag. */

import { Command, CommanderError } from "commander";
import { INWARD_VERSION } from "../base/version.js";
import { askCommand } from "./ask.js";
import { blasCommand } from "./blas.js";
import { calibrateCommand } from "./calibrate.js";
import { doctorCommand } from "./doctor.js";
import { modelsCommand } from "./models.js";
import { reportError } from "./output.js";
import { powerCommand } from "./power.js";
import { propertiesCommand } from "./properties.js";
import { runCommand } from "./run.js";
import { reportCommand, scoreCommand } from "./score.js";
import { tasksCommand } from "./tasks.js";
import { trainCommand } from "./train.js";
import { verifyCommand } from "./verify.js";

const program = new Command("inward")
  .description(
    "Asks open-weight language models what they do and what they think they would do, and scores the two against each other.\n" +
      "Runs offline on one workstation. Start with: inward doctor, then inward run scripts/studies/quickstart.yaml",
  )
  .version(INWARD_VERSION)
  .showHelpAfterError("(run with --help for more)")
  .addCommand(doctorCommand())
  .addCommand(modelsCommand())
  .addCommand(tasksCommand())
  .addCommand(propertiesCommand())
  .addCommand(askCommand())
  .addCommand(trainCommand())
  .addCommand(runCommand())
  .addCommand(calibrateCommand())
  .addCommand(scoreCommand())
  .addCommand(reportCommand())
  .addCommand(powerCommand())
  .addCommand(verifyCommand())
  .addCommand(blasCommand())
  .addHelpText(
    "after",
    "\nData goes to stdout, progress and messages to stderr; every command takes --json.\n" +
      "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 model or device unavailable, 4 verification mismatch, 130 interrupted.",
  );

for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) command.exitOverride();

// A reader that has seen enough (inward models list | head) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else reportError(error, process.argv.includes("--json"));
}
