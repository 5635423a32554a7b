/** inward compare: two runs side by side. Asks no model. */

import { Command } from "commander";
import { InwardError } from "../errors.js";
import { SCOPE_WORDS } from "../report/terms.js";
import { type ComparedRuns, compareRuns } from "../run/compare-runs.js";
import type { RunDifferenceOfPair } from "../score/comparison/between-runs.js";
import { judgeText } from "../score/judge-agreement.js";
import type { Estimate } from "../score/interval.js";
import type { Share } from "../score/scores.js";
import { collect, jsonOption, type JsonOption } from "./options.js";
import { print, printJson, table } from "./output.js";

interface CompareCommandOptions extends JsonOption {
  readonly call?: readonly string[];
}

export function compareCommand(): Command {
  const command = new Command("compare")
    .summary("where the plans of two runs differ, and what came of it on the trials that both have; asks no model")
    .description(
      "Says where the plans of two runs differ, then, for each predictor and target that both have, accuracy in the second\n" +
        "minus accuracy in the first: paired, on the same strings (by their text), properties and wordings, with intervals.",
    )
    .argument("<first>", "folder of a run that was scored")
    .argument("<second>", "folder of another one")
    .option(
      "--call <second=first>",
      "a state of the second run is the one that the first calls so (repeatable)",
      collect,
    );
  return jsonOption(command, "print the comparison as JSON").action(
    async (first: string, second: string, { call = [], json }: CompareCommandOptions) => {
      const compared = await compareRuns(first, second, { names: Object.fromEntries(call.map(namePair)) });
      if (json) printJson(compared);
      else print(comparedText(compared));
    },
  );
}

function namePair(text: string): [string, string] {
  const [second = "", first = "", ...more] = text.split("=");
  if (second !== "" && first !== "" && more.length === 0) return [second, first];
  throw new InwardError("USAGE", `--call wants <second>=<first>, two names of states, not "${text}".`);
}

function comparedText({ plan, pairs, judges, leftOut, firstOnly, secondOnly }: ComparedRuns): string {
  const strings = plan.strings.filter((one) => one.firstOnly + one.secondOnly > 0);
  const [shown] = pairs;
  return [
    plan.same
      ? "The plans are the same."
      : `The plans differ in ${plan.differences.length} ${plan.differences.length === 1 ? "key" : "keys"}.`,
    ...(plan.differences.length > 0
      ? [
          table(
            ["key", "first", "second"],
            plan.differences.map(({ key, first, second }) => [key, cut(first), cut(second)]),
          ),
        ]
      : []),
    ...strings.map(
      ({ task, split, shared, firstOnly: one, secondOnly: other }) =>
        `${task}, ${split === "train" ? "train" : "held-out"} strings: ${shared} shared, ${one} in the first alone, ${other} in the second alone.`,
    ),
    table(HEADER, pairs.map(pairRow)),
    ...pairs.flatMap(whyNone),
    ...pairs.flatMap(unpairedText),
    ...leftOut.map(
      ({ target, task, property }) =>
        `Left out, since it hardly varies in one of the two: ${property} of ${target} on ${task}.`,
    ),
    ...(firstOnly.length > 0 ? [`In the first alone: ${firstOnly.join(", ")}.`] : []),
    ...(secondOnly.length > 0 ? [`In the second alone: ${secondOnly.join(", ")}.`] : []),
    ...(["first", "second"] as const).flatMap((run) =>
      judges[run].map(
        (judge) =>
          `In the ${run}: ${judgeText(judge)}.${judge.fit ? "" : " It is unfit, and nothing of it is scored."}`,
      ),
    ),
    "Micro: every trial counts the same. Each prediction is held against what the target did in its own run. Exploratory.",
    ...(shown ? [shown.intervalMethod] : []),
  ].join("\n");
}

const HEADER = [
  "predictor → target",
  "scope",
  "trials",
  "first, %",
  "second, %",
  "second − first, points",
  "p (sign flip, Holm)",
  "behaviors differ",
  "predictions differ",
];

function pairRow(pair: RunDifferenceOfPair): string[] {
  const [micro] = pair.overall;
  return [
    `${pair.predictor} → ${pair.target}`,
    SCOPE_WORDS[pair.scope] || "all",
    String(pair.trials.paired),
    estimated(micro.first),
    estimated(micro.second),
    estimated(micro.difference),
    pair.holmP.ok ? pair.holmP.p.toPrecision(2) : "—",
    shareText(pair.behaviorsDiffer),
    shareText(pair.predictionsDiffer),
  ];
}

function whyNone({ predictor, target, overall: [{ difference }] }: RunDifferenceOfPair): string[] {
  return difference.ok ? [] : [`${predictor} → ${target}: no difference: ${difference.reason}.`];
}

function unpairedText({ predictor, target, trials }: RunDifferenceOfPair): string[] {
  const { firstOnly, secondOnly, neither, notInFirst, notInSecond } = trials;
  const counts: [number, string][] = [
    [firstOnly, "counted in the first alone"],
    [secondOnly, "counted in the second alone"],
    [neither, "counted in neither"],
    [notInSecond, "asked in the first alone"],
    [notInFirst, "asked in the second alone"],
  ];
  const some = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return some.length === 0 ? [] : [`${predictor} → ${target}, trials not compared: ${some.join(", ")}.`];
}

function estimated(value: Estimate): string {
  if (!value.ok) return "—";
  const [is, low, high] = [value.value, value.low, value.high].map((one) => (100 * one).toFixed(1));
  return `${is} [${low}, ${high}]`;
}

function shareText({ count, of }: Share): string {
  return `${count} of ${of}`;
}

const LONGEST = 40;

function cut(text: string): string {
  const characters = [...text];
  return characters.length <= LONGEST ? text : `${characters.slice(0, LONGEST - 1).join("")}…`;
}
