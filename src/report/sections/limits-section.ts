/** What this study cannot show, from what was and was not run; and every warning in full. */

import { elsewhereLimits } from "./elsewhere-section.js";
import type { NoiseFloor } from "../../ask/noise-floor.js";
import type { AnswerForms } from "../../score/letter-use.js";
import type { CellScore, Scores } from "../../score/scores.js";
import type { HardlyVarying } from "../../score/varying.js";
import { hasInputOnly } from "../../score/verdicts/verdict.js";
import { stringNotes } from "../../study/choose-strings.js";
import type { Plan } from "../../study/plan.js";
import {
  type Block,
  formatCount,
  formatPercent,
  formatNats,
  formatShare,
  type Inline,
  aside,
  paragraph,
  type Section,
  shareCell,
} from "../document.js";
import type { ReportInput } from "../make-report.js";
import { changeLimits, joinWords, notJudged, type PairNames, propertyLabel, readableName } from "../terms.js";
import { JUDGED_BY_COMPARISON, trainingLimits } from "./training-section.js";
import { statesOf } from "../../study/states.js";

// What results take for granted, in this study: from its plan and scores, so that nothing is assumed silently.

function assumptionsOf({ plan, scores }: Pick<ReportInput, "plan" | "scores">): string[] {
  return [
    ...judged(scores),
    ...labels(plan),
    ...wordings(plan),
    ...addressed(plan),
    ...weights(plan),
    ...fewStrings(scores.averages),
  ];
}

/** Averages hold what judges say beside what rules read. */
function judged({ judges = [] }: Scores): string[] {
  const used = judges.filter((judge) => judge.fit);
  if (used.length === 0) return [];
  return [
    `Averages and comparisons take what ${used.length === 1 ? "a judge says" : "judges say"} of ${joinWords(used.map(({ property }) => readableName(property)))} as what the answers are: errors of ${used.length === 1 ? "a judge" : "judges"} are in them and in no interval.`,
  ];
}

/** Percentile intervals of fewer clusters cover too little. */
const FEW_STRINGS = 50;

/** M's labels, M1's behavior. */
function labels({ adapters = {}, predictions }: Plan): string[] {
  const itself = predictions.filter(
    ({ predictor, target }) =>
      predictor === target && adapters[predictor] && !adapters[predictor].change && !adapters[predictor].implant,
  );
  if (itself.length === 0) return [];
  return [
    `${joinWords(itself.map(({ predictor }) => predictor))} learnt what the model did before training, and ${itself.length === 1 ? "is" : "are"} scored also about what ${itself.length === 1 ? "it does" : "they do"} since: where training moved behavior, a prediction that is true to the labels counts as wrong there.`,
  ];
}

function wordings(plan: Plan): string[] {
  const { all, trained: adapters } = statesOf(plan);
  if (adapters.length === 0) return [];
  const others = [...new Set(all.flatMap(({ wording }) => (wording === undefined ? [] : [wording])))];
  const trained = joinWords(plan.hypothetical.variants.map((name) => `“${readableName(name)}”`));
  return [
    others.length === 0
      ? `Trained predictors are asked in the wording that they were trained on (${trained}) and in no other (study key controls.wordings): that the gain is one of knowing rather than of the wording is assumed.`
      : `Main results are in the wording that was trained on (${trained}); only self-predictors were asked in another (${joinWords(others.map(readableName))}).`,
  ];
}

/** Who is asked of "your response" and means another's. */
function addressed(plan: Plan): string[] {
  const states = statesOf(plan);
  const cross = plan.predictions.filter(
    ({ predictor, target }) =>
      states.of(predictor).origin !== states.of(target).origin && states.of(predictor).role !== "changed",
  );
  if (cross.length === 0) return [];
  const untold = [...new Set(cross.map(({ predictor }) => predictor))].filter(
    (name) => !states.of(name).isTrained && !states.of(name).shown,
  );
  return [
    "Questions say “you” to everybody: predictors of another model are asked in the very words in which self is, and know whose behavior is meant from examples alone.",
    ...(untold.length > 0
      ? [
          `${joinWords(untold)} had no such examples: what ${untold.length === 1 ? "it says" : "they say"} is about ${untold.length === 1 ? "itself" : "themselves"}, and only scored as if it were about another.`,
        ]
      : []),
  ];
}

