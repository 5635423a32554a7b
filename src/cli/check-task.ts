/** inward tasks check: whether a model's behavior on a task is worth measuring. */
import { Command } from "commander";
import { InwardError } from "../errors.js";
import { openModel } from "../model/engine/open-model.js";
import { resolveModel } from "../model/resolve-model.js";
import { DEFAULT_ENGINE } from "../plan/default-engine.js";
import { checkTask, type TaskCheck } from "../stages/check-task.js";
import { loadTask } from "../tasks/load-task.js";
import { abortOnInterrupt } from "./interrupt.js";
import { modelOptions, type ModelOptions } from "./model-options.js";
import { print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface CheckOptions extends ModelOptions {
  readonly strings: string;
  readonly examples: boolean;
  readonly json?: boolean;
}

export function checkTaskCommand(): Command {
  return modelOptions(
    new Command("check")
      .description(
        "Ask a model some train strings of a task and say whether its behavior is worth measuring: compliance, and for\n" +
          "each property the entropy and the share of the most common value. The report of a study repeats the warnings.",
      )
      .argument("<task>", "a built-in name, or the path of a task YAML")
      .option("-n, --strings <n>", "how many strings to ask", "40")
      .option("--no-examples", "without the task's solved examples"),
  )
    .option("--json", "print JSON")
    .action(check);
}

async function check(name: string, options: CheckOptions): Promise<void> {
  const strings = Number(options.strings);
  if (!Number.isInteger(strings) || strings < 1) {
    throw new InwardError("USAGE", `--strings wants a whole number from 1 on, not "${options.strings}".`);
  }
  const task = await loadTask(name);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const file = await resolveModel(options.model, {
    encoding: options.encoding,
    signal,
    onProgress: (step) => progress.update(step.stage, step.doneBytes, step.totalBytes ?? step.doneBytes),
  });
  const model = await openModel(file.path, { ...DEFAULT_ENGINE, device: options.device });
  try {
    const result = await checkTask(task, model, {
      strings,
      examples: options.examples,
      signal,
      onProgress: (done, total) => progress.update("object-level", done, total),
    });
    progress.end();
    if (options.json) printJson({ model: file.source, sha256: file.sha256, encoding: file.encoding, ...result });
    else print(describe(result));
  } finally {
    await model.dispose();
  }
}

function describe(result: TaskCheck): string {
  const { count, of } = result.compliance;
  const reasons = result.reasons.map((reason) => `${reason.count} ${reason.value}`).join(", ");
  const rows = result.properties.map((one) => [
    one.property,
    `${one.found.count}/${one.found.of}`,
    one.entropyBits.toFixed(2),
    `${(100 * one.modeShare).toFixed(0)} %`,
    one.values
      .slice(0, 4)
      .map((each) => `${each.value} ${each.count}`)
      .join(", "),
  ]);
  const answers = result.answers.map(
    ({ text, answer, finalAnswer }) =>
      `  ${JSON.stringify(text)} → ${JSON.stringify(answer)}${finalAnswer === undefined ? "" : ` → ${JSON.stringify(finalAnswer)}`}`,
  );
  const warnings = result.warnings.map((warning) => `! ${warning}`);
  return [
    `${result.task}: ${count} of ${of} answers comply${reasons ? ` (${reasons})` : ""}`,
    table(["property", "found", "entropy bits", "mode", "most common"], rows),
    ...answers,
    ...(warnings.length > 0 ? warnings : ["Worth measuring: every property varies."]),
  ].join("\n");
}
