/** inward run: a whole study, from its YAML to its report. */

import { Command } from "commander";
import { runShared } from "../cluster/launch-workers.js";
import { InwardError } from "../errors.js";
import { type DryRun, dryRun } from "../run/dry-run.js";
import type { ModelEstimate, Rated, TimeEstimate } from "../run/estimate/estimate.js";
import { placementWords } from "../model/placement.js";
import { sumOfTimes } from "../run/estimate/rates.js";
import {
  jsonOption,
  type JsonOption,
  noteCacheFaults,
  number,
  type StudyCommandOptions,
  studyOptions,
} from "./options.js";
import { abortOnInterrupt, notice, print, printJson, readableBytes, table } from "./output.js";
import { primaryPowerText } from "./primary-power-text.js";
import { showProgress } from "./progress.js";
import { earlierTexts, plannedText, summarize } from "./summary.js";
import { readWorkers, type WorkersGiven, workerOptions } from "./worker-options.js";

// A dry run for a person: what is asked and learnt, how long, how much memory and disk.

const STAGE_NAMES = {
  judge: "judging",
  options_judge: "options scored, judging",
  object_level: "object-level",
  options: "options scored",
  object_level_adapted: "object-level, adapted",
  options_adapted: "options scored, adapted",
  hypothetical: "hypothetical",
  noise_floor: "noise floor",
  options_noise_floor: "options scored, noise floor",
  distributions: "distributions",
} as const;

function dryRunText(run: DryRun): string {
  return [
    run.folder ?? `${run.study}: the run's folder is not known yet, because ${run.folderUnknown}.`,
    `${run.tasks} ${run.tasks === 1 ? "task" : "tasks"}, ${whole(run.objectLevel)} object-level and ${whole(run.hypothetical)} hypothetical questions are asked here`,
    ...earlierTexts(run.earlier ?? []),
    ...Object.entries(run.chats).map(([name, words]) => `${name}: ${words}`),
    ...(run.judges ?? []).map(
      ({ property, by, reads }) =>
        `${property} is judged by ${by}; of a labelled answer it reads: ${JSON.stringify(reads)}`,
    ),
    ...(run.strings ?? []),
    ...[run.worn, run.asking].flatMap((some) => Object.entries(some ?? {}).map(([name, words]) => `${name}: ${words}`)),
    ...Object.entries(run.warnings ?? {}).map(([name, all]) => `${name}: llama.cpp warns: ${all.join("; ")}`),
    ...(run.elsewhere ? elsewhere(run.elsewhere) : []),
    ...(run.stages.length > 0 ? [asking(run)] : []),
    ...(run.training.length > 0 ? [training(run), ...trainingPlaces(run)] : []),
    `Together ${sizeWords(sumOfTimes([...run.stages, ...run.training, ...(run.probe ? [run.probe] : [])].map(({ time }) => time)))}.`,
    ...(run.answerCache ? [answerCache(run.answerCache)] : []),
    ...run.models.map(model),
    ...(run.probe ? [lookingInside(run.probe)] : []),
    ...(run.patching ? [writingInside(run.patching)] : []),
    ...(run.inside ? [takingApart(run.inside)] : []),
    ...(run.injection ? [injecting(run.injection)] : []),
    disk(run),
    ...(run.primary ? [primaryPowerText(run.primary)] : []),
    run.assumptions.map((line) => `- ${line}`).join("\n"),
  ].join("\n\n");
}

function asking({ stages }: DryRun): string {
  return table(
    ["stage", "state", "questions", "strings", "prompt tokens", "distinct", "generated at most", "time"],
    stages.map((one) => [
      STAGE_NAMES[one.stage],
      one.state,
      whole(one.questions),
      whole(one.items),
      whole(one.promptTokens),
      whole(one.distinctTokens),
      whole(one.generatedTokensAtMost),
      sizeWords(one.time),
    ]),
  );
}

