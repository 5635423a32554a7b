/** inward patch: what a distribution becomes when the state of another prompt is written into it. */

import { Command, Option } from "commander";
import { patchPrompt, type PatchedPrompt } from "../run/patch-prompt.js";
import {
  type AdapterOptions,
  adapterOptions,
  findOptions,
  jsonOption,
  type JsonOption,
  type ModelOptions,
  modelOptions,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, print, printJson, table } from "./output.js";
import { showProgress } from "./progress.js";

interface PatchCommandOptions extends ModelOptions, AdapterOptions, JsonOption {
  readonly donor: string;
  readonly sites: string;
  readonly at: string;
  readonly from?: string;
  readonly rule: "each" | "last";
  readonly write: "state" | "difference";
  readonly instead?: string;
  readonly donorModel?: string;
  readonly donorAdapter?: string;
  readonly property?: string;
  readonly reads: "behavior" | "prediction";
  readonly maxTokens: string;
  readonly top: string;
  readonly both?: boolean;
}

export function patchCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("patch")))
    .summary("what becomes of an answer when another prompt's state is written into its prompt")
    .description(
      "Reads the states that DONOR leaves at --sites and writes them into TEXT, at its tokens --at: the answer's first token before and after,\n" +
        "the logit difference of what both would say, and with --property its exact distribution. Places are tokens: npx inward tokenize shows\n" +
        "them. --both also writes the other way: noising takes a behavior away, denoising brings it back. A study of many: patching (docs/probes.md).",
    )
    .argument("<text>", "the prompt that is written into")
    .requiredOption("--donor <text>", "the prompt whose state is written")
    .requiredOption("--sites <list>", "where in the model: residual_after.12, mlp_output.3-5, …")
    .option("--at <list>", "tokens of TEXT: last, all, or numbers, -1 the last", "last")
    .option("--from <list>", "tokens of DONOR; those of --at when absent")
    .addOption(
      new Option("--rule <rule>", "each: token by token, as many on both sides; last: the last token of each")
        .choices(["each", "last"])
        .default("each"),
    )
    .addOption(
      new Option(
        "--write <what>",
        "state: the donor's in the place of what is there; difference: the donor's less --instead, added",
      )
        .choices(["state", "difference"])
        .default("state"),
    )
    .option("--instead <text>", "with --write difference: whose state is taken off; TEXT when absent")
    .option(
      "--donor-model <source>",
      "the model in which DONOR is read: one of the same shape, such as another quantization",
    )
    .option("--donor-adapter <path>", "the adapter that it wears there; none for none; TEXT's when absent")
    .option("-p, --property <property>", "its exact distribution, before and after")
    .addOption(
      new Option("--reads <what>", "the property of the answer, or what a reply says of it")
        .choices(["behavior", "prediction"])
        .default("behavior"),
    )
    .option("--max-tokens <n>", "longest answer where a property is read", "24")
    .option("--top <k>", "likeliest tokens", "8")
    .option("--both", "write the other way too");
  return jsonOption(command).action(patch);
}

async function patch(text: string, options: PatchCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const { sites, at, from, rule, write, instead, donorModel, donorAdapter, property, reads } = options;
  const common = {
    ...findOptions(options),
    device: options.device,
    engine: { gpuLayers: options.gpuLayers },
    signal,
    onProgress: progress.update,
    sites,
    rule,
    write,
    instead,
    property,
    reads,
    maxTokens: wholeNumber("--max-tokens", options.maxTokens),
    top: wholeNumber("--top", options.top),
  };
  try {
    const one = await patchPrompt(text, options.donor, options.model, {
      ...common,
      at,
      from,
      donorModel,
      donorAdapter,
    });
    const other = options.both
      ? await patchPrompt(options.donor, text, options.model, { ...common, at: from ?? at, from: at })
      : undefined;
    progress.end();
    if (options.json) {
      printJson(other ? { ...one, other } : one);
      return;
    }
    print(effectText(one));
    if (other) print(`\nThe other way:\n${effectText(other)}`);
  } finally {
    progress.end();
  }
}

function effectText({ sites, tokens, first, logitDifference, totalVariation, property }: PatchedPrompt): string {
  const { toward, from, change } = logitDifference;
  const places = tokens.recipient.map((place, at) =>
    tokens.donor[at] === place ? place : `${tokens.donor[at]} at ${place}`,
  );
  const lines = [
    `${sites.join(", ")}; token ${places.join(", ")}`,
    table(
      ["token", "before", "after", "donor's own"],
      first.map((one) => [JSON.stringify(one.text), nats(one.before), nats(one.after), nats(one.donor)]),
    ),
    `${JSON.stringify(toward)} over ${JSON.stringify(from)}: ${signed(change)} nats of logit difference; ${(100 * totalVariation).toFixed(1)} % of the distribution changed`,
  ];
  if (property) {
    const tail = (one: typeof property.before) => (one.method === "expansion" ? one.tail : undefined);
    const open = [tail(property.before), tail(property.after)].map((one) =>
      one === undefined ? "samples" : one.toExponential(1),
    );
    lines.push(
      "",
      table(
        [property.name, "before", "after", "ln after − ln before"],
        property.effects.map(({ value, before, after, logprobChange }) => [
          value,
          before.toFixed(4),
          after.toFixed(4),
          logprobChange === undefined ? "one is 0" : signed(logprobChange),
        ]),
      ),
      `without a value ${missingOf(property.before)} → ${missingOf(property.after)}; not looked into ${open.join(" → ")}`,
    );
  }
  return lines.join("\n");
}

function missingOf({ notCompliant }: { readonly notCompliant: Readonly<Partial<Record<string, number>>> }): string {
  return Object.values(notCompliant)
    .reduce<number>((sum, one) => sum + (one ?? 0), 0)
    .toFixed(4);
}

function nats(logprob: number): string {
  return logprob.toFixed(3);
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(3)}`;
}
