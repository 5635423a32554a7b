/** inward probe heads: what attention heads look at, and what becomes of answers without each of them. */

import { Command } from "commander";
import { type HeadEffect, type HeadsOptions, type KnockedOutHeads, knockOutHeads } from "../run/knock-out-heads.js";
import { answerFile, answersText } from "./answering.js";
import { promptsOptions, type PromptsOptions, promptsToAsk } from "./asked-prompts.js";
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
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, meanText, pCell, print, printJson, table } from "./output.js";

interface HeadsCommandOptions extends ModelOptions, AdapterOptions, PromptsOptions, CacheOption, JsonOption {
  readonly choices: string;
  readonly valueKey?: string;
  readonly sites: string;
  readonly at: string;
  readonly spans?: string;
  readonly out: string;
  readonly top: string;
}

export function probeHeadsCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("heads")))
    .summary("what attention heads look at, and what becomes of answers without each of them")
    .description(
      "How much every head attends from --at to each span, and the probabilities of --choices with the head's values set to 0, and to\n" +
        "their mean over the prompts: beside each a random change of the same length. A line of --out for each prompt, head and change;\n" +
        `<out>.attention.svg is the heat map. Spans: ${SPANS_TEXT}; with --task the spans of its words too.`,
    )
    .argument("[text]", "one prompt");
  promptsOptions(command)
    .requiredOption("--choices <list>", "answers, comma-separated, such as yes,no")
    .option(
      "--value-key <key>",
      "key of each line that says which of them is its own; what the model says likeliest when absent",
    )
    .option("--sites <list>", "heads of which layers: head_values, head_values.3-5, …", "head_values")
    .option("--at <span>", "tokens that look, and at which heads are knocked out", "last")
    .option("--spans <list>", "what they look at; all spans of a task's words, or message, when absent")
    .option("--top <k>", "heads in the table", "10")
    .requiredOption("-o, --out <path>", "the JSONL to write; its manifest is written beside it");
  return jsonOption(cacheOption(command)).action(heads);
}

async function heads(text: string | undefined, options: HeadsCommandOptions): Promise<void> {
  const { prompts } = await promptsToAsk("probe heads", text, options);
  const signal = abortOnInterrupt();
  const list = (given: string) => given.split(",").map((one) => one.trim());
  const top = wholeNumber("--top", options.top);
  let made: KnockedOutHeads | undefined;
  const done = await answerFile(options, async (common) => {
    const settings: HeadsOptions = {
      ...common,
      out: options.out,
      signal,
      choices: list(options.choices),
      ...(options.valueKey === undefined ? {} : { valueKey: options.valueKey }),
      sites: options.sites,
      at: options.at,
      ...(options.spans === undefined ? {} : { spans: list(options.spans) }),
    };
    made = await knockOutHeads(prompts, options.model, settings);
    return made;
  });
  if (options.json) printJson(made);
  else print(`${headsText(made as KnockedOutHeads, top)}\n${answersText(done)}`);
}

function headsText({ effects, attention, at, noMean, map }: KnockedOutHeads, top: number): string {
  const beyond = ({ controls: { random } }: HeadEffect) => Math.abs(random?.meanBeyond ?? 0);
  const largest = [...effects].sort((a, b) => beyond(b) - beyond(a)).slice(0, top);
  const looks = [...attention].sort((a, b) => b.mean - a.mean).filter(({ span }) => span !== "elsewhere");
  return [
    `What heads attend to from ${at}, largest shares first; elsewhere are tokens of none of the spans:`,
    table(
      ["head", "span", "share", "prompts"],
      looks.slice(0, top).map(({ layer, head, span, mean, share, prompts }) => {
        return [`${layer}.${head}`, span, meanText(mean, share), String(prompts)];
      }),
    ),
    "",
    table(
      ["head", "set to", "lead of the own answer, nats", "a random change", "beyond random", "p, over all", "moved"],
      largest.map(({ layer, head, ablation, meanLead, meanMoved, lead, moved, controls: { random } }) => [
        `${layer}.${head}`,
        ablation === "zero" ? "0" : "mean",
        meanText(meanLead, lead),
        random ? meanText(random.meanLead, random.lead) : "-",
        random ? meanText(random.meanBeyond, random.beyond) : "-",
        random ? pCell(random.adjusted) : "-",
        meanText(meanMoved, moved),
      ]),
    ),
    "moved: the least that the answer's distribution has moved, 0 to 1.",
    ...(noMean === undefined ? [] : [`No head is set to its mean: ${noMean}.`]),
    map,
  ].join("\n");
}