/** Nobody is asked for these: which logs they stand in, and what is not in them. */
function elsewhere(states: NonNullable<DryRun["elsewhere"]>): string[] {
  const logs = states.flatMap(({ state, logs }) =>
    logs.map(({ side, source, sha256, task, samples, taken, unanswered }) => [
      state,
      STAGE_NAMES[side],
      source,
      `${sha256.slice(0, 12)}…`,
      task,
      whole(samples),
      whole(taken),
      counts(unanswered),
    ]),
  );
  const questions = states.flatMap(({ state, questions }) =>
    questions.map(({ side, task, questions: all, answered, failedElsewhere, notInLog }) => [
      state,
      STAGE_NAMES[side],
      task,
      whole(all),
      whole(answered),
      whole(failedElsewhere),
      whole(notInLog),
    ]),
  );
  const leftOut = states.filter(({ stringsLeftOut }) => stringsLeftOut > 0);
  return [
    "Made elsewhere, so that nobody here is asked:",
    table(["state", "side", "log", "sha256", "task", "samples", "taken", "without an answer"], logs),
    table(["state", "side", "task", "questions", "answered", "failed elsewhere", "in no log"], questions),
    ...leftOut.map(
      ({ state, stringsLeftOut }) => `${state}: ${whole(stringsLeftOut)} strings stand in no log and were not chosen.`,
    ),
  ];
}

function counts(all: Readonly<Record<string, number>>): string {
  const some = Object.entries(all).map(([reason, count]) => `${reason}: ${whole(count)}`);
  return some.length === 0 ? "none" : some.join(", ");
}

function answerCache({ folder, bytes }: NonNullable<DryRun["answerCache"]>): string {
  return `The answer cache is on (${folder}, ${readableBytes(bytes)}): what it has is not asked again, and is counted here all the same.`;
}

function training({ training }: DryRun): string {
  return table(
    ["adapter", "examples at most", "steps", "tokens", "evaluated", "parameters", "memory", "time"],
    training.map((one) => [
      one.adapter,
      whole(one.examplesAtMost),
      whole(one.steps),
      whole(one.exampleTokens),
      whole(one.evaluatedTokens),
      one.parameters === undefined ? "unknown" : whole(one.parameters),
      one.memory === undefined ? "unknown" : readableBytes(one.memory.total),
      sizeWords(one.time),
    ]),
  );
}

/** Where a base has no room on the GPUs, or lies on several: what a training's layers come to. */
function trainingPlaces({ training }: DryRun): string[] {
  return training.flatMap(({ adapter, placement }) => {
    const streamed = placement?.places.reduce((sum, one) => sum + one.streamed, 0) ?? 0;
    if (!placement || (placement.places.length < 2 && streamed === 0)) return [];
    const places = placement.places.map(
      ({ device, layers: [first, last] }) => `layers ${first} to ${last} on ${device}`,
    );
    const sent =
      streamed === 0
        ? ""
        : `; there is no room for about ${streamed} of them, whose weights (${readableBytes(placement.streamedBytes)}) are sent there for every microbatch: slow`;
    return [`${adapter}: ${places.join(", ")}${sent}`];
  });
}

function model({ model: name, source, missing, parameters, weights, memory, placement, rates }: ModelEstimate): string {
  const size = [
    ...(parameters === undefined ? [] : [`${whole(parameters)} parameters`]),
    weights ? `${weights.exact ? "" : "about "}${readableBytes(weights.bytes)} of weights` : "size unknown",
  ].join(", ");
  return [
    `${name} (${source}): ${size}${missing === undefined ? "" : `; ${missing}`}`,
    ...(memory
      ? [
          `  memory for asking: ${readableBytes(memory.total)} (weights ${readableBytes(memory.weights)}, keys and values ${readableBytes(memory.cache)}, computing about ${readableBytes(memory.compute)})`,
        ]
      : []),
    ...(placement ? [`  ${placementText(placement)}`] : []),
    `  object-level: ${rateWords(rates.objectLevel)}`,
    `  hypothetical: ${rateWords(rates.hypothetical)}`,
    ...(rates.options ? [`  options: ${rateWords(rates.options)}`] : []),
  ].join("\n");
}

