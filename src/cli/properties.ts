/** `inward properties`: which behavior properties there are, what each asks, what it reads, and whether a user's own do what they should. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { ALL_PROPERTIES, propertyNamed } from "../properties/all-properties.js";
import type { BehaviorProperty, Extraction, PropertyContext } from "../properties/property.js";
import { extractBehavior } from "../properties/reading.js";
import { normalize } from "../properties/text.js";
import {
  type CheckedExample,
  checkProperties,
  type JudgeCheck,
  type OwnPropertyCheck,
  type PropertyExample,
  readPropertyExamples,
} from "../run/check-properties.js";
import { openModel, type OpenModel } from "../run/open-model.js";
import { gatherProperties, type readProperties } from "../study/load-properties.js";
import type { Estimate } from "../score/interval.js";
import type { TaskKind } from "../tasks/task.js";
import {
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  type PropertiesFromOption,
  propertiesFromOption,
} from "./options.js";
import { abortOnInterrupt, columns, notice, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

const SAMPLE_ANSWERS: Readonly<Record<TaskKind, readonly string[]>> = {
  sequence: ["Otter heron, badger", "1. Otter"],
  continuation: ["A lamp flickered in the hall.", "\u201cOh!\u201d she said."],
  numbers: ["742", "seven"],
  options: ["B", "Neither of them"],
};
/** Two in three say "Otter", one in five "An". */
const SAMPLE_REPLY = {
  logprobs: [Math.log(2 / 3), Math.log(0.9)],
  first: {
    tokenIds: [1, 2, 3, 4, 5],
    texts: ["Otter", "An", " The", "\n", "1"],
    logprobs: [2 / 3, 0.2, 0.05, 0.04, 0.02].map(Math.log),
    logSumExp: 0,
    vocabularySize: 49152,
  },
};
const REFUSAL = "I'm sorry, but I can't answer that.";

interface WorkedExample {
  readonly answer: string;
  readonly behavior: Extraction;
}

function workedExamples(property: BehaviorProperty): WorkedExample[] {
  const context: PropertyContext = {
    text: "",
    target: targetOf(property),
    challenged: "B",
    reply: SAMPLE_REPLY,
  };
  const answers = [...property.kinds.flatMap((kind) => SAMPLE_ANSWERS[kind]), REFUSAL];
  return answers.map((answer) => ({
    answer,
    behavior: extractBehavior(property, answer, context, "end_of_generation"),
  }));
}

/** Of a property that is told what is right or wanted. */
function targetOf({ needs, kinds }: BehaviorProperty): string {
  return needs === "right_answer" && !kinds.every((kind) => kind === "options") ? "742" : "B";
}

function described(property: BehaviorProperty) {
  const { name, summary, kinds, disposition, needs, values, question } = property;
  return {
    name,
    summary,
    kinds,
    ...(disposition === undefined ? {} : { disposition }),
    ...(needs === undefined ? {} : { needs }),
    values,
    question,
  };
}

function valuesText({ values }: BehaviorProperty): string {
  return values === "open" ? "open" : values.join(" | ");
}

function kindsText({ kinds, disposition, needs }: BehaviorProperty): string {
  const only = disposition ?? needs;
  return only === undefined ? kinds.join(", ") : `${kinds.join(", ")} (${only})`;
}

function listText(properties: readonly BehaviorProperty[]): string {
  const rows = properties.map((property) => [property.name, kindsText(property), valuesText(property)]);
  return columns([["PROPERTY", "KINDS OF TASK", "VALUES"], ...rows]);
}

function showText(property: BehaviorProperty): string {
  const examples = workedExamples(property).map(({ answer, behavior }) => [
    `  ${JSON.stringify(answer)}`,
    behavior.ok ? `-> ${behavior.value}` : `-> none (${behavior.reason})`,
  ]);
  const facts = [
    ["name", property.name],
    ["summary", property.summary],
    ["kinds of task", kindsText(property)],
    ["values", valuesText(property)],
    ["question", property.question],
  ];
  const target = suppositionOf(property);
  return `${columns(facts)}\n\nanswers and their behavior${target}:\n${columns(examples)}`;
}

