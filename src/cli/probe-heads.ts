/** inward probe heads: what attention heads look at, and what becomes of answers without each of them. */

import type { Command } from "commander";
import type { HeadEffect } from "../probe/written-effects.js";
import { type KnockedOutHeads, knockOutHeads } from "../run/knock-out-heads.js";
import { answerFileCommand, type AnswerFileCommand, commaSeparated, outOptions, printAnswerFile } from "./answering.js";
import {
  chosenAmong,
  choicesOptions,
  type ChoicesOptions,
  promptsOptions,
  type PromptsOptions,
  promptsToAsk,
} from "./asked-prompts.js";
import { SPANS_TEXT } from "./contrast.js";
import { wholeNumber } from "./options.js";
import { meanText, pCell, table } from "./output.js";

interface HeadsCommandOptions extends AnswerFileCommand, PromptsOptions, ChoicesOptions {
  readonly sites: string;
  readonly at: string;
  readonly spans?: string;
  readonly top: string;
}

export function probeHeadsCommand(): Command {
  const command = answerFileCommand("heads")
    .summary("what attention heads look at, and what becomes of answers without each of them")
    .description(
      "How much every head attends from --at to each span, and the probabilities of --choices with the head's values set to 0, and to\n" +
        "their mean over the prompts: beside each a random change of the same length. A line of --out for each prompt, head and change;\n" +
        `<out>.attention.svg is the heat map. Spans: ${SPANS_TEXT}; with --task the spans of its words too.`,
    )
    .argument("[text]", "one prompt");
  choicesOptions(promptsOptions(command), "answers, comma-separated, such as yes,no")
    .option("--sites <list>", "heads of which layers: head_values, head_values.3-5, …", "head_values")
    .option("--at <span>", "tokens that look, and at which heads are knocked out", "last")
    .option("--spans <list>", "what they look at; all spans of a task's words, or message, when absent")
    .option("--top <k>", "heads in the table", "10");
  return outOptions(command, "the JSONL to write").action(heads);
}

async function heads(text: string | undefined, options: HeadsCommandOptions): Promise<void> {
  const { prompts } = await promptsToAsk("probe heads", text, options);
  const { sites, at, spans } = options;
  const top = wholeNumber("--top", options.top);
  const settings = {
    ...chosenAmong(options),
    sites,
    at,
    ...(spans === undefined ? {} : { spans: commaSeparated(spans) }),
  };
  await printAnswerFile(
    options,
    (common) => knockOutHeads(prompts, options.model, { ...common, ...settings }),
    (made) => headsText(made, top),
  );
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
      [
        "head",
        "set to",
        "lead of the own answer, nats",
        "a random change",
        "beyond random",
        "p, over all",
        "beyond the layer's others",
        "p, over all",
        "moved",
      ],
      largest.map(
        ({ layer, head, ablation, meanLead, meanMoved, lead, moved, controls: { random, same_layer: others } }) => [
          `${layer}.${head}`,
          ablation === "zero" ? "0" : "mean",
          meanText(meanLead, lead),
          random ? meanText(random.meanLead, random.lead) : "-",
          random ? meanText(random.meanBeyond, random.beyond) : "-",
          random ? pCell(random.adjusted) : "-",
          others ? meanText(others.meanBeyond, others.beyond) : "-",
          others ? pCell(others.adjusted) : "-",
          meanText(meanMoved, moved),
        ],
      ),
    ),
    "moved: the least that the answer's distribution has moved, 0 to 1.",
    ...(noMean === undefined ? [] : [`No head is set to its mean: ${noMean}.`]),
    map,
  ].join("\n");
}
