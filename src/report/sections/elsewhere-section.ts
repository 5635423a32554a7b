/** Models that other programs asked: which logs their answers stand in, what those answers are, and what is not known of them. */

import type { AnsweredCell } from "../../score/answered.js";
import type { Scores } from "../../score/scores.js";
import type { Plan, PlannedLog } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import {
  aside,
  type Block,
  estimateCell,
  formatBits,
  formatCount,
  formatMissing,
  formatPercent,
  left,
  paragraph,
  pairCell,
  right,
  type Section,
  shortened,
} from "../document.js";
import { joinWords, plural, type PropertyNames, readableName, reasonWords } from "../terms.js";

/** @returns nothing where everybody was asked here */
export function elsewhereSection(plan: Plan, scores: Scores, property: PropertyNames): Section | undefined {
  const states = statesOf(plan).all.flatMap(({ name, elsewhere }) => (elsewhere ? [{ name, elsewhere }] : []));
  if (states.length === 0) return undefined;
  return {
    id: "elsewhere",
    title: "Made elsewhere",
    blocks: [
      paragraph(
        `${joinWords(states.map(({ name }) => name))}: nobody here asked. The answers were read from logs of other programs, with the prompts that stand in them. `,
        "Of these answers the text is known, and no token, logprob or margin: there is no noise floor of them, nothing above it, and no distribution.",
      ),
      ...states.flatMap(({ name, elsewhere }) => [
        ...(elsewhere.answers ?? []).map((log) => logFacts(name, "object-level answers", log, promptWords(log))),
        ...(elsewhere.predictions ?? []).map((log) =>
          logFacts(name, "answers to hypothetical questions", log, "the log's own, in no wording of this study"),
        ),
        ...(elsewhere.stringsLeftOut > 0
          ? [
              aside(
                `${name}: ${plural(elsewhere.stringsLeftOut, "string", formatCount(elsewhere.stringsLeftOut))} of the study's tasks stand in no log and were never chosen.`,
              ),
            ]
          : []),
      ]),
      ...answeredTable(scores, property),
      ...reportedTable(plan, scores),
    ],
  };
}

function logFacts(name: string, what: string, log: PlannedLog, prompts: string): Block {
  const { source, sha256, format, version, model, task, temperatures, answers, taken, missing, mapping, notes } = log;
  const facts: [string, string][] = [
    ["Model", model ?? formatMissing("the log does not say")],
    ["Written by", version ?? `${format}, ${formatMissing("its version is not in it")}`],
    ["About", `${readableName(task)}: ${formatCount(taken)} of its ${formatCount(answers)} answers are taken`],
    ["Without an answer", missingWords(missing)],
    ["Temperature", temperatures.length === 0 ? formatMissing("the log names none") : temperatures.join(", ")],
    ["Prompts", prompts],
    ["What a sample is about", mappingWords(mapping)],
    ...(log.byLoglikelihood > 0
      ? [
          [
            "Chosen, not said",
            `${formatCount(log.byLoglikelihood)} answers are the letter of the option with the best ${mapping.choose === "acc_norm" ? "sum of logprobs by character" : "sum of logprobs"} in the log: nothing was generated`,
          ] as [string, string],
        ]
      : []),
    ...notes.map((note): [string, string] => ["Note", note]),
    ["sha256", sha256],
  ];
  return {
    kind: "facts",
    facts: [
      { name: `${name}, ${what}`, value: [{ code: source }] },
      ...facts.map(([fact, value]) => ({ name: fact, value: [value] })),
    ],
  };
}

function missingWords(missing: PlannedLog["missing"]): string {
  const all = Object.entries(missing).map(([reason, count]) => `${reason}: ${formatCount(count)}`);
  return all.length === 0 ? "none" : all.join("; ");
}

/** The question that predictors are asked about quotes the study's own words of a task. */
function promptWords({ taken, otherQuestion, turnsBefore }: PlannedLog): string {
  const other =
    otherQuestion === 0
      ? "the last turn is the question as the task has it"
      : `in ${formatCount(otherQuestion)} of ${formatCount(taken)} the last turn is not the question as the task has it, which hypothetical questions here quote`;
  const before =
    turnsBefore === 0
      ? ""
      : `; in ${formatCount(turnsBefore)} other turns, or a system message, stand before it that are quoted nowhere here`;
  return `${other}${before}`;
}

