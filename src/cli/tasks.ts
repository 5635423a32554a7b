/** `inward tasks`: which tasks there are, and what one of them asks. */
import { Command } from "commander";
import type { Task, TaskItem } from "../records/task.js";
import { ALL_TASKS } from "../tasks/all-tasks.js";
import { loadTask } from "../tasks/load-task.js";
import { objectLevelMessages, objectLevelQuestion } from "../tasks/object-level-messages.js";
import { checkTaskCommand } from "./check-task.js";
import { print, printJson, table } from "./output.js";

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