function weights({ models, engine }: Plan): string[] {
  return Object.entries(models).flatMap(([name, { roundedTo, layersRemoved, encoding }]) => [
    ...(roundedTo
      ? [`${name} runs on weights rounded to the grid of ${roundedTo.fileType}: results are about those.`]
      : []),
    ...(layersRemoved
      ? [
          `${name} is no model of its own: it is another file's network without ${formatCount(layersRemoved.layers.length)} of its ${formatCount(layersRemoved.of)} layers, so it may know its source better than a stranger would.`,
        ]
      : []),
    ...(/^(f32|f16|bf16)$/i.test(encoding)
      ? []
      : [
          engine.forward === "own"
            ? `${name} runs on quantized weights (${encoding}), multiplied exactly as the file has them: results are about this file, and llama.cpp's CPU kernels, which round activations to 8 bits, may answer otherwise where margins are small.`
            : `${name} runs on quantized weights (${encoding}): answers with small margins may turn over with the batch, which the noise floor measures.`,
        ]),
  ]);
}

function fewStrings(averages: ReportInput["scores"]["averages"]): string[] {
  const counts = averages.flatMap(({ accuracy }) => (accuracy.ok ? [accuracy.clusters] : []));
  const least = Math.min(...counts);
  return counts.length > 0 && least < FEW_STRINGS
    ? [
        `Some averages rest on ${formatCount(least)} strings only, fewer than ${FEW_STRINGS}: bootstrap intervals over so few strings are rough, and mostly too narrow.`,
      ]
    : [];
}

// What the strings alone give away is known only as far as the baselines can tell.

function inputOnlyLimits({ scores, inputOnly = {} }: Pick<ReportInput, "scores" | "inputOnly">): string[] {
  const skipped = Object.entries(inputOnly).flatMap(([state, cells]) =>
    cells.flatMap((cell) => (cell.ok ? [] : [{ state, ...cell }])),
  );
  const [first, ...others] = skipped;
  const more = others.length === 0 ? "" : `, and for ${formatCount(others.length)} more`;
  const without = first
    ? [
        `No classifier of strings was trained for ${readableName(first.property)} in ${readableName(first.task)}, as ${first.state} answers (${first.reason})${more}.`,
      ]
    : [];
  return hasInputOnly(scores)
    ? [
        "How far the strings give the behavior away is known from modes, simple rules and one classifier of words and letters; one that knows what words mean, or that learnt from more strings, may do better.",
        ...without,
      ]
    : [
        "Simple rules and modes are the only baselines: no classifier was trained on the strings, so how far the strings give the behavior away is known only in part.",
        ...without,
      ];
}

export function limitsSection(input: ReportInput): Section {
  const { scores, taskWarnings } = input;
  const isMain = (pair: PairNames) => statesOf(input.plan).isMain(pair);
  const withWarnings = scores.cells.filter((cell) => cell.warnings.length > 0);
  const warned = withWarnings.filter(isMain);
  const assumptions = assumptionsOf(input);
  const letters = letterSentences(scores.cells.filter(isMain));
  return {
    id: "limits",
    title: "Assumptions and limits",
    blocks: [
      ...(assumptions.length === 0 ? [] : [subheading("Assumptions"), list(assumptions.map((text) => [text]))]),
      subheading("Limits: what was and was not run"),
      list(limitsOf(input).map((text) => [text])),
      ...(taskWarnings.length === 0 ? [] : [subheading("Warnings"), list(taskWarnings.map((text) => [text]))]),
      ...(letters.length === 0
        ? []
        : [subheading("Letters of the options that were chosen"), list(letters.map((text) => [text]))]),
      ...(warned.length === 0
        ? []
        : [subheading("Warnings per task and property"), list(warned.map(cellWarning(scores.cells)))]),
      ...(warned.length === withWarnings.length
        ? []
        : [
            aside(
              `Of other seeds, series, controls, wordings and changed models ${formatCount(withWarnings.length - warned.length)} more have warnings (08-scores.json).`,
            ),
          ]),
    ],
  };
}

function limitsOf(
  input: Pick<ReportInput, "plan" | "scores" | "noiseFloors" | "comparisons" | "inputOnly" | "matrix" | "shifts">,
): string[] {
  const { plan, noiseFloors, comparisons } = input;
  const compared = (comparisons?.comparisons.length ?? 0) > 0;
  return [
    ...(statesOf(plan).trained.length > 0
      ? trainingLimits(plan, compared)
      : plan.predictions.length > 0
        ? models(plan, compared, input.matrix !== undefined)
        : [
            "No predictions: whether a model knows what it does is not asked. A study with predictions of its own, or of another model, asks it.",
          ]),
    ...elsewhereLimits(plan),
    ...notJudged(plan),
    ...changeLimits(input.shifts),
    ...asking(plan),
    ...noise(plan, noiseFloors),
    ...reencoded(plan),
    ...inputOnlyLimits(input),
    ...notAveraged(input.scores),
    ...stringNotes(plan),
    "Intervals say what other strings of the same lists could have given. They say nothing about other tasks, wordings or models.",
    "Rows of the table are read side by side without a correction for their number: with many rows some intervals exclude 0 by chance.",
  ];
}

