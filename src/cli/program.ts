/** The command line: one file per command; results depend only on the resolved plan, never on a hidden flag. */

import { Command, CommanderError } from "commander";
import { INWARD_VERSION } from "../base/version.js";
import { ERRORS, InwardError } from "../errors.js";
import { forTerminal, notice, print, reportError } from "./output.js";

const HELP_WIDTH = 130;

/** In the order of the help. A command line loads the one that it names: all of them, with what they stand on, take half a second. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  doctor: async () => (await import("./doctor.js")).doctorCommand(),
  models: async () => (await import("./models.js")).modelsCommand(),
  tasks: async () => (await import("./tasks.js")).tasksCommand(),
  properties: async () => (await import("./properties.js")).propertiesCommand(),
  wordings: async () => (await import("./hypothetical-wordings.js")).wordingsCommand(),
  ask: async () => (await import("./ask.js")).askCommand(),
  next: async () => (await import("./next.js")).nextCommand(),
  "score-text": async () => (await import("./score-text.js")).scoreTextCommand(),
  tokenize: async () => (await import("./tokenize.js")).tokenizeCommand(),
  distribution: async () => (await import("./distribution.js")).distributionCommand(),
  states: async () => (await import("./capture-states.js")).statesCommand(),
  contrast: async () => (await import("./contrast.js")).contrastCommand(),
  steer: async () => (await import("./steer.js")).steerCommand(),
  patch: async () => (await import("./patch.js")).patchCommand(),
  train: async () => (await import("./train.js")).trainCommand(),
  run: async () => (await import("./run.js")).runCommand(),
  unit: async () => (await import("./run-units.js")).unitCommand(),
  units: async () => (await import("./run-units.js")).unitsCommand(),
  merge: async () => (await import("./run-units.js")).mergeCommand(),
  slurm: async () => (await import("./slurm.js")).slurmCommand(),
  quantize: async () => (await import("./quantize.js")).quantizeCommand(),
  calibrate: async () => (await import("./calibrate.js")).calibrateCommand(),
  score: async () => (await import("./score.js")).scoreCommand(),
  trials: async () => (await import("./trials.js")).trialsCommand(),
  report: async () => (await import("./report.js")).reportCommand(),
  view: async () => (await import("./view.js")).viewCommand(),
  answers: async () => (await import("./answers.js")).answersCommand(),
  compare: async () => (await import("./compare.js")).compareCommand(),
  export: async () => (await import("./export.js")).exportCommand(),
  power: async () => (await import("./power.js")).powerCommand(),
  probe: async () => (await import("./probe.js")).probeCommand(),
  verify: async () => (await import("./verify.js")).verifyCommand(),
  cache: async () => (await import("./cache.js")).cacheCommand(),
};

/** @param args of a command line whose command alone is wanted; without them the program has all */
export async function inwardProgram(args: readonly string[] = []): Promise<Command> {
  const [first = ""] = args;
  const wanted = Object.hasOwn(COMMANDS, first) ? [first] : Object.keys(COMMANDS);
  const commands = await Promise.all(wanted.map((name) => (COMMANDS[name] as () => Promise<Command>)()));
  const program = new Command("npx inward")
    .description(
      "Asks open-weight language models what they do and what they think they would do, and scores the two against each other.\n" +
        "Runs offline, on a workstation or a cluster. Start with: npx inward doctor, then npx inward run studies/quickstart.yaml",
    )
    .version(INWARD_VERSION)
    .showHelpAfterError("(run with --help for more)")
    .addHelpText(
      "after",
      "\nData goes to stdout, progress and messages to stderr; every command takes --json.\n" +
        "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 model or device unavailable, 4 verification mismatch, 75 (npx inward unit) to be begun again, 130 interrupted.",
    );
  for (const command of commands) program.addCommand(command);
  program.hook("preAction", (_, command) => requirePaths(command));
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
    // Lines of the sources are not those of a terminal.
    command.description(command.description().replaceAll("\n", " "));
    // Where no terminal says how wide it is, wide enough that a command in a sentence stays whole.
    command.exitOverride().configureHelp({ helpWidth: process.stdout.columns ?? HELP_WIDTH });
    // What was typed, or pasted, comes back in its messages.
    command.configureOutput({ writeErr: (text) => process.stderr.write(forTerminal(text, process.stderr)) });
  }
  return program;
}

/** What stands for a path in an option's flags. */
const PATH = /[<[](?:path|folder|file|out|adapter\.gguf|file\.json|chat\.jsonl)[>\]]/;

/** An empty path is a variable of a shell that is not set, and would be the folder that one stands in. @throws USAGE */
function requirePaths(command: Command): void {
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    const isEmpty = value === "" || (Array.isArray(value) && value.includes(""));
    if (isEmpty && PATH.test(option.flags)) throw new InwardError("USAGE", `${option.long} is empty; it wants a path.`);
  }
}

/**
 * Answers one command line. Errors become messages, and the process's exit code.
 * @param args without node and the script
 */
export async function runProgram(args: readonly string[]): Promise<void> {
  const json = args.includes("--json");
  const { INWARD_BLAS: retired = "none" } = process.env;
  if (retired !== "none")
    notice(`INWARD_BLAS is ${retired}, which nothing reads any more: training has products of its own.`);
  try {
    await (await inwardProgram(args)).parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : ERRORS.USAGE.exit;
      // Commander has said it on stderr.
      const message = error.message.replace(/^error: /, "");
      if (json && error.exitCode !== 0) {
        print(JSON.stringify({ error: { code: "USAGE", message, hint: ERRORS.USAGE.hint } }));
      }
    } else reportError(error, json);
  }
}
