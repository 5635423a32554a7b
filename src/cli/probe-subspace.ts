/** inward probe subspace: what a part of a donor's state does to an answer, beside controls that are displaced as far. */

import { Command } from "commander";
import { parsePatchPairs, type PatchedSubspaces, patchSubspace, type SubspaceOptions } from "../run/patch-subspace.js";
import { readPromptFile } from "../run/prompt-lines.js";
import type { ControlEffect } from "../probe/written-effects.js";
import { answerFile, answersText } from "./answering.js";
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

interface SubspaceCommandOptions extends ModelOptions, AdapterOptions, CacheOption, JsonOption {
  readonly pairs: string;
  readonly subspace: string;
  readonly choices: string;
  readonly at: string;
  readonly from?: string;
  readonly randomSeeds: string;
  readonly out: string;
}

export function probeSubspaceCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("subspace")))
    .summary("what a part of a donor's state does to an answer, beside controls that are displaced as far")
    .description(
      "Of each pair, what the donor's state has within the span of the directions stands in the place of the prompt's own: by how much the\n" +
        "donor's answer gains. Beside it, displaced as far: along what the donor differs in outside the span, and within subspaces by\n" +
        'chance; and the whole state. A line of --pairs is {"prompt": …, "donor": …}, each a text or its messages; "id" where wanted.\n' +
        "Directions: npx inward contrast; a tensor a site, one vector or several below each other. Several files span together.",
    )
    .requiredOption("--pairs <path>", "pairs of prompts, one a line: JSONL; - for the standard input")
    .requiredOption("--subspace <list>", "safetensors of directions, comma-separated")
    .requiredOption("--choices <list>", "answers, comma-separated, such as yes,no")
    .option("--at <span>", "token that is written to, of several the last", "last")
    .option("--from <span>", "token of the donor; that of --at when absent")
    .option("--random-seeds <n>", "subspaces by chance", "3")
    .requiredOption("-o, --out <path>", "the JSONL to write; its manifest is written beside it");
  return jsonOption(cacheOption(command)).action(subspace);
}

async function subspace(options: SubspaceCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const pairs = parsePatchPairs(await readPromptFile(options.pairs), options.pairs);
  const list = (given: string) => given.split(",").map((one) => one.trim());
  const randomSeeds = wholeNumber("--random-seeds", options.randomSeeds);
  let made: PatchedSubspaces | undefined;
  const done = await answerFile(options, async (common) => {
    const settings: SubspaceOptions = {
      ...common,
      out: options.out,
      signal,
      subspace: list(options.subspace),
      choices: list(options.choices),
      at: options.at,
      ...(options.from === undefined ? {} : { from: options.from }),
      randomSeeds,
    };
    made = await patchSubspace(pairs, options.model, settings);
    return made;
  });
  if (options.json) printJson(made);
  else print(`${subspaceText(made as PatchedSubspaces)}\n${answersText(done)}`);
}

function subspaceText({ effects, alike }: PatchedSubspaces): string {
  const control = (one: ControlEffect | undefined) =>
    one === undefined ? ["-", "-"] : [meanText(one.meanLead, one.lead), pCell(one.adjusted)];
  return [
    table(
      [
        "site",
        "directions",
        "displaced",
        "donor's answer gains, nats",
        "outside",
        "p",
        "by chance",
        "p",
        "whole state",
      ],
      effects.map(({ site, directions, displacement, wholeDisplacement, meanLead, lead, controls }) => [
        site,
        String(directions),
        `${displacement.toPrecision(3)} of ${wholeDisplacement.toPrecision(3)}`,
        Number.isNaN(meanLead) ? "-" : meanText(meanLead, lead),
        ...control(controls.outside),
        ...control(controls.random),
        ...control(controls.whole).slice(0, 1),
      ]),
    ),
    "p: the patch less the control, by pair, over all sites. An effect that a control has too is not the subspace's.",
    `${effects[0]?.prompts ?? 0} pairs were told; of ${alike.length} both prompts have the same answer.`,
  ].join("\n");
}