function models({ predictions }: Plan, compared: boolean, matrix: boolean): string[] {
  const states = new Set(predictions.flatMap(({ predictor, target }) => [predictor, target]));
  const self = predictions.some(({ predictor, target }) => predictor === target);
  const cross = predictions.some(({ predictor, target }) => predictor !== target);
  const privileged =
    states.size === 1
      ? "One model only: privileged access is not measured, since no other model predicts the same behavior."
      : compared
        ? JUDGED_BY_COMPARISON
        : matrix
          ? "Privileged access is looked at under “Every predictor about every target”, where every predictor is held against every target."
          : self && cross
            ? "Self-predictions and cross-predictions stand side by side; their difference on the same trials, which would measure privileged access, is not computed here."
            : `Only ${self ? "self-predictions" : "cross-predictions"} were asked: privileged access is not measured.`;
  return [
    `No adapter was trained: ${states.size === 1 ? "this is the untrained model" : "these are the untrained models"}.`,
    privileged,
  ];
}

function asking(plan: Plan): string[] {
  const withExamples = plan.tasks.filter((task) => task.examples && task.definition.examples.length > 0);
  const names = joinWords(withExamples.map((task) => readableName(task.definition.name)));
  const noTrain = plan.tasks.filter((task) => task.train.length === 0);
  const { variants } = plan.hypothetical;
  return [
    ...(withExamples.length === 0
      ? []
      : [
          `Object-level questions of ${names} came after solved examples, which the hypothetical question does not quote: the two are not asked in the same setting.`,
        ]),
    ...(noTrain.length === 0
      ? []
      : [
          `No train strings were asked for ${joinWords(noTrain.map((task) => readableName(task.definition.name)))}: the train-label mode baseline is missing there.`,
        ]),
    variants.length === 1
      ? `One wording of the hypothetical question (${readableName(variants[0] as string)}): how much the wording matters is not measured.`
      : `${formatCount(variants.length)} wordings of the hypothetical question count together in the averages.`,
    plan.objectLevel.temperature === 0
      ? `Object-level answers are greedy: ${plan.calibration ? "accuracies say nothing about behavior when sampled; calibration is about that" : "how behavior varies when sampled, and whether predicted probabilities are calibrated, is not measured"}.`
      : (plan.objectLevel.samples ?? 1) === 1
        ? "One sampled object-level answer per string: how behavior varies between samples is not measured."
        : `Object-level answers were drawn ${formatCount(plan.objectLevel.samples as number)} times per string; adapters, shown pairs and baselines learn from one draw of each train string.`,
  ];
}

/** By task and property, the targets that it is so of. */
function notAveraged({ notAveraged: left }: Scores): string[] {
  if (left.length === 0) return [];
  const cells = new Map<string, HardlyVarying[]>();
  for (const one of left) {
    const name = `${readableName(one.property)} in ${readableName(one.task)}`;
    cells.set(name, [...(cells.get(name) ?? []), one]);
  }
  const named = [...cells].map(([name, some]) => {
    const shares = some.map(
      ({ target, value, modeShare }) => `${target}: “${value}” ${(100 * modeShare).toFixed(0)} %`,
    );
    return `${name} (${shares.join(", ")})`;
  });
  return [
    `Shown, not averaged, compared or judged, because the target's train strings hardly vary there: ${named.join("; ")}. Train strings alone decide this, for every predictor of the target alike.`,
  ];
}

function noise(plan: Plan, floors: readonly NoiseFloor[]): string[] {
  const states = [...new Set(plan.predictions.flatMap(({ predictor, target }) => [predictor, target]))];
  const unmeasured = states.filter((state) => !floors.some((floor) => floor.state === state && floor.questions > 0));
  const unsteady = floors.filter((floor) => floor.sameTokens < floor.questions);
  return [
    ...(unmeasured.length === 0 ? [] : [`The noise floor of ${joinWords(unmeasured)} was not measured.`]),
    ...unsteady.map(
      (floor) =>
        `${floor.state} answered ${formatCount(floor.questions - floor.sameTokens)} of ${formatCount(floor.questions)} questions with other tokens when asked again: read the results above the noise floor.`,
    ),
  ];
}

