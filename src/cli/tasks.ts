/** inward tasks: which tasks there are, what one of them asks, and whether a model's behavior on it is worth measuring. */

import { Command } from "commander";
import { checkTask, type TaskCheck } from "../run/check-task.js";
import { openModel } from "../run/open-model.js";
import type { LetterUse } from "../score/letter-use.js";
import { loadTask } from "../study/load-task.js";
import { propertyNamed } from "../properties/all-properties.js";
import { questionOn } from "../properties/option-letters.js";
import { hypotheticalTurns, hypotheticalVariant } from "../properties/wordings.js";
import { ALL_TASKS } from "../tasks/built-in.js";
import { countNearTwins } from "../tasks/near-twins.js";
import { inPlainText, plainText } from "../tasks/plain-form.js";
import { objectLevelMessages, objectLevelPrompt, type Task, type TaskItem } from "../tasks/task.js";
import {
  examplesOption,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  type PromptOptions,
  stringsOption,
  noteChat,
  prefixed,
  type PrefixOption,
  prefixOption,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";
import { importTaskCommand } from "./tasks-import.js";

interface CheckOptions extends ModelOptions, Pick<PromptOptions, "examples">, PrefixOption, JsonOption {
  readonly strings: string;
}

function checkTaskCommand(): Command {
  const command = new Command("check")
    .description(
      "Ask a model some train strings of a task and say whether its behavior is worth measuring: compliance, for each\n" +
        "property the entropy and the share of the most common value, and near twins across the split. The report of a\n" +
        "study repeats the warnings.",
    )
    .argument("<task>", "a built-in name, or the path of a task YAML");
  const asked = examplesOption(prefixOption(stringsOption(command, "how many strings to ask", "40")));
  return jsonOption(modelOptions(asked)).action(check);
}

async function check(name: string, options: CheckOptions): Promise<void> {
  const strings = wholeNumber("--strings", options.strings);
  const task = prefixed(await loadTask(name), options);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const { device, gpuLayers, examples } = options;
  const found = findOptions(options);
  const model = await openModel(options.model, {
    ...found,
    engine: { device, gpuLayers },
    signal,
    onProgress: progress.update,
  });
  try {
    const result = await checkTask(task, model, {
      strings,
      examples,
      kind: model.chat.kind,
      signal,
      onProgress: (done, total) => progress.update({ stage: "object-level", done, total, unit: "questions" }),
    }).finally(progress.end);
    noteChat(model);
    const { source, sha256, encoding } = model.file;
    if (options.json) printJson({ model: source, sha256, encoding, ...result });
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
  const letters = result.letterUse ? [letterLine(result.letterUse)] : [];
  const warnings = result.warnings.map((warning) => `! ${warning}`);
  return [
    `${result.task}: ${count} of ${of} answers comply${reasons ? ` (${reasons})` : ""}`,
    table(["property", "found", "entropy bits", "mode", "most common"], rows),
    ...letters,
    ...answers,
    ...(warnings.length > 0 ? warnings : ["Worth measuring: every property varies."]),
  ].join("\n");
}

function letterLine({ letters, sameOption, forms }: LetterUse): string {
  const said = letters.map(({ value, count }) => `${value} ${count}`).join(", ");
  const orders = sameOption
    ? `; both orders led to the same option in ${sameOption.count} of ${sameOption.of} scenarios`
    : "";
  const read = forms?.byLogprob
    ? "; these are the likeliest options, whatever was written"
    : forms === undefined || forms.lenient === 0
      ? ""
      : `; ${forms.lenient} more answers name one in more words, which ${forms.lenientCounts ? "counts" : "counts only under reading: lenient"}`;
  return `letters: ${said || "none"}${orders}${read}`;
}

const SHOWN_STRINGS = 5;

export function tasksCommand(): Command {
  const command = new Command("tasks").description(
    "Tasks: strings and the question that makes a model behave on them. A study names built-in ones or a task YAML of your own.",
  );
  const list = command
    .command("list")
    .description("List the built-in tasks with their strings, solved examples, properties and licence.");
  jsonOption(list).action(listTasks);
  const show = command
    .command("show")
    .description("Show one task: its definition, one prompt written out in full, and its first strings.")
    .argument("<task>", "a built-in name, or the path of a task YAML");
  jsonOption(prefixOption(show)).action(showTask);
  return command.addCommand(checkTaskCommand()).addCommand(importTaskCommand());
}

async function listTasks(options: JsonOption): Promise<void> {
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

async function showTask(name: string, options: JsonOption & PrefixOption): Promise<void> {
  const task = prefixed(await loadTask(name), options);
  const { definition, heldOut } = task;
  // A task without held-out strings does not load.
  const item = heldOut[0] as TaskItem;
  const messages = objectLevelMessages(definition, item, { examples: true, system: "" });
  const inText = objectLevelMessages(inPlainText(definition), item, { examples: true, system: "" });
  const prompt = objectLevelPrompt(definition, item, { examples: true });
  const [property = ""] = definition.properties;
  const hypothetical = hypotheticalTurns(
    hypotheticalVariant("minimal").template,
    prompt,
    questionOn(propertyNamed(property, task.ownProperties), definition),
  );
  const strings = { train: task.train.slice(0, SHOWN_STRINGS), heldOut: heldOut.slice(0, SHOWN_STRINGS) };
  if (options.json) {
    printJson({
      ...counted(task),
      nearTwins: countNearTwins(task),
      question: definition.question,
      example: messages,
      hypothetical,
      plain: plainText(inText),
      strings,
    });
    return;
  }
  const facts = [
    ["summary", definition.summary],
    ["kind", definition.kind],
    ["answer form", definition.answerForm],
    ["longest answer", `${definition.maxTokens} tokens`],
    ["properties", definition.properties.join(" ")],
    ...(definition.prefix === undefined ? [] : [["prefix", definition.prefix]]),
    ...(definition.disposition === undefined ? [] : [["disposition", definition.disposition]]),
    ...(definition.challenge === undefined ? [] : [["challenge", definition.challenge]]),
    ["strings", `${task.train.length} train, ${heldOut.length} held-out`],
    ["near twins", twinsText(task)],
    ["licence", definition.licence],
    ["source", definition.source],
    ["sha256", task.sha256],
  ];
  print(table(["task", definition.name], facts));
  print(`\n--- question about ${item.id}\n${prompt.question}`);
  print("\n--- as it is asked with solved examples and an empty system message");
  for (const { role, content } of messages) print(`[${role}]\n${content}`);
  print(`\n--- the hypothetical question about its ${property}, in the wording minimal`);
  for (const { role, content } of hypothetical) print(`[${role}]\n${content}`);
  print(`\n--- as a base model is asked it, in plain text (--chat plain)\n${plainText(inText)}`);
  for (const [split, items] of Object.entries(strings)) {
    print(`\n--- first ${split === "train" ? "train" : "held-out"} strings`);
    for (const { id, text, target } of items)
      print(`${id}${target === undefined ? "" : ` (target ${target})`}: ${JSON.stringify(text)}`);
  }
}

function twinsText(task: Task): string {
  const { train, heldOut, example } = countNearTwins(task);
  if (!example) return "no train string is one of a held-out string";
  const [one, other] = example.map((text) => JSON.stringify(text));
  return `${train} train strings of ${heldOut} held-out ones, as ${one} of ${other}`;
}

function counted({ definition, train, heldOut, sha256 }: Task) {
  return { ...definition, train: train.length, heldOut: heldOut.length, sha256 };
}
