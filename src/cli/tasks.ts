/** `inward tasks`: which tasks there are, and what one of them asks. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { startEngine } from "../model/engines/start-engine.js";
import { resolveModel } from "../model/resolve-model.js";
import { checkTask, type TaskCheck } from "../run/check-task.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import { loadTask } from "../study/load-task.js";
import { ALL_TASKS } from "../tasks/built-in.js";
import { objectLevelMessages, objectLevelQuestion, type Task, type TaskItem } from "../tasks/task.js";
import { modelOptions, type ModelOptions } from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

// inward tasks check: whether a model's behavior on a task is worth measuring.

interface CheckOptions extends ModelOptions {
  readonly strings: string;
  readonly examples: boolean;
  readonly json?: boolean;
}

function checkTaskCommand(): Command {
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
  const model = await startEngine(file.path, { ...DEFAULT_ENGINE, device: options.device });
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

const SHOWN_STRINGS = 5;

export function tasksCommand(): Command {
  const command = new Command("tasks").description(
    "Tasks: strings and the question that makes a model behave on them. A study names built-in ones or a task YAML of your own.",
  );
  command
    .command("list")
    .description("List the built-in tasks with their strings, solved examples, properties and licence.")
    .option("--json", "print JSON")
    .action(listTasks);
  command
    .command("show")
    .description("Show one task: its definition, one prompt written out in full, and its first strings.")
    .argument("<task>", "a built-in name, or the path of a task YAML")
    .option("--json", "print JSON")
    .action(showTask);
  command.addCommand(checkTaskCommand());
  return command;
}

async function listTasks(options: { json?: boolean }): Promise<void> {
  const tasks: Task[] = [];
  for (const { name } of ALL_TASKS) tasks.push(await loadTask(name));
  if (options.json) {
    printJson(tasks.map(counted));
    return;
  }
  const rows = tasks.map(({ definition, train, heldOut }) => [
    definition.name,
    definition.kind,
    String(train.length),
    String(heldOut.length),
    String(definition.examples.length),
    definition.licence,
    definition.properties.join(" "),
  ]);
  print(table(["task", "kind", "train", "held-out", "examples", "licence", "properties"], rows));
}

async function showTask(name: string, options: { json?: boolean }): Promise<void> {
  const task = await loadTask(name);
  const { definition, heldOut } = task;
  // A task without held-out strings does not load.
  const item = heldOut[0] as TaskItem;
  const messages = objectLevelMessages(definition, item, { examples: true, system: "" });
  const strings = { train: task.train.slice(0, SHOWN_STRINGS), heldOut: heldOut.slice(0, SHOWN_STRINGS) };
  if (options.json) {
    printJson({ ...counted(task), question: definition.question, example: messages, strings });
    return;
  }
  const facts = [
    ["summary", definition.summary],
    ["kind", definition.kind],
    ["answer form", definition.answerForm],
    ["longest answer", `${definition.maxTokens} tokens`],
    ["properties", definition.properties.join(" ")],
    ...(definition.disposition === undefined ? [] : [["disposition", definition.disposition]]),
    ...(definition.challenge === undefined ? [] : [["challenge", definition.challenge]]),
    ["strings", `${task.train.length} train, ${heldOut.length} held-out`],
    ["licence", definition.licence],
    ["source", definition.source],
    ["sha256", task.sha256],
  ];
  print(table(["task", definition.name], facts));
  print(`\n--- question about ${item.id}\n${objectLevelQuestion(definition, item)}`);
  print("\n--- as it is asked with solved examples and an empty system message");
  for (const { role, content } of messages) print(`[${role}]\n${content}`);
  for (const [split, items] of Object.entries(strings)) {
    print(`\n--- first ${split === "train" ? "train" : "held-out"} strings`);
    for (const { id, text, target } of items)
      print(`${id}${target === undefined ? "" : ` (target ${target})`}: ${JSON.stringify(text)}`);
  }
}

function counted({ definition, train, heldOut, sha256 }: Task) {
  return { ...definition, train: train.length, heldOut: heldOut.length, sha256 };
}