function reencoded({ models }: Plan): string[] {
  return Object.entries(models).flatMap(([state, { encoding, reencodedFrom }]) =>
    reencodedFrom
      ? [
          `${state} ran from a re-encoding of the ${reencodedFrom.encoding} file as ${encoding}; the file as shipped may answer differently.`,
        ]
      : [],
  );
}

/** Of every target on every task with options: which letters, and whether they stand for an option. */
function letterSentences(cells: readonly CellScore[]): string[] {
  const targets = new Set(cells.map(({ target }) => target));
  const sentences = cells.flatMap(({ target, task, letterUse }) => {
    const most = letterUse?.letters[0];
    if (!letterUse || !most) return [];
    const { letters, sameOption, forms, rotated } = letterUse;
    const answers = letters.reduce((sum, { count }) => sum + count, 0);
    const who = targets.size > 1 ? `${target}, ` : "";
    const orders =
      sameOption === undefined
        ? rotated
          ? "options were scored in every rotation of their order"
          : "every string was asked in one order of its options"
        : sameOption.of === 0
          ? "in no scenario was an option chosen in both orders"
          : `both orders of a scenario led to the same option in ${formatCount(sameOption.count)} of ${formatCount(sameOption.of)} (${formatPercent(sameOption.count / sameOption.of)})`;
    return [
      `${who}${readableName(task)}: ${most.value} in ${formatPercent(most.count / answers)} of ${formatCount(answers)} answers; ${orders}.${forms === undefined ? "" : formsText(forms)}`,
    ];
  });
  return [...new Set(sentences)];
}

/** Strict compliance apart from what a lenient reader understands. */
function formsText({ written, lenient, none, lenientCounts, byLogprob }: AnswerForms): string {
  const counted = lenientCounts
    ? "which counts here"
    : byLogprob
      ? "none of which counts"
      : "which does not count (reading: strict)";
  const whose = byLogprob ? " These are the likeliest options (answerBy: logprob). Of what was written," : "";
  return `${whose} ${formatCount(written)} answers are a letter and nothing else, ${formatCount(lenient)} name one in more words, ${counted}, and ${formatCount(none)} name none.`;
}

function cellWarning(all: readonly CellScore[]): (cell: CellScore) => Inline[] {
  const pairs = new Set(all.map((cell) => JSON.stringify([cell.predictor, cell.target])));
  const several = new Set(all.map((cell) => cell.variant)).size > 1;
  return (cell) => {
    const who = pairs.size > 1 ? `${cell.predictor} about ${cell.target}, ` : "";
    return [{ strong: `${who}${readableName(cell.task)}, ${propertyLabel(cell, several)}. ` }, cell.warnings.join(" ")];
  };
}

function subheading(title: string): Block {
  return { kind: "subheading", title };
}

function list(items: readonly (readonly Inline[])[]): Block {
  return { kind: "list", items };
}

// What asking the same questions again changed, per model state.

export function noiseSection(floors: readonly NoiseFloor[], scores: Scores): Section {
  const title = "Noise floor";
  if (floors.length === 0) {
    return { id: "noise", title, blocks: [paragraph("Not measured: no question was asked twice.")] };
  }
  const changed = floors.reduce((sum, floor) => sum + floor.questions - floor.sameTokens, 0);
  const asked = floors.reduce((sum, floor) => sum + floor.questions, 0);
  return {
    id: "noise",
    title,
    blocks: [
      paragraph(
        `${formatCount(asked)} questions were asked again in another order and batch composition. `,
        changed === 0
          ? "Every answer had the same tokens both times."
          : `${formatShare({ count: changed, of: asked })} were answered with other tokens: what differs there is noise of the machine, not behavior.`,
      ),
      {
        kind: "table",
        caption: "Differences between asking and asking again; logprobs and margins in nats",
        columns: [
          { title: "Model state", align: "left" },
          { title: "Same tokens", align: "right" },
          { title: "Positions compared", align: "right" },
          { title: "Mean logprob difference", align: "right" },
          { title: "Largest logprob difference", align: "right" },
          { title: "Largest margin difference", align: "right" },
        ],
        rows: floors.map((floor) => ({
          cells: [
            { text: floor.state },
            shareCell({ count: floor.sameTokens, of: floor.questions }),
            { text: formatCount(floor.positions) },
            ...[floor.meanLogprobDifference, floor.maxLogprobDifference, floor.maxMarginDifference].map((nats) => ({
              text: formatNats(nats),
            })),
          ],
        })),
      },
      aside(
        `A trial counts as above the noise floor when every token of its answer and reply led the next best token by more than ${formatNats(scores.noiseFloorNats)} nats.`,
      ),
    ],
  };
}