function placementText(placement: NonNullable<ModelEstimate["placement"]>): string {
  const rooms = placement.places.flatMap(({ device, needed, free }) =>
    needed === undefined ? [] : [`${device} needs about ${readableBytes(needed)} of ${readableBytes(free ?? 0)}`],
  );
  const short = placement.fits ? "" : ": too little";
  return `where: ${placementWords(placement)} (${rooms.join(", ")}${short})`;
}

function rateWords(rated: Rated): string {
  if (!rated.ok) return `rate unknown: ${rated.reason}`;
  const { basis, tokensPerSecond, of } = rated.rate;
  return `${Number(tokensPerSecond.toPrecision(3))} tokens/s, ${basis} (${of})`;
}

function lookingInside({ states, lens, fits }: NonNullable<DryRun["probe"]>): string {
  const each = states.map((one) =>
    one.ok
      ? `  ${one.state}: ${whole(one.prompts)} prompts of ${whole(one.promptTokens)} tokens, ${whole(one.rows)} tokens' states at ${one.sites} sites, ${readableBytes(one.bytes)}, ${sizeWords(one.time)}`
      : `  ${one.state}: not known, because ${one.reason}`,
  );
  const known = states.every(({ ok }) => ok) ? "" : " at least";
  return [
    "Looking inside (07-states; each prompt is evaluated once more, hypothetical questions about train strings too):",
    ...each,
    ...(lens
      ? [
          `  then${known} ${whole(lens.rows)} states are read by lenses${lens.wholePrompts > 0 ? ` (at every token of ${whole(lens.wholePrompts)} prompts)` : ""}${lens.maps > 0 ? `, for which ${whole(lens.maps)} maps are found` : ""}, ${sizeWords(lens.time)}`,
        ]
      : []),
    `  then${known} ${whole(fits.count)} probes are fitted, ${sizeWords(fits.time)}: the more strings and labels, the longer`,
  ].join("\n");
}

function writingInside(states: NonNullable<DryRun["patching"]>): string {
  const each = states.map((one) =>
    one.ok
      ? `  ${one.state}: ${whole(one.donorPrompts)} object-level prompts are read for donors, then ${whole(one.rows)} distributions at ${one.sites} places, with prompts of ${whole(one.promptTokens)} tokens together`
      : `  ${one.state}: not known, because ${one.reason}`,
  );
  return [
    "Writing inside (07-patches; every distribution evaluates its prompt once or more, and what is said to it; its time is not in the sums):",
    ...each,
  ].join("\n");
}

function takingApart(states: NonNullable<DryRun["inside"]>): string {
  const each = states.map((one) =>
    one.ok
      ? `  ${one.state}: states of ${whole(one.prompts)} prompts, ${readableBytes(one.bytes)}; then ${whole(one.rows)} lines, most of which evaluate a prompt's last token once more, with prompts of ${whole(one.promptTokens)} tokens together`
      : `  ${one.state}: not known, because ${one.reason}`,
  );
  return ["Taking answers apart (07-inside; neither its time nor its bytes are in the sums):", ...each].join("\n");
}

function injecting(states: NonNullable<DryRun["injection"]>): string {
  const each = states.map((one) =>
    one.ok
      ? `  ${one.state}: ${whole(one.prompts)} prompts at ${one.sites} sites, ${whole(one.tokens)} tokens to evaluate at most`
      : `  ${one.state}: not known, because ${one.reason}`,
  );
  return ["Injecting concepts (07-injections; their time is not in the sums):", ...each].join("\n");
}

function disk({ disk: need }: DryRun): string {
  const parts = [
    `answers about ${readableBytes(need.answers)}${need.alternatives === undefined ? "" : ` (${readableBytes(need.alternatives)} of it alternatives)`}`,
    ...(need.adapters > 0
      ? [`adapters ${readableBytes(need.adapters)}`, `a checkpoint ${readableBytes(need.checkpoint)} while training`]
      : []),
    ...(need.modelsToDownload > 0 ? [`models to download about ${readableBytes(need.modelsToDownload)}`] : []),
    ...(need.modelsToWrite > 0 ? [`re-encoded copies about ${readableBytes(need.modelsToWrite)}`] : []),
    ...(need.states === undefined ? [] : [`states ${readableBytes(need.states)}`]),
    ...(need.randomWeights === undefined
      ? []
      : [`a model with random weights ${readableBytes(need.randomWeights)} while it is looked into`]),
    ...(need.lensTokens === undefined
      ? []
      : [
          `readings of whole prompts about ${readableBytes(need.lensTokens)}`,
          `their states ${readableBytes(need.lensStates ?? 0)} while they are read`,
        ]),
    ...need.unknown,
  ];
  return `Disk: ${parts.join(", ")}.`;
}

