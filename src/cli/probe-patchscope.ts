/** inward probe patchscope: what a model itself makes of its states, written into another prompt or into earlier layers. */

import type { Command } from "commander";
import { turns } from "../run/open-model.js";
import { type Patchscope, patchscope } from "../run/patchscope.js";
import type { Estimate } from "../score/interval.js";
import { answerFileCommand, type AnswerFileCommand, outOptions, printAnswerFile } from "./answering.js";
import { promptsOptions, type PromptsOptions, promptsToAsk } from "./asked-prompts.js";
import { SPANS_TEXT } from "./contrast.js";
import { wholeNumber } from "./options.js";
import { pCell, table } from "./output.js";

interface PatchscopeCommandOptions extends AnswerFileCommand, PromptsOptions {
  readonly sites: string;
  readonly into?: string;
  readonly target?: string;
  readonly from: string;
  readonly at: string;
  readonly maxTokens: string;
  readonly expectKey?: string;
}

export function probePatchscopeCommand(): Command {
  const command = answerFileCommand("patchscope")
    .summary("what a model makes of its own states, written into another prompt or into earlier layers")
    .description(
      "Writes the state that --sites leave of each prompt into TARGET, at its token --at, and shows the replies: TARGET is your own prompt,\n" +
        "such as one that repeats what stands before it. Without --target it is back-patching: into earlier layers (--into) of the same\n" +
        "prompt. Beside each a vector by chance as long as the state. A line of --out for each prompt, pair of sites and arm.\n" +
        `Spans: ${SPANS_TEXT}.`,
    )
    .argument("[text]", "one prompt");
  promptsOptions(command)
    .requiredOption("--sites <list>", "where states are taken: residual_after.4-12, …")
    .option(
      "--into <list>",
      "where they are written: where they were taken when absent; of back-patching earlier layers",
    )
    .option("--target <text>", "the prompt that is written into; the same prompt when absent")
    .option("--from <span>", "the token whose state is taken, of several the last", "last")
    .option("--at <span>", "the target's token", "last")
    .option("--max-tokens <n>", "longest reply", "12")
    .option("--expect-key <key>", "key of each line with words that its own reply is to contain");
  return outOptions(command, "the JSONL of replies").action(scope);
}

async function scope(text: string | undefined, options: PatchscopeCommandOptions): Promise<void> {
  const { prompts } = await promptsToAsk("probe patchscope", text, options);
  const { sites, into, target, from, at, expectKey } = options;
  const settings = {
    ...{ sites, from, at, maxTokens: wholeNumber("--max-tokens", options.maxTokens) },
    ...(into === undefined ? {} : { into }),
    ...(target === undefined ? {} : { target: turns("", target) }),
    ...(expectKey === undefined ? {} : { expectKey }),
  };
  await printAnswerFile(options, (common) => patchscope(prompts, options.model, { ...common, ...settings }), scopeText);
}

function scopeText({ effects, what }: Patchscope): string {
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
  const share = (one: Estimate) =>
    one.ok ? `${percent(one.value)} [${percent(one.low)}, ${percent(one.high)}]` : `- (${one.reason})`;
  const isTold = effects.some(({ told }) => told !== undefined);
  const told = ["its own words", "others' words", "nothing written", "by chance", "p, over all"];
  return [
    `${what}:`,
    table(
      ["from", "into", "prompts", "other reply", "a vector by chance", ...(isTold ? told : [])],
      effects.map(({ from, into, prompts, changed, randomChanged, told: one }) => [
        ...[from, into, String(prompts), share(changed), share(randomChanged)],
        ...(one === undefined
          ? []
          : [share(one.share), ...[one.others, one.none, one.random].map(percent), pCell(one.adjusted)]),
      ]),
    ),
    ...(isTold ? ["words: share of replies that contain them; p: expected words permuted among the prompts."] : []),
  ].join("\n");
}
