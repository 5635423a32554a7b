/** inward steer: what a direction added to a model's states does to its replies, beside random ones of the same length. */

import { Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { markHypothetical, markObjectLevel, type MarkedQuestion } from "../probe/spans.js";
import { propertyNamed } from "../properties/all-properties.js";
import { countedReply } from "../properties/option-answers.js";
import { questionOn } from "../properties/option-letters.js";
import { extractChallengedBehavior, readReply, replyText } from "../properties/reading.js";
import { hypotheticalVariant, wordedFor } from "../properties/wordings.js";
import { turns } from "../run/open-model.js";
import { parsePrompts, readPromptFile } from "../run/prompt-lines.js";
import { type Steered, type SteerOptions, type SteerPrompt, steer } from "../run/steer-prompts.js";
import type { Estimate } from "../score/interval.js";
import { gatherProperties, joinProperties } from "../study/load-properties.js";
import { loadTask } from "../study/load-task.js";
import { chatKind, inFormOf } from "../tasks/plain-form.js";
import { answerFile, answersText, requireOneOf, sayDoubts } from "./answering.js";
import { SPANS_TEXT } from "./contrast.js";
import {
  adapterOptions,
  type AdapterOptions,
  cacheOption,
  type CacheOption,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  number,
  prefixed,
  type PrefixOption,
  prefixOption,
  promptOptions,
  type PromptOptions,
  propertiesFromOption,
  type PropertiesFromOption,
  stringsOption,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";

interface SteerCommandOptions
  extends ModelOptions,
    AdapterOptions,
    PromptOptions,
    PropertiesFromOption,
    PrefixOption,
    CacheOption,
    JsonOption {
  readonly file?: string;
  readonly task?: string;
  readonly property?: string;
  readonly strings: string;
  readonly vector: string;
  readonly site?: string;
  readonly forceVector?: boolean;
  readonly strengths: string;
  readonly unit: "vector" | "states";
  readonly span: string;
  readonly randomSeeds: string;
  readonly choices?: string;
  readonly maxTokens?: string;
  readonly out: string;
}

export function steerCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("steer")))
    .summary("add a direction to a model's states while it answers, beside random ones of the same length")
    .description(
      "Asks TEXT, the prompts of --file, or strings of --task: as they are, with the direction added at every strength, and with random\n" +
        "directions of the same length. A line of --out for each reply; what changed is told beside what random directions change.\n" +
        `Spans: ${SPANS_TEXT}; with --task the spans of its words too, such as string (npx inward probe spans).`,
    )
    .argument("[text]", "one prompt")
    .option("--file <path>", "prompts, one a line: JSONL, or .txt as they stand; - for the standard input")
    .option("-t, --task <task>", "held-out strings of this task; behaviors of the replies are told")
    .option("-p, --property <property>", "with --task: ask for this property of the answer; the reply is read as it");
  stringsOption(command, "with --task: how many strings", "20")
    .requiredOption("--vector <path>", "directions: npx inward contrast")
    .option("--site <site>", "which of its sites, such as residual_after.8; needed where it has several")
    .option("--force-vector", "take directions that another file's states gave")
    .option("--strengths <list>", "times the direction, comma-separated; negative ones steer away", "1")
    .addOption(
      new Option("--unit <unit>", "what 1 is: the direction, or the usual length of a state there")
        .choices(["vector", "states"])
        .default("vector"),
    )
    .option("--span <span>", "where it is added", "onward")
    .option("--random-seeds <n>", "random directions of the same length", "3")
    .option(
      "--choices <list>",
      "answers whose probabilities are told, comma-separated, such as yes,no: the first one's lead",
    )
    .option("--max-tokens <n>", "longest reply")
    .requiredOption("-o, --out <path>", "the JSONL of replies; its manifest is written beside it");
  return jsonOption(cacheOption(propertiesFromOption(promptOptions(prefixOption(command))))).action(steerPrompts);
}

async function steerPrompts(text: string | undefined, options: SteerCommandOptions): Promise<void> {
  const given = [text, options.file, options.task].filter((one) => one !== undefined).length;
  if (given !== 1) {
    requireOneOf("steer", [
      { what: "a prompt or --file", given: text !== undefined || options.file !== undefined },
      { what: "--task", given: options.task !== undefined },
    ]);
    throw new InwardError("USAGE", "steer was given a prompt and --file; give one of the two: npx inward steer --help");
  }
  if (options.task === undefined && options.property !== undefined)
    throw new InwardError("USAGE", "--property goes with --task: its strings are what is asked about.");
  const signal = abortOnInterrupt();
  const asked =
    options.task !== undefined ? await taskPrompts(options.task, options) : await plainPrompts(text, options.file);
  let steered: Steered | undefined;
  const done = await answerFile(options, async (common) => {
    steered = await steer(asked.prompts, options.model, {
      ...common,
      ...asked.reading,
      out: options.out,
      signal,
      vector: options.vector,
      ...(options.site === undefined ? {} : { site: options.site }),
      forceVector: options.forceVector === true,
      strengths: options.strengths.split(",").map((one) => number("--strengths", one)),
      unit: options.unit,
      span: options.span,
      randomSeeds: wholeNumber("--random-seeds", options.randomSeeds),
      maxTokens: options.maxTokens === undefined ? asked.maxTokens : wholeNumber("--max-tokens", options.maxTokens),
      ...(options.choices === undefined ? {} : { choices: options.choices.split(",").map((one) => one.trim()) }),
    });
    return steered;
  });
  if (options.json) printJson(steered);
  else print(`${effectsText(steered as Steered)}\n${answersText(done)}`);
}

