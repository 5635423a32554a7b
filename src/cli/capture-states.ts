/** inward states: what a model holds of each token of a file of prompts, as safetensors with an index. */

import { resolve } from "node:path";
import { Command, Option } from "commander";
import { InwardError } from "../errors.js";
import { statesOfStudy } from "../run/probe-states-stage.js";
import { parsePrompts, readPromptFile } from "../run/prompt-lines.js";
import { type AuthoredStudy, planStudy } from "../run/run-study.js";
import { captureStates, estimateStates, type FinishedStates, type StatesEstimate } from "../run/states-file.js";
import type { StatesType } from "../probe/states-shard.js";
import { sayDoubts } from "./answering.js";
import { OMIT_SYSTEM } from "../study/schema.js";
import {
  adapterOptions,
  type AdapterOptions,
  collect,
  findOptions,
  jsonOption,
  type JsonOption,
  modelOptions,
  type ModelOptions,
  noteAdapter,
  noteChat,
  number,
  type PrefixOption,
  prefixOption,
  promptOptions,
  type PromptOptions,
  propertiesFromOption,
  type PropertiesFromOption,
  setOption,
  type SetOption,
  stringsOption,
  wholeNumber,
} from "./options.js";
import { abortOnInterrupt, notice, print, printJson, readableBytes, table } from "./output.js";
import { showProgress } from "./progress.js";

interface StatesCommandOptions
  extends ModelOptions,
    AdapterOptions,
    PromptOptions,
    PropertiesFromOption,
    PrefixOption,
    SetOption,
    JsonOption {
  readonly file?: string;
  readonly task?: string;
  readonly study?: string;
  readonly state?: string;
  readonly property?: readonly string[];
  readonly spans?: string;
  readonly strings: string;
  readonly out: string;
  readonly sites?: string;
  readonly positions?: string;
  readonly dtype?: StatesType;
  readonly maxTokens?: string;
  readonly shardMib: string;
  readonly forward: "auto" | "own" | "llama.cpp";
  readonly dryRun?: boolean;
}

export function statesCommand(): Command {
  const command = adapterOptions(modelOptions(new Command("states")))
    .summary("what a model holds of each token: residuals, what attention and MLP add, heads, attention weights")
    .description(
      "Asks a file of prompts and writes the states of their tokens: safetensors with a tensor a site and a row a token, and index.jsonl,\n" +
        "which says of each row whose it is. The logits are those that asking has, to the bit. The same command again goes on where it ended.\n" +
        "Sites: residual (the residual at every layer's border), all (every part but attention weights), residual_before, attention_output,\n" +
        "residual_middle, mlp_output, residual_after, head_values, attention_weights; of all layers, or .3, .0-5, .-1.",
    )
    .option("--file <path>", "prompts, one a line: JSONL, or .txt as they stand; - for the standard input")
    .option(
      "-t, --task <task>",
      "a task's prompts of both kinds, as a study asks them: a built-in name, or a task YAML",
    )
    .option("--study <path>", "a study's prompts, of one of its models as it comes: what its run keeps in 07-states")
    .requiredOption("-o, --out <folder>", "where the states go")
    .option("--sites <list>", "where in the model, comma-separated: residual (unless told), mlp_output.0-5, …")
    .option(
      "--positions <list>",
      "with --file: of which tokens: all, prompt, reply, last (of the prompt, unless told), or numbers, -1 the prompt's last",
    )
    .option("--spans <list>", "with --task: all tokens of these words (docs/probes.md)", "string,last_prompt_token")
    .option(
      "--property <name>",
      "with --task: what hypothetical questions ask for (repeatable); the task's own unless told",
      collect,
    )
    .option("--state <model>", "with --study: which of its models")
    .addOption(new Option("--dtype <type>", "numbers of the files; f32 unless told").choices(["f16", "f32"]))
    .option("--max-tokens <n>", "with --file: longest reply, greedy; nothing is answered unless told")
    .option("--shard-mib <n>", "a file is begun anew before it would be larger", "128")
    .addOption(
      new Option("--forward <who>", "who evaluates: our own pass where it can, which evaluates once, or llama.cpp")
        .choices(["auto", "own", "llama.cpp"])
        .default("auto"),
    )
    .option("--dry-run", "tokens, rows and bytes; asks nothing");
  stringsOption(command, "with --task: most train strings, and most held-out ones", "100");
  setOption(
    propertiesFromOption(promptOptions(prefixOption(command))),
    "with --study: change a key of the study, e.g. --set seed=3 (repeatable)",
  );
  return jsonOption(command).action(states);
}

