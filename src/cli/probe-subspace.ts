/** inward probe subspace: what a part of a donor's state does to an answer, beside controls that are displaced as far. */

import type { Command } from "commander";
import { parsePatchPairs, type PatchedSubspaces, patchSubspace, type UnreadPart } from "../run/patch-subspace.js";
import { readPromptFile } from "../run/prompt-lines.js";
import type { ControlEffect } from "../probe/written-effects.js";
import { answerFileCommand, type AnswerFileCommand, commaSeparated, outOptions, printAnswerFile } from "./answering.js";
import { wholeNumber } from "./options.js";
import { meanText, pCell, table } from "./output.js";

interface SubspaceCommandOptions extends AnswerFileCommand {
  readonly pairs: string;
  readonly subspace: string;
  readonly choices: string;
  readonly at: string;
  readonly from?: string;
  readonly randomSeeds: string;
}

export function probeSubspaceCommand(): Command {
  const command = answerFileCommand("subspace")
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
    .option("--random-seeds <n>", "subspaces by chance", "3");
  return outOptions(command, "the JSONL to write").action(subspace);
}

async function subspace(options: SubspaceCommandOptions): Promise<void> {
  const pairs = parsePatchPairs(await readPromptFile(options.pairs), options.pairs);
  const { at, from } = options;
  const settings = {
    ...{ subspace: commaSeparated(options.subspace), choices: commaSeparated(options.choices), at },
    ...(from === undefined ? {} : { from }),
    randomSeeds: wholeNumber("--random-seeds", options.randomSeeds),
  };
  await printAnswerFile(
    options,
    (common) => patchSubspace(pairs, options.model, { ...common, ...settings }),
    subspaceText,
  );
}

function readingText(site: string, unread: UnreadPart): string {
  if (!unread.ok) return `${site}: ${unread.reason}`;
  if (unread.ofState === 0) return `${site}: what stands behind it reads all directions of a state.`;
  const share = `${(100 * unread.ofPatch).toFixed(1)} % of what is written (its length)`;
  return `${site}: ${unread.ofState} directions of a state are read by nothing behind it; ${share} lies in them.`;
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
    ...effects.flatMap(({ site, unread, controls }) => [
      readingText(site, unread),
      ...(controls.unread === undefined
        ? []
        : [
            table(
              ["at " + site, "donor's answer gains, nats", "p, the patch less it"],
              (["read", "unread"] as const).map((arm) => [
                arm === "read" ? "without what is not read" : "what is not read alone",
                ...control(controls[arm]),
              ]),
            ),
          ]),
    ]),
    "p: the patch less the control, by pair, over all sites. An effect that a control has too is not the subspace's.",
    `${effects[0]?.prompts ?? 0} pairs were told; of ${alike.length} both prompts have the same answer.`,
  ].join("\n");
}