interface Asked {
  readonly prompts: readonly SteerPrompt[];
  readonly maxTokens: number;
  readonly reading: Pick<SteerOptions, "behaviorsOf" | "behaviorsAre">;
}

async function plainPrompts(text: string | undefined, file: string | undefined): Promise<Asked> {
  const prompts =
    file === undefined
      ? [{ id: "1", messages: turns("", text as string) }]
      : sayDoubts(parsePrompts(await readPromptFile(file), file));
  return { prompts, maxTokens: 48, reading: {} };
}

/** In the words of npx inward probe spans, which shows what its spans are. */
async function taskPrompts(name: string, options: SteerCommandOptions): Promise<Asked> {
  const task = prefixed(await loadTask(name), options);
  const own = joinProperties([
    { place: `the task ${name}`, own: task.ownProperties },
    { place: "--properties-from", own: gatherProperties(options, ".", "--properties-from") },
  ]);
  const kind = chatKind(options.chat);
  const definition = inFormOf(kind, task.definition);
  const words = { examples: options.examples, system: "" };
  const items = task.heldOut.slice(0, wholeNumber("--strings", options.strings));
  const property = options.property === undefined ? undefined : propertyNamed(options.property, own);
  const marked = items.map((item): MarkedQuestion => {
    if (property === undefined) return markObjectLevel(definition, item, words);
    return markHypothetical(definition, item, property, {
      ...words,
      template: wordedFor(kind, hypotheticalVariant(options.variant)),
      question: questionOn(property, definition),
    });
  });
  const prompts = items.map(({ id }, at) => ({ id, ...(marked[at] as MarkedQuestion) }));
  const isOwn = (one: string) => Object.hasOwn(own, one);
  if (property !== undefined) {
    const read: SteerOptions["behaviorsOf"] = (reply) => {
      return { [property.name]: readReply(property, replyText(reply), reply.stop) };
    };
    const are = { predictionOf: property.name, ...(isOwn(property.name) ? { own } : {}) };
    return { prompts, maxTokens: 12, reading: { behaviorsOf: read, behaviorsAre: are } };
  }
  const properties = definition.properties.map((one) => propertyNamed(one, own));
  const behaviorsOf: SteerOptions["behaviorsOf"] = (reply, prompt) => {
    const item = items[prompt] as (typeof items)[number];
    const said = countedReply(reply, definition, item);
    return Object.fromEntries(
      properties.map((one) => [
        one.name,
        extractChallengedBehavior(one, said, undefined, { ...item, reply }, definition.answerForm),
      ]),
    );
  };
  const are = { behaviors: definition.properties, ...(definition.properties.some(isOwn) ? { own } : {}) };
  return { prompts, maxTokens: definition.maxTokens, reading: { behaviorsOf, behaviorsAre: are } };
}

function effectsText({ site, normAtOne, stateNorm, span, effects }: Steered): string {
  const share = (one: Estimate) =>
    one.ok
      ? `${(100 * one.value).toFixed(0)}% [${(100 * one.low).toFixed(0)}, ${(100 * one.high).toFixed(0)}]`
      : `- (${one.reason})`;
  const nats = (one: Estimate) =>
    one.ok ? `${one.value.toFixed(2)} [${one.low.toFixed(2)}, ${one.high.toFixed(2)}]` : `- (${one.reason})`;
  const rows = effects.flatMap(({ strength, changed, lead, behaviors }) => [
    [String(strength), "other reply", share(changed.vector), share(changed.random), "", ""],
    ...behaviors.map((one) => [
      String(strength),
      `other ${one.property}`,
      share(one.vector),
      share(one.random),
      "",
      "",
    ]),
    ...(lead
      ? [
          [
            String(strength),
            "lead of the first answer, nats",
            nats(lead.vector),
            nats(lead.random),
            nats(lead.beyond),
            lead.adjusted.ok ? lead.adjusted.p.toFixed(4) : `- (${lead.adjusted.reason})`,
          ],
        ]
      : []),
  ]);
  const states = stateNorm === undefined ? "" : `; a state there is ${stateNorm.toPrecision(4)} long`;
  return [
    `Added at ${site}, ${span}: at strength 1 a length of ${normAtOne.toPrecision(4)}${states}.`,
    table(["strength", "against nothing added", "the direction", "random ones", "beyond random", "p (Holm)"], rows),
  ].join("\n");
}