function sizeWords(time: TimeEstimate): string {
  if (!time.ok) return "unknown";
  return `${time.atMost ? "at most " : "about "}${duration(time.seconds)}, ${time.basis}`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  const hours = seconds / 3600;
  return `${hours < 10 ? hours.toFixed(1) : whole(Math.round(hours))} h`;
}

function whole(value: number): string {
  return value.toLocaleString("en-US");
}

interface RunOptions extends StudyCommandOptions, JsonOption, WorkersGiven {
  readonly dryRun?: boolean;
  readonly measure: boolean;
  readonly pilot?: string;
  readonly discordance?: string;
  readonly difference?: string;
}

export function runCommand(): Command {
  const command = new Command("run")
    .summary("run a study from its YAML to its report; run it again to go on where it stopped")
    .description(
      "Asks every question of the study, takes the behaviors, trains the adapters that the study wants, scores the\n" +
        "predictions and writes the report.\n" +
        "The run folder is runs/<study>-<plan hash>: the same study finds its folder again and goes on from the last\n" +
        "finished group of questions, after Ctrl-C or kill -9 alike. Results depend only on the plan (01-plan.json).",
    )
    .argument("<study>", "path of a study file (studies has examples)");
  studyOptions(command)
    .option(
      "--dry-run",
      "print what the plan comes to: questions, tokens, steps, time, memory, disk; downloads nothing",
    )
    .option(
      "--pilot <run>",
      "with --dry-run: calculate the power of the study's primary contrast from this run's strings",
    )
    .option(
      "--discordance <share>",
      "with --dry-run, without a pilot: share of trials in which just one of two compared is right, above 0 and at most 1 (default: 0.5)",
    )
    .option(
      "--difference <points>",
      "with --dry-run: the true difference that the power is told for (default: several)",
    )
    .option("--no-measure", "with --dry-run: do not time a few questions, so that hours stay unknown");
  workerOptions(command);
  return jsonOption(command, "print one JSON object about the finished run").action(run);
}

async function run(
  study: string,
  {
    dryRun: isDry,
    json,
    measure,
    pilot,
    discordance,
    difference,
    workers,
    devices,
    unitQuestions,
    ...options
  }: RunOptions,
): Promise<void> {
  const given = Object.entries({ "--pilot": pilot, "--discordance": discordance, "--difference": difference });
  const idle = isDry ? undefined : given.find(([, value]) => value !== undefined);
  if (idle) throw new InwardError("USAGE", `${idle[0]} is for --dry-run alone: a run's power is what it is.`);
  if (pilot !== undefined && discordance !== undefined) {
    throw new InwardError("USAGE", "--pilot and --discordance: a pilot has its own scatter, so give one of the two.");
  }
  const progress = showProgress();
  const common = { ...options, signal: abortOnInterrupt(), onProgress: progress.update };
  if (isDry) {
    const planned = await dryRun(study, {
      ...common,
      measure,
      pilot,
      discordance: discordance === undefined ? undefined : number("--discordance", discordance),
      power: { differences: difference === undefined ? undefined : [number("--difference", difference) / 100] },
    }).finally(progress.end);
    if (json) printJson(planned);
    else print(dryRunText(planned));
    return;
  }
  const onPlanned = (planned: Parameters<typeof plannedText>[0]) => notice(plannedText(planned));
  const sharing = readWorkers({ workers, devices, unitQuestions });
  const hooks = { ...common, ...sharing, onPlanned, onCacheFaults: noteCacheFaults };
  const run = await runShared(study, hooks).finally(progress.end);
  const summary = await summarize(run);
  if (json) printJson(summary);
  else print(`${summary.text}\n\nReport: ${summary.report}`);
}