function suppositionOf(property: BehaviorProperty): string {
  const { disposition, needs } = property;
  if (disposition !== undefined) return " (the matching option is B)";
  if (needs === "right_answer") return ` (the right answer is ${targetOf(property)})`;
  if (needs === "probabilities") {
    return ' (the likeliest first tokens are "Otter" with 0.67, "An" with 0.2, " The", "\\n" and "1"; the answer has 0.6)';
  }
  return needs === "challenge" ? " (the final answer is B)" : "";
}

interface CheckPropertiesOptions extends JsonOption, ModelOptions {
  readonly examples?: string;
  readonly ask?: boolean;
  readonly judge: boolean;
}

async function check(path: string, options: CheckPropertiesOptions, command: Command): Promise<void> {
  const own = gatherProperties({ propertiesFrom: [path] }, ".", path);
  const examples = options.examples === undefined ? samplesFor(own) : readPropertyExamples(options.examples);
  const isJudged = options.judge && Object.values(own).some(({ judge }) => judge !== undefined);
  const checks =
    options.ask || isJudged
      ? await checkAsking(own, examples, options, command.getOptionValueSource("model") !== "default")
      : await checkProperties(own, examples);
  if (options.json) printJson(checks);
  else print(checks.map(checkText).join("\n\n"));
  const wrong = checks.filter((one) => one.wrong > 0);
  if (wrong.length === 0) return;
  const counted = wrong.map((one) => `${one.property}: ${one.wrong} of ${one.examples.length}`);
  throw new InwardError(
    "PROPERTY_INVALID",
    `The rule reads another value than the example says (${counted.join(", ")}).`,
  );
}

/** Where nobody gives answers, and none of the definitions has any, those of `show`. */
function samplesFor(own: ReturnType<typeof readProperties>): PropertyExample[] {
  if (Object.values(own).some(({ examples }) => examples !== undefined)) return [];
  const kinds = new Set(Object.keys(own).flatMap((name) => propertyNamed(name, own).kinds));
  return [...kinds].flatMap((kind) => SAMPLE_ANSWERS[kind]).map((answer) => ({ answer }));
}

async function checkAsking(
  own: ReturnType<typeof readProperties>,
  examples: readonly PropertyExample[],
  options: CheckPropertiesOptions,
  modelIsGiven: boolean,
): Promise<OwnPropertyCheck[]> {
  const signal = abortOnInterrupt();
  const { device, gpuLayers } = options;
  // One after the other is asked, and each stays open: two judges of one file are rare.
  const open = new Map<string, OpenModel>();
  const opened = async (source: string): Promise<OpenModel> => {
    const progress = showProgress();
    const known = open.get(source);
    const model =
      known ??
      (await openModel(source, {
        ...findOptions(options),
        engine: { device, gpuLayers },
        signal,
        onProgress: progress.update,
      }).finally(progress.end));
    open.set(source, model);
    return model;
  };
  try {
    const asked = options.ask ? await opened(options.model) : undefined;
    if (asked) notice(`Asked: ${asked.file.source} (${asked.file.encoding}), each question about the quoted answer.`);
    return await checkProperties(own, examples, {
      ...(asked ? { asked: { model: asked, kind: asked.chat.kind, signal } } : {}),
      ...(options.judge
        ? {
            judgeOf: async (name, rule) => {
              const model = await opened(modelIsGiven ? options.model : (rule.model ?? options.model));
              notice(`Judge of ${name}: ${model.file.source} (${model.file.encoding}).`);
              return { model, kind: model.chat.kind, file: model.file, signal };
            },
          }
        : {}),
    });
  } finally {
    for (const model of open.values()) await model.dispose();
  }
}

function checkText({ property, rule, question, values, examples, judge, warnings }: OwnPropertyCheck): string {
  const rows = examples.map((example) => [
    `  ${JSON.stringify(example.answer)}`,
    `-> ${saidText(example.rule)}`,
    disagreement(example),
  ]);
  return [
    columns([
      ["property", property],
      ["rule", rule],
      ["question", question],
      ["values", values === "open" ? "open" : values.join(" | ")],
    ]),
    ...(rows.length === 0 ? [] : [columns(rows)]),
    ...(judge ? judgeTexts(property, judge) : []),
    ...warnings.map((warning) => `! ${warning}`),
  ].join("\n");
}