function mappingWords(mapping: PlannedLog["mapping"]): string {
  return Object.entries(mapping)
    .filter(([key]) => key !== "choose")
    .map(([key, value]) => `${key}: ${typeof value === "string" ? value : `column ${value.column}`}`)
    .join(", ");
}

const MOST_VALUES = 5;
const LONGEST_VALUE = 30;

function answeredTable({ answered = [], confidence }: Scores, property: PropertyNames): Block[] {
  if (answered.length === 0) return [];
  const several = new Set(answered.map(({ target }) => target)).size > 1;
  return [
    {
      kind: "table",
      caption: `What was answered to held-out strings, with ${Number((100 * confidence).toFixed(6))} % intervals (cluster bootstrap by string). The share of the most common value is what always saying it would be right in, chosen after seeing the answers`,
      columns: [
        left("Task, property"),
        right("Answers / strings"),
        right("Values"),
        left("Most common"),
        right("Its share"),
        right("Entropy, bits"),
        left("Without a value"),
      ],
      rows: answered.map((cell) => ({
        cells: [
          { text: `${several ? `${cell.target}, ` : ""}${readableName(cell.task)}, ${property(cell.property)}` },
          pairCell(cell.modeShare, "none has a value"),
          { text: formatCount(cell.values.length) },
          { text: valueWords(cell) },
          estimateCell(cell.modeShare),
          { text: cell.counted === 0 ? "—" : formatBits(cell.entropyBits) },
          { text: reasonsOf(cell) },
        ],
      })),
    },
  ];
}

function valueWords({ values }: AnsweredCell): string {
  const shown = values
    .slice(0, MOST_VALUES)
    .map(({ value, count }) => `“${shortened(value, LONGEST_VALUE)}” ${formatCount(count)}`);
  const more = values.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${formatCount(more)} more` : ""}`;
}

function reasonsOf({ missing }: AnsweredCell): string {
  const all = Object.entries(missing).map(([reason, count]) => `${reasonWords(reason)}: ${formatCount(count)}`);
  return all.length === 0 ? "none" : all.join("; ");
}

function reportedTable(plan: Plan, { reportedRight = [], confidence }: Scores): Block[] {
  if (reportedRight.length === 0) return [];
  const metricOf = (target: string, task: string) =>
    statesOf(plan)
      .of(target)
      .elsewhere?.answers?.find((log) => log.task === task)?.reported?.metric ?? "its own score";
  return [
    {
      kind: "table",
      caption: `How right the logs themselves count these answers, with ${Number((100 * confidence).toFixed(6))} % intervals (cluster bootstrap by string), and whether an answer is right as it is read here`,
      columns: [
        left("Model, task"),
        left("Metric"),
        right("Right"),
        right("Answers / strings"),
        left("Read here the same"),
      ],
      rows: reportedRight.map(({ target, task, right: share, agrees }) => ({
        cells: [
          { text: `${target}, ${readableName(task)}` },
          { text: metricOf(target, task) },
          estimateCell(share),
          pairCell(share),
          agrees === undefined
            ? { text: formatMissing("no answer is held against a right one here"), missing: true }
            : {
                text: `${formatPercent(agrees.count / agrees.of)} (${formatCount(agrees.count)} of ${formatCount(agrees.of)})`,
              },
        ],
      })),
    },
  ];
}

/** For the report's limits. */
export function elsewhereLimits(plan: Plan): string[] {
  const names = statesOf(plan).all.flatMap(({ name, elsewhere }) => (elsewhere ? [name] : []));
  if (names.length === 0) return [];
  const askedAboutIt = plan.predictions.flatMap(({ predictor }) => (names.includes(predictor) ? [predictor] : []));
  const here = plan.predictions.some((pair) => names.includes(pair.target) !== names.includes(pair.predictor));
  return [
    `What ${joinWords(names)} said was asked elsewhere: that the logs hold what was said, under the prompts and settings that they name, is taken from them.`,
    ...(askedAboutIt.length > 0
      ? [
          `Whether the hypothetical questions that ${joinWords([...new Set(askedAboutIt)])} was asked show the answers that they are about, or quote the same prompts, cannot be seen here: it stands in the log alone.`,
        ]
      : []),
    ...(here
      ? [`Whether a model here has the same weights as ${joinWords(names)} is not known: it counts as another model.`]
      : []),
  ];
}