async function states(options: StatesCommandOptions): Promise<void> {
  const { file, task, study, out } = options;
  const given = [file, task, study].filter((one) => one !== undefined);
  if (given.length !== 1) throw new InwardError("USAGE", "states takes one of --file, --task and --study");
  if (file !== undefined) return statesOfFile(file, options);
  for (const [name, value] of [
    ["--positions", options.positions],
    ["--max-tokens", options.maxTokens],
    ["--adapter-scale", options.adapterScale === "1" ? undefined : options.adapterScale],
    ["--force-adapter", options.forceAdapter],
  ] as const) {
    if (value !== undefined) throw new InwardError("USAGE", `${name} goes with --file`);
  }
  const signal = abortOnInterrupt();
  const progress = showProgress();
  const hooks = { signal, onProgress: progress.update, onCrash: noteCrash };
  const planned = await (study === undefined
    ? planStudy(studyOfTask(task as string, options), { offline: options.offline, ...hooks })
    : planStudy(study, { offline: options.offline, set: studySettings(options), ...hooks })
  ).catch((error) => {
    progress.end();
    throw error;
  });
  const found = await statesOfStudy(planned, options.state).catch((error) => {
    progress.end();
    throw error;
  });
  if (options.dryRun) {
    progress.end();
    if (options.json) printJson(found.estimate);
    else print(estimateText(found.estimate));
    return;
  }
  const done = await found.write(resolve(out), hooks).finally(progress.end);
  if (options.json) printJson(done);
  else print(doneText(done));
}

function noteCrash({ attempt, prompts, message }: { attempt: number; prompts: number; message: string }): void {
  const how = attempt < 3 ? `${prompts} prompts together` : "a prompt alone";
  notice(`The engine crashed on ${how}, and is begun anew: ${message.split("\n")[0]}`);
}

/** What the command says of a study that has no section probe, or another one. */
function studySettings({ sites, dtype, set = [] }: StatesCommandOptions): string[] {
  return [
    ...set,
    ...(sites === undefined ? [] : [`probe.sites=${JSON.stringify(sites)}`]),
    ...(dtype === undefined ? [] : [`probe.dtype=${dtype}`]),
    "probe.lenses=[]",
    "probe.randomWeights=false",
  ];
}

/** A study of one task and one model, which asks what --task would ask. */
function studyOfTask(task: string, options: StatesCommandOptions): AuthoredStudy {
  const { model, encoding, adapter, chat, system, device, gpuLayers, forward, prefix } = options;
  const spans = options.spans?.split(",").map((name) => name.trim()) ?? [];
  const inBoth = spans.filter((name) => !["quotation", "property", "wording"].includes(name));
  return {
    study: "states",
    models: {
      model: {
        source: model,
        encoding,
        ...(adapter === undefined ? {} : { adapter }),
        ...(chat === undefined ? {} : { chat }),
        ...(system === undefined ? {} : { system: system === false ? OMIT_SYSTEM : system }),
      },
    },
    tasks: [
      {
        task,
        ...(options.examples ? {} : { examples: false }),
        ...(prefix === undefined ? {} : { prefixes: [prefix] }),
      },
    ],
    ...(options.property ? { properties: [...options.property] } : {}),
    ...(options.propertiesFrom ? { propertiesFrom: [...options.propertiesFrom] } : {}),
    hypothetical: { variants: [options.variant] },
    engine: { device, gpuLayers, forward },
    probe: {
      sites: options.sites ?? "residual",
      spans: { hypothetical: spans, objectLevel: inBoth },
      // All tokens of a span.
      tokens: "mean",
      strings: wholeNumber("--strings", options.strings),
      dtype: options.dtype ?? "f32",
      lenses: [],
      randomWeights: false,
    },
  } as AuthoredStudy;
}

async function statesOfFile(file: string, options: StatesCommandOptions): Promise<void> {
  const signal = abortOnInterrupt();
  const prompts = sayDoubts(parsePrompts(await readPromptFile(file), file));
  const progress = showProgress();
  const settings = {
    ...findOptions(options),
    engine: { device: options.device, gpuLayers: options.gpuLayers, forward: options.forward },
    sites: options.sites,
    positions: options.positions,
    dtype: options.dtype,
    maxTokens: number("--max-tokens", options.maxTokens ?? "0"),
    shardBytes: 2 ** 20 * wholeNumber("--shard-mib", options.shardMib),
    signal,
    onProgress: progress.update,
    onCrash: noteCrash,
    onFound: (found: Parameters<typeof noteChat>[0] & Parameters<typeof noteAdapter>[0]) => {
      noteAdapter(found);
      noteChat(found);
    },
  };
  if (options.dryRun) {
    const estimate = await estimateStates(prompts, options.model, settings).finally(progress.end);
    if (options.json) printJson(estimate);
    else print(estimateText(estimate));
    return;
  }
  const done = await captureStates(prompts, options.model, { ...settings, out: options.out }).finally(progress.end);
  if (options.json) printJson(done);
  else print(doneText(done));
}

function estimateText({ prompts, promptTokens, rows, bytes, files, sites }: StatesEstimate): string {
  return [
    table(
      ["site", "numbers of a token"],
      sites.map(({ name, shape }) => [name, shape.join(" × ")]),
    ),
    `${prompts} prompts of ${promptTokens} tokens; ${rows} rows at most, ${readableBytes(bytes)} in ${files} files.`,
  ].join("\n");
}

function doneText({ folder, files, rows, bytes, prompts, kept, setAside }: FinishedStates): string {
  const before = kept === 0 ? "" : `, ${kept} of them from before`;
  const crashed =
    setAside.length === 0 ? "" : `; ${setAside.length} crash the engine and have no rows (${setAside.join(", ")})`;
  return `${prompts} prompts${before}: ${rows} rows, ${readableBytes(bytes)} in ${files} files${crashed}\n${folder}`;
}