/** What it reads, how far it agrees, and where it says what of which label. */
function judgeTexts(property: string, judge: JudgeCheck): string[] {
  const { n, values, confusion, uncalibrated, orders, hangOnOrder, folds } = judge;
  const facts = [
    ["read", JSON.stringify(judge.reads)],
    ["values", `${values.join(" | ")}, in ${orders} order${orders === 1 ? "" : "s"}`],
    ["agreement", `${estimateText(judge.agreement, 100)} % of ${n} labels, by ${folds}-fold cross-validation`],
    ["Cohen's kappa", estimateText(judge.kappa, 1)],
    ["most common label", `${judge.mode.value}, ${(100 * judge.mode.share).toFixed(1)} %`],
    ["agreement minus that", `${estimateText(judge.overMode, 100)} points`],
    ["without calibration", `${(100 * uncalibrated).toFixed(1)} %`],
    ...(orders > 1 ? [["another order, another value", `${hangOnOrder} of ${n} answers`]] : []),
  ];
  return [
    columns(facts),
    table(
      ["label \\ judge", ...values],
      confusion.map((counts, at) => [values[at] as string, ...counts.map(String)]),
    ),
    judge.fit
      ? `${judge.model} is fit to judge ${property}: the whole interval of its agreement lies above the most common label's share.`
      : `! ${judge.model} is UNFIT to judge ${property}: its agreement is not shown to exceed always naming the most common label. In a study all its values would be missing (unfit_judge).`,
  ];
}

function estimateText(one: Estimate, times: number): string {
  const text = (value: number) => (times === 1 ? value.toFixed(2) : (times * value).toFixed(1));
  return one.ok ? `${text(one.value)} [${text(one.low)}, ${text(one.high)}]` : `not known (${one.reason})`;
}

function saidText(read: Extraction): string {
  return read.ok ? read.value : `none (${read.reason})`;
}

function disagreement({ value, rule, model }: CheckedExample): string {
  const read = rule.ok ? rule.value : null;
  return [
    ...(value === undefined || (value === null ? null : normalize(value)) === read
      ? []
      : [`example: ${value === null ? "none" : value}`]),
    ...(model === undefined || (model.ok && model.value === read) ? [] : [`model: ${saidText(model)}`]),
  ].join(", ");
}

function checkCommand(): Command {
  const command = new Command("check")
    .description(
      "Try properties of your own on answers: what each rule reads, where it differs from what an example says, and, with --ask, from what a model says of the quoted answer.",
    )
    .argument("<file>", "a YAML of definitions, or a study or a task with ownProperties")
    .option(
      "--examples <file>",
      "JSONL or CSV of answers, with the value each should show; or a text, one answer a line",
    )
    .option("--ask", "ask --model the question about each quoted answer")
    .option(
      "--no-judge",
      "ask no judge; else a judged property's own model, or --model where it is given or that names none",
    );
  return jsonOption(modelOptions(command)).action(check);
}

export function propertiesCommand(): Command {
  const command = new Command("properties").description(
    "Behavior properties: rules from an answer to a short value, with the question that asks a model to predict it.",
  );
  jsonOption(
    propertiesFromOption(
      command.command("list").description("List every property with the kinds of task it is for and its values."),
    ),
  ).action(({ json, propertiesFrom }: JsonOption & PropertiesFromOption) => {
    const own = gatherProperties({ propertiesFrom }, ".", "the command");
    const all = [...ALL_PROPERTIES, ...Object.keys(own).map((name) => propertyNamed(name, own))];
    if (json) printJson(all.map(described));
    else print(listText(all));
  });
  const show = command
    .command("show")
    .description("Show one property: its question, its values, and what it reads from a few answers.")
    .argument("<name>", "a property's name, such as second_character");
  jsonOption(propertiesFromOption(show)).action((name: string, options: JsonOption & PropertiesFromOption) => {
    const { json, propertiesFrom } = options;
    const property = propertyNamed(name, gatherProperties({ propertiesFrom }, ".", "the command"));
    if (json) printJson({ ...described(property), examples: workedExamples(property) });
    else print(showText(property));
  });
  return command.addCommand(checkCommand());
}
