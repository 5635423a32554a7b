/** inward power: how many strings a difference takes, with a run as the pilot. Asks no model. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { RunFolder } from "../run/folder.js";
import { powerFromPilot, type PrimaryPower } from "../run/primary-power.js";
import { matchRun } from "../run/score-stages.js";
import type { Weighting } from "../score/comparison/comparison.js";
import {
  type DifferenceName,
  type PowerCalculation,
  powerOf,
  type RunDifference,
  runDifferences,
} from "../score/power-analysis.js";
import { jsonOption, type JsonOption, number } from "./options.js";
import { print, printJson, table } from "./output.js";
import { primaryPowerText } from "./primary-power-text.js";

interface PowerOptions extends JsonOption {
  readonly difference?: string;
  readonly power?: string;
  readonly average: string;
}

interface Calculated extends Pick<RunDifference, "name" | "contrast"> {
  /** One for each power asked for. */
  readonly calculations: readonly PowerCalculation[];
}

export function powerCommand(): Command {
  const command = new Command("power")
    .summary("how many strings a difference takes to be seen, with a run as the pilot; asks no model")
    .description(
      "Takes a run's paired trials and how they scatter from string to string, and says how many strings a study like it\n" +
        "needs to see a difference: self minus cross where another model predicts the same target, after minus before\n" +
        "training, and each predictor above always saying the most common behavior.\n" +
        "Of a run whose study names its primary contrast, that one comes first: the power of a yes against everything that it\n" +
        "is compared with, all at once, and how many strings a no takes.",
    )
    .argument("<run>", "folder of a run that has asked all its questions")
    .option(
      "--difference <points>",
      "the difference to be seen, in points of accuracy: 5 for 5 %; of a primary contrast also several by default",
    )
    .option("--power <p>", "chance of seeing it, above 0.5 and below 1 (default: 0.8 and 0.9)")
    .option("--average <kind>", "micro: every trial counts the same; macro: every task and property does", "micro");
  return jsonOption(command, "print the calculations as JSON").action(power);
}

async function power(path: string, options: PowerOptions): Promise<void> {
  const difference = options.difference === undefined ? undefined : number("--difference", options.difference) / 100;
  const powers = options.power === undefined ? [0.8, 0.9] : [number("--power", options.power)];
  const kind = readAverage(options.average);
  const read = await RunFolder.read(path, async (run) => {
    run.outputHash("behaviors");
    run.outputHash("hypothetical");
    const { plan } = run;
    if (!plan.primary && difference === undefined) {
      throw new InwardError("USAGE", `--difference is missing, and the study ${plan.study} names no primary contrast.`);
    }
    const primary = plan.primary
      ? await powerFromPilot({ ...plan, primary: plan.primary }, run, {
          differences: difference === undefined ? undefined : [difference],
          powers,
        })
      : undefined;
    const calculated =
      difference === undefined
        ? []
        : runDifferences(await matchRun(run), plan).map(
            ({ name, contrast, rows }): Calculated => ({
              name,
              contrast,
              calculations: powers.map((one) =>
                powerOf(rows, { difference, power: one, confidence: plan.score.confidence, kind }),
              ),
            }),
          );
    return { run: run.path, primary, differences: calculated };
  });
  if (options.json) printJson(read);
  else print(textOf(read.primary, difference === undefined ? undefined : read.differences));
}

function textOf(primary: PrimaryPower | undefined, calculated: readonly Calculated[] | undefined): string {
  const others = calculated?.length === 0 ? [NOTHING] : (calculated ?? []).map(toText);
  return [
    ...(primary ? [primaryPowerText(primary)] : []),
    ...(primary && others.length > 0 ? ["exploratory, each comparison alone, for a difference above 0:"] : []),
    ...others,
  ].join("\n\n");
}

const NOTHING =
  "This run compares nothing: one predictor of each target, nothing trained, no train strings for a mode baseline.";

const NAMES: Readonly<Record<DifferenceName, string>> = {
  self_minus_cross: "self minus cross",
  after_minus_before_training: "after minus before training",
  above_mode_baseline: "above the mode baseline (train labels)",
};

function toText({ name, contrast, calculations }: Calculated): string {
  const title = `${NAMES[name]}: ${contrast.self} minus ${contrast.cross}, about ${contrast.target}`;
  const [first] = calculations;
  if (!first) return title;
  if (!first.ok) return `${title}\n  no calculation: ${first.reason}`;
  const { pilot } = first;
  const clustering = pilot.designEffect.ok
    ? `, design effect ${pilot.designEffect.value.toFixed(2)} (correlation ${pilot.designEffect.correlation.toFixed(2)})`
    : "";
  const made = calculations.flatMap((one) => (one.ok ? [one] : []));
  const header = ["task", "strings in the run", ...made.map(({ power: one }) => `for power ${one}`)];
  const rows = first.byTask.map(({ task, pilotStrings }, at) => [
    task,
    String(pilotStrings),
    ...made.map(({ byTask }) => String(byTask[at]?.strings)),
  ]);
  const all = ["in all", String(pilot.strings), ...made.map(({ strings }) => String(strings))];
  return [
    title,
    `the run: ${points(pilot.difference)} points, standard error ${(100 * pilot.standardError).toFixed(1)}; ${pilot.trials} trials of ${pilot.strings} strings, ` +
      `${pilot.trialsPerString.toFixed(2)} a string${clustering}; it had power ${pilot.power.toFixed(2)} or more for ${points(first.difference)} points`,
    `strings needed to see ${points(first.difference)} points:`,
    table(header, [...rows, all]),
    "assuming:",
    ...first.assumptions.map((one) => `- ${one}`),
  ].join("\n");
}

function points(difference: number): string {
  return `${difference < 0 ? "" : "+"}${(100 * difference).toFixed(1)}`;
}

function readAverage(text: string): Weighting {
  if (text !== "micro" && text !== "macro") {
    throw new InwardError("USAGE", `--average wants micro or macro, not "${text}".`);
  }
  return text;
}
