/** inward probe attribution: which parts of a model write the answer that it is about to give. */

import { Command } from "commander";
import {
  type AttributedFile,
  type AttributedPrompt,
  attributeLogits,
  type AttributionOptions,
  estimateAttribution,
} from "../run/attribute-logits.js";
import type { PartEffect } from "../probe/part-effects.js";
import {
  chosenAmong,
  choicesOptions,
  type ChoicesOptions,
  promptsOptions,
  type PromptsOptions,
  promptsToAsk,
} from "./asked-prompts.js";
import {
  adapterOptions,
  type AdapterOptions,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteAdapter,
  noteChat,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, meanText, pCell, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface AttributionCommandOptions extends ModelOptions, AdapterOptions, PromptsOptions, ChoicesOptions, JsonOption {
  readonly out: string;
  readonly top: string;
  readonly keepStates?: boolean;
  readonly dryRun?: boolean;
}

export function probeAttributionCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("attribution")))
    .summary("which parts of a model write the answer that it is about to give")
    .description(
      "Direct logit attribution: at the last token of each prompt, the logits of the answers' first tokens as the sum of what the\n" +
        "embedding, each layer's attention and MLP, and each head have written; the last norm's scale as it came out. A line of --out\n" +
        "for each prompt and component. Beside it: what the component writes, in the same prompt, for other prompts' answers.",
    )
    .argument("[text]", "one prompt");
  choicesOptions(
    promptsOptions(command),
    "answers, comma-separated, such as yes,no: by the tokens that they begin with",
  )
    .option("--top <k>", "components in the table", "15")
    .option("--dry-run", "tokens and bytes, and nothing else")
    .option("--keep-states", "leave <out>.states there")
    .requiredOption("-o, --out <path>", "the JSONL to write; <out>.states holds the states until it is there");
  return jsonOption(command).action(attribution);
}

async function attribution(text: string | undefined, options: AttributionCommandOptions): Promise<void> {
  const { prompts } = await promptsToAsk("probe attribution", text, options);
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const settings: AttributionOptions = {
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers },
    out: options.out,
    ...chosenAmong(options),
    keepStates: options.keepStates === true,
    signal,
    onProgress: progress.update,
    onFound: (found) => {
      noteAdapter(found);
      noteChat(found);
    },
  };
  const top = wholeNumber("--top", options.top);
  try {
    if (options.dryRun === true) {
      const { promptTokens, rows, bytes } = await estimateAttribution(prompts, options.model, settings);
      progress.end();
      if (options.json) printJson({ prompts: prompts.length, promptTokens, rows, bytes });
      else print(`${prompts.length} prompts, ${promptTokens} tokens; states of ${rows} tokens, ${bytes} bytes`);
      return;
    }
    const made = await attributeLogits(prompts, options.model, settings);
    progress.end();
    if (options.json) printJson(made);
    else print(attributionText(made, top));
  } finally {
    progress.end();
  }
}

function attributionText({ effects, prompts, choices, hasCap, lines, out }: AttributedFile, top: number): string {
  const size = ({ meanGain, meanLead }: PartEffect) => Math.abs(meanGain ?? meanLead);
  const largest = [...effects].sort((a, b) => size(b) - size(a)).slice(0, top);
  const apart = Math.max(...prompts.map((one) => one.apart));
  return [
    table(
      ["component", "lead of the own answer", "beyond other prompts' answers", "p, over all"],
      largest.map(({ component, meanLead, meanGain, lead, gain, adjusted }) => [
        component,
        meanText(meanLead, lead),
        meanGain === undefined && !gain.ok ? `- (${gain.reason})` : meanText(meanGain as number, gain),
        pCell(adjusted),
      ]),
    ),
    "In logits. lead: less the mean of the other choices. Direct paths alone: what a part does by way of later layers is in those.",
    `${largest.length} of ${effects.length} components; the parts of each prompt sum to its logits, within ${apart.toExponential(1)} at most.`,
    ...(hasCap ? ["This model caps its logits: parts sum to what they are before."] : []),
    `own answers: ${choices.map((choice, at) => `${choice} ${prompts.filter(({ own }: AttributedPrompt) => own === at).length}`).join(", ")}`,
    `${lines} lines\n${out}`,
  ].join("\n");
}
