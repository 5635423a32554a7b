/** inward steer: what a direction added to a model's states does to its replies, beside random ones of the same length. */

import { type Command, Option } from "commander";
import { type Steered, steer } from "../run/steer-prompts.js";
import type { Estimate } from "../score/interval.js";
import { answerFileCommand, type AnswerFileCommand, commaSeparated, outOptions, printAnswerFile } from "./answering.js";
import { promptsOptions, type PromptsOptions, promptsToAsk } from "./asked-prompts.js";
import { SPANS_TEXT } from "./contrast.js";
import { number, wholeNumber } from "./options.js";
import { intervalText, pCell, table } from "./output.js";

interface SteerCommandOptions extends AnswerFileCommand, PromptsOptions {
  readonly vector: string;
  readonly site?: string;
  readonly forceVector?: boolean;
  readonly strengths: string;
  readonly unit: "vector" | "states";
  readonly span: string;
  readonly randomSeeds: string;
  readonly choices?: string;
  readonly maxTokens?: string;
}

export function steerCommand(): Command {
  const command = answerFileCommand("steer")
    .summary("add a direction to a model's states while it answers, beside random ones of the same length")
    .description(
      "Asks TEXT, the prompts of --file, or strings of --task: as they are, with the direction added at every strength, and with random\n" +
        "directions of the same length. A line of --out for each reply; what changed is told beside what random directions change.\n" +
        `Spans: ${SPANS_TEXT}; with --task the spans of its words too, such as string (npx inward probe spans).`,
    )
    .argument("[text]", "one prompt");
  promptsOptions(command, "behaviors of the replies are told")
    .requiredOption("--vector <path>", "directions, of npx inward contrast or a control vector's GGUF")
    .option(
      "--site <list>",
      "which of its sites, such as residual_after.8; several, or all, are added together. A control vector's all when absent",
    )
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
    .option("--max-tokens <n>", "longest reply");
  return outOptions(command, "the JSONL of replies").action(steerPrompts);
}

async function steerPrompts(text: string | undefined, options: SteerCommandOptions): Promise<void> {
  const asked = await promptsToAsk("steer", text, options);
  const { vector, site, unit, span, choices, maxTokens } = options;
  const settings = {
    ...asked.reading,
    ...{ vector, unit, span },
    ...(site === undefined ? {} : { site }),
    forceVector: options.forceVector === true,
    strengths: options.strengths.split(",").map((one) => number("--strengths", one)),
    randomSeeds: wholeNumber("--random-seeds", options.randomSeeds),
    maxTokens: maxTokens === undefined ? asked.maxTokens : wholeNumber("--max-tokens", maxTokens),
    ...(choices === undefined ? {} : { choices: commaSeparated(choices) }),
  };
  await printAnswerFile(
    options,
    (common) => steer(asked.prompts, options.model, { ...common, ...settings }),
    effectsText,
  );
}

function effectsText({ sites, span, effects }: Steered): string {
  const share = (one: Estimate) =>
    one.ok
      ? `${(100 * one.value).toFixed(0)}% [${(100 * one.low).toFixed(0)}, ${(100 * one.high).toFixed(0)}]`
      : `- (${one.reason})`;
  const nats = (one: Estimate) => intervalText(one, 2);
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
            pCell(lead.adjusted),
          ],
        ]
      : []),
  ]);
  const where = sites.map(({ site, normAtOne, stateNorm }) => {
    const states = stateNorm === undefined ? "" : `; a state there is ${stateNorm.toPrecision(4)} long`;
    return `Added at ${site}, ${span}: at strength 1 a length of ${normAtOne.toPrecision(4)}${states}.`;
  });
  return [
    ...where,
    table(["strength", "against nothing added", "the direction", "random ones", "beyond random", "p (Holm)"], rows),
  ].join("\n");
}
