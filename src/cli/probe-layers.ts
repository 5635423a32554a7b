/** inward probe layers: where an adapter's training sits. */

import { Command } from "commander";
import type { PartEffect } from "../probe/part-effects.js";
import { type SwitchedLayers, switchAdapterLayers } from "../run/switch-adapter-layers.js";
import { InwardError } from "../errors.js";
import { answerFile, answersText } from "./answering.js";
import { promptsOptions, type PromptsOptions, promptsToAsk } from "./asked-prompts.js";
import {
  adapterOptions,
  type AdapterOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  number,
} from "./options.js";
import { abortOnInterrupt, meanText, pCell, print, printJson, table } from "./output.js";

interface LayersCommandOptions extends ModelOptions, AdapterOptions, PromptsOptions, JsonOption {
  readonly choices: string;
  readonly valueKey?: string;
  readonly layers?: string;
  readonly out: string;
}

export function probeLayersCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("layers")))
    .summary("where an adapter's training sits: each of its layers on alone, and off")
    .description(
      "The probabilities of --choices under the adapter, under each of its layers alone, and under all the others: what a layer adds by\n" +
        "itself, and what is lost without it. Beside the lead of the prompt's own answer: what the layer gives, in the same prompt, to other\n" +
        "prompts' answers. A line of --out for each prompt and choice of layers.",
    )
    .argument("[text]", "one prompt");
  promptsOptions(command)
    .requiredOption("--choices <list>", "answers, comma-separated, such as yes,no")
    .option(
      "--value-key <key>",
      "key of each line that says which of them is its own; what is likeliest under the adapter when absent",
    )
    .option("--layers <list>", "layers that are switched, comma-separated; all of the adapter's when absent")
    .requiredOption("-o, --out <path>", "the JSONL to write; its manifest is written beside it");
  return jsonOption(command).action(layers);
}

async function layers(text: string | undefined, options: LayersCommandOptions): Promise<void> {
  if (options.adapter === undefined) throw new InwardError("USAGE", "probe layers wants --adapter.");
  const { adapter } = options;
  const { prompts } = await promptsToAsk("probe layers", text, options);
  const signal = abortOnInterrupt();
  const list = (given: string) => given.split(",").map((one) => one.trim());
  let made: SwitchedLayers | undefined;
  const done = await answerFile({ ...options, cache: false }, async (common) => {
    made = await switchAdapterLayers(prompts, options.model, {
      ...common,
      adapter,
      out: options.out,
      signal,
      choices: list(options.choices),
      ...(options.valueKey === undefined ? {} : { valueKey: options.valueKey }),
      ...(options.layers === undefined ? {} : { layers: list(options.layers).map((one) => number("--layers", one)) }),
    });
    return made;
  });
  if (options.json) printJson(made);
  else print(`${layersText(made as SwitchedLayers)}\n${answersText(done)}`);
}

function layersText({ whole, layers: effects, has }: SwitchedLayers): string {
  const cells = ({ meanLead, lead, meanGain, gain, adjusted }: PartEffect) => [
    meanText(meanLead, lead),
    meanGain === undefined ? (gain.ok ? "-" : `- (${gain.reason})`) : meanText(meanGain, gain),
    pCell(adjusted),
  ];
  return [
    table(
      ["layers on", "lead of the own answer, nats", "beyond other prompts' answers", "p, over all"],
      [
        ["all, beside none", ...cells(whole)],
        ...effects.flatMap(({ layer, alone, lost }) => [
          [`${layer} alone, beside none`, ...cells(alone)],
          [`all, beside all but ${layer}`, ...cells(lost)],
        ]),
      ],
    ),
    "lead: less the mean of the other choices. A layer that likes one answer everywhere has a lead, and nothing beyond other prompts' answers.",
    `The adapter has pairs in the layers ${has.join(", ")}.`,
  ].join("\n");
}
