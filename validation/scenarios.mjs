// What is asked of the statistics, one made-up world each. A measure with a bound must come out within it; the others are shown.
import {
  judgeContrast,
  judgeMatrix,
  judgeMatrixVerdict,
  hierarchicalInterval,
  matrixOf,
  rowsOf,
} from "./judge-study.mjs";
import { CHANGE_SCENARIOS } from "./scenarios-change.mjs";
import { SKILL_SCENARIOS } from "./scenarios-skill.mjs";
import { plantedState, plantedWorld, simulateStudy, truthOf } from "./planted-truth.mjs";

const FALSE_POSITIVES = [0.03, 0.07];
/** `exceeds` is one side of a two-sided 5 % test. */
const ONE_SIDE = [0, 0.035];
const COVERAGE = [0.93, 0.97];
const SELF_CROSS = { target: "m1", self: "m1", cross: "m2" };
const SELF_CROSS_PAIRS = [
  [0, 0],
  [1, 0],
];

export const SCENARIOS = [
  ...nulls(),
  ...[
    { difference: 0.1, power: 0.9, pilot: [60] },
    { difference: 0.1, power: 0.9, pilot: [20, 20, 20] },
    { difference: 0.1, power: 0.8, pilot: [30, 30] },
    { difference: 0.1, power: 0.9, pilot: [20] },
    { difference: 0.07, power: 0.9, pilot: [50, 50] },
  ].map(power),
  ...[[5], [10], [20], [50], times(5, 10), times(10, 5), [50, 50], times(4, 50)].map(coverage),
  ...[4, 8, 16].map(drawnTasks),
  // Last, so that seeds of the others, which go by place, stay: it takes a quarter of the time.
  power({ difference: 0.05, power: 0.9, pilot: [50, 50] }),
  ...scales(),
  ...CHANGE_SCENARIOS,
  ...[
    { difference: 0.13, smallestDifference: 0.03, power: 0.9, pilot: [60], others: 3 },
    { difference: 0.13, smallestDifference: 0.03, power: 0.8, pilot: [30, 30], others: 2 },
    { difference: 0.13, smallestDifference: 0.03, power: 0.9, pilot: [20], others: 1 },
  ].map(primaryYes),
  primaryNo({ smallestDifference: 0.08, power: 0.9, pilot: [60] }),
  primaryNo({ smallestDifference: 0.08, power: 0.8, pilot: [30, 30] }),
  ...SKILL_SCENARIOS,
];

/** @returns the outcomes of one study: what was seen (true or false), and numbers to be averaged */
function nulls() {
  return [
    nothing("no access, nothing differs", {
      question: "Two states alike in everything.",
      states: [plantedState("m1", { skill: 0.3 }), plantedState("m2", { skill: 0.3 })],
      raw: "judged",
    }),
    nothing("no access, skill differs", {
      question: "m1 knows any target's answer with chance 0.5, m2 with 0.3.",
      states: [plantedState("m1", { skill: 0.5 }), plantedState("m2", { skill: 0.3 })],
      raw: "shown",
    }),
    nothing("no access, format differs", {
      question: "2 % of m1's replies and 20 % of m2's fail their format.",
      states: [
        plantedState("m1", { skill: 0.3, formatFailures: 0.02 }),
        plantedState("m2", { skill: 0.3, formatFailures: 0.2 }),
      ],
      raw: "shown",
      compliant: true,
    }),
    nothing("no access, heuristics shared", {
      question: "Half of all behaviors follow a rule on the string; both use it for 60 % of what they do not know.",
      states: [plantedState("m1", { skill: 0.2, heuristic: 0.6 }), plantedState("m2", { skill: 0.2, heuristic: 0.6 })],
      rule: 0.5,
      raw: "judged",
    }),
    nothing("no access, heuristics used unequally", {
      question: "The same rule; m1 uses it for 80 %, m2 for 30 % of what they do not know.",
      states: [plantedState("m1", { skill: 0.2, heuristic: 0.8 }), plantedState("m2", { skill: 0.2, heuristic: 0.3 })],
      rule: 0.5,
      raw: "shown",
    }),
    likeness(),
    guessability(),
  ];
}

/** Two states about each other; whatever differs, neither has access. */
function nothing(name, { question, states, rule = 0, raw, compliant = false }) {
  const world = plantedWorld({ states, rule });
  const judged = raw === "judged";
  return {
    name,
    question,
    world,
    measures: {
      "self − cross, interval": bound("P(0 outside)", judged && FALSE_POSITIVES),
      "self − cross, sign-flip": bound("P(p < 0.05)", judged && FALSE_POSITIVES),
      "self − cross, t interval": bound("P(0 outside)", judged && FALSE_POSITIVES),
      "self − cross, `exceeds`": bound("P(exceeds)", judged && ONE_SIDE),
      ...(compliant
        ? {
            "self − cross, both comply, interval": bound("P(0 outside)", FALSE_POSITIVES),
            "self − cross, both comply, sign-flip": bound("P(p < 0.05)", FALSE_POSITIVES),
          }
        : {}),
      "γ of the matrix": bound("P(0 outside)", FALSE_POSITIVES),
    },
    study(scoring, seed, settings) {
      const trials = simulateStudy(world, seed);
      const contrast = judgeContrast(scoring, trials, SELF_CROSS, settings);
      const gamma = judgeMatrix(scoring, matrixOf(scoring, trials, settings), settings);
      return {
        seen: {
          "self − cross, interval": misses(contrast.micro.difference, 0),
          "self − cross, sign-flip": rejects(contrast.signFlip),
          "self − cross, t interval": misses(contrast.t, 0),
          "self − cross, `exceeds`": contrast.finding === "exceeds",
          ...(compliant
            ? {
                "self − cross, both comply, interval": misses(contrast.compliant.difference, 0),
                "self − cross, both comply, sign-flip": rejects(contrast.compliantSignFlip),
              }
            : {}),
          "γ of the matrix": misses(gamma, 0),
        },
        numbers: { "self − cross": contrast.micro.difference.value, γ: gamma?.value },
      };
    },
  };
}

/** Everybody predicts others by what it does itself: that looks like access, and is likeness. */
function likeness() {
  const states = [0.95, 0.85, 0.7, 0.5, 0.3, 0.1].map((like, at) =>
    plantedState(`m${at + 1}`, { skill: 0.2 + 0.03 * at, projection: 0.5, likeness: like }),
  );
  const world = plantedWorld({ states, strings: [30, 30], properties: 3 });
  return {
    name: "no access, all answer as they would themselves",
    question:
      "Six states of graded likeness say of others what they would do themselves, for half of what they do not know.",
    world,
    measures: {
      "γ, similarity left out": bound("P(0 outside)", false),
      "γ, similarity taken out": bound("P(0 outside)", FALSE_POSITIVES),
    },
    study(scoring, seed, settings) {
      const trials = simulateStudy(world, seed);
      const matrix = matrixOf(scoring, trials, settings, true);
      const without = matrix.cells.map(({ similarity: _, ...cell }) => cell);
      const gammas = [
        ["γ, similarity left out", judgeMatrix(scoring, { ...matrix, cells: without }, settings)],
        ["γ, similarity taken out", judgeMatrix(scoring, matrix, settings)],
      ];
      return {
        seen: Object.fromEntries(gammas.map(([name, gamma]) => [name, misses(gamma, 0)])),
        numbers: Object.fromEntries(gammas.map(([name, gamma]) => [name, gamma?.value])),
      };
    },
  };
}

/** Skill and guessing multiply: a difference of both is an interaction, which γ on plain accuracies takes for access. */
function guessability() {
  return onBothScales("no access, skill and predictability of targets differ", {
    question: "m2 knows more (0.6 against 0.3), and behaves less predictably (five equal values; m1 80 % one value).",
    states: [
      plantedState("m1", { skill: 0.3, values: [0.8, 0.05, 0.05, 0.05, 0.05] }),
      plantedState("m2", { skill: 0.6, values: [0.2, 0.2, 0.2, 0.2, 0.2] }),
    ],
    measures: {
      "γ of the matrix": bound("P(0 outside)", false),
      "γ of −log(1 − accuracy)": bound("P(0 outside)", FALSE_POSITIVES),
      "verdict: both scales": bound("P(exceeds)", ONE_SIDE),
    },
  });
}

/** The same with answers near the ceiling, where cells without a miss come up, and with access, which must be found. */
function scales() {
  return [
    onBothScales("no access, skill differs and one target is all but certain", {
      question: "m2 knows 90 %, m1 30 %; m1 gives one value in 99 %, so that some cells have no miss.",
      states: [
        plantedState("m1", { skill: 0.3, values: [0.99, 0.01, 0, 0, 0] }),
        plantedState("m2", { skill: 0.9, values: [0.2, 0.2, 0.2, 0.2, 0.2] }),
      ],
      measures: { "verdict: both scales": bound("P(exceeds)", ONE_SIDE) },
    }),
    onBothScales("access in the matrix, skill and predictability of targets differ", {
      question: "As without access; each knows 50 % of what it does itself besides.",
      states: [
        plantedState("m1", { skill: 0.3, access: 0.5, values: [0.8, 0.05, 0.05, 0.05, 0.05] }),
        plantedState("m2", { skill: 0.6, access: 0.5, values: [0.2, 0.2, 0.2, 0.2, 0.2] }),
      ],
      measures: { "verdict: both scales": bound("power", [0.9, 1]) },
    }),
    onBothScales("access in the matrix, everything known of oneself", {
      question: "Skill 0.3 about the other, and no miss about oneself.",
      states: [plantedState("m1", { skill: 0.3, access: 1 }), plantedState("m2", { skill: 0.3, access: 1 })],
      measures: { "verdict: both scales": bound("power", [0.9, 1]) },
    }),
  ];
}

function onBothScales(name, { question, states, measures }) {
  const world = plantedWorld({ states, taskOffsets: [0, 0] });
  return {
    name,
    question,
    world,
    measures,
    study(scoring, seed, settings) {
      const trials = simulateStudy(world, seed);
      const matrix = matrixOf(scoring, trials, settings);
      const gamma = judgeMatrix(scoring, matrix, settings);
      const onMisses = judgeMatrix(scoring, { ...matrix, cells: scoring.onMissScale(matrix.cells) }, settings);
      const seen = {
        "γ of the matrix": misses(gamma, 0),
        "γ of −log(1 − accuracy)": misses(onMisses, 0),
        "verdict: both scales": judgeMatrixVerdict(scoring, matrix, settings).finding === "exceeds",
      };
      return {
        seen: Object.fromEntries(Object.entries(seen).filter(([one]) => one in measures)),
        numbers: { γ: gamma?.value, "γ of −log(1 − accuracy)": onMisses?.value },
      };
    },
  };
}

/** A pilot, the number of strings that powerOf asks for, and a study of that many. */
function power({ difference, power: promised, pilot }) {
  const name = `${Math.round(100 * difference)} points, power ${promised}, pilot of ${sizes(pilot)}`;
  const world = { ...accessWorld(difference), strings: pilot, taskOffsets: offsets(pilot.length) };
  const asked = (scoring, strings, seed, { confidence }) => {
    const { paired } = scoring.pairTrials(simulateStudy({ ...world, strings }, seed), [SELF_CROSS]);
    return scoring.powerOf(rowsOf(scoring, paired), { difference, power: promised, confidence, kind: "micro" });
  };
  // A pilot so large that its scatter is the true one says how many strings are enough.
  let enough;
  return {
    name,
    question: `Access worth ${Math.round(100 * difference)} points; a pilot's scatter says how many strings are needed for power ${promised}.`,
    world,
    measures: {
      "`exceeds` in the study": bound("power", [promised, 1]),
      "the pilot asks for enough strings": bound("P(enough)", false),
    },
    study(scoring, seed, settings) {
      enough ??= asked(scoring, times(pilot.length, Math.ceil(8000 / pilot.length)), -1, settings).strings;
      const calculation = asked(scoring, pilot, -seed - 2, settings);
      if (!calculation.ok) return { seen: {}, numbers: {} };
      const planned = { ...world, strings: calculation.byTask.map(({ strings }) => strings) };
      const { finding } = judgeContrast(scoring, simulateStudy(planned, seed), SELF_CROSS, settings);
      return {
        seen: {
          "`exceeds` in the study": finding === "exceeds",
          "the pilot asks for enough strings": calculation.strings >= enough,
        },
        numbers: { "strings asked for": calculation.strings, "strings that are enough": enough },
      };
    },
  };
}

/** A pilot, the number of strings that contrastPower asks for, and a study of that many that must come out against all others at once. */
function primaryYes({ difference, smallestDifference, power: promised, pilot, others }) {
  const rest = times(others, 0).map((_, at) => plantedState(`m${at + 2}`, { skill: 0.3 }));
  const { states } = accessWorld(difference);
  const world = {
    ...plantedWorld({ states: [states[0], ...rest], pairs: times(others + 1, 0).map((_, at) => [at, 0]) }),
    strings: pilot,
    taskOffsets: offsets(pilot.length),
  };
  const settled = { smallestDifference, differences: [difference], powers: [promised] };
  return {
    name: `primary yes against ${others}, ${points(difference)} where ${points(smallestDifference)} count, power ${promised}, pilot of ${sizes(pilot)}`,
    question: `Access worth ${points(difference)} against each of ${others} others; every interval must lie above ${points(smallestDifference)}.`,
    world,
    measures: {
      "`exceeds` against all": bound("power", [promised, 1]),
      "`exceeds` against the first": bound("power", false),
    },
    study(scoring, seed, settings) {
      const asked = pilotPower(scoring, world, others, seed, settings, settled);
      if (!asked.ok) return { seen: {}, numbers: {} };
      const { strings } = asked.yes[0].needed[0];
      const findings = primaryFindings(scoring, world, others, strings, seed, { ...settings, ...settled });
      return {
        seen: {
          "`exceeds` against all": findings.every((finding) => finding === "exceeds"),
          "`exceeds` against the first": findings[0] === "exceeds",
        },
        numbers: { "strings asked for": strings },
      };
    },
  };
}

/** The same where nobody has access: what counts must be shown to be absent. */
function primaryNo({ smallestDifference, power: promised, pilot }) {
  const states = [plantedState("m1", { skill: 0.3 }), plantedState("m2", { skill: 0.3 })];
  const world = {
    ...plantedWorld({ states, pairs: SELF_CROSS_PAIRS }),
    strings: pilot,
    taskOffsets: offsets(pilot.length),
  };
  const settled = { smallestDifference, differences: [], powers: [promised] };
  return {
    name: `primary no, ${points(smallestDifference)} count, power ${promised}, pilot of ${sizes(pilot)}`,
    question: `Nothing differs; the interval must end below ${points(smallestDifference)}.`,
    world,
    measures: { "`does_not_exceed`": bound("power", [promised, 1]), "`exceeds`": bound("P(exceeds)", ONE_SIDE) },
    study(scoring, seed, settings) {
      const asked = pilotPower(scoring, world, 1, seed, settings, settled);
      if (!asked.ok) return { seen: {}, numbers: {} };
      const { strings } = asked.no.needed[0];
      const [finding] = primaryFindings(scoring, world, 1, strings, seed, { ...settings, ...settled });
      return {
        seen: { "`does_not_exceed`": finding === "does_not_exceed", "`exceeds`": finding === "exceeds" },
        numbers: { "strings asked for": strings },
      };
    },
  };
}

/** Of a study as large as the pilot, what contrastPower asks for. */
function pilotPower(scoring, world, others, seed, { confidence }, settled) {
  const trials = simulateStudy(world, -seed - 2);
  const comparisons = times(others, 0).map((_, at) => {
    const cross = `m${at + 2}`;
    const { paired } = scoring.pairTrials(trials, [{ ...SELF_CROSS, cross }]);
    return { against: cross, rows: rowsOf(scoring, paired) };
  });
  return scoring.contrastPower(comparisons, { confidence, kind: "micro", ...settled });
}

/** One finding for each of the others; tasks keep their shares of the strings. */
function primaryFindings(scoring, world, others, strings, seed, settings) {
  const pilot = world.strings.reduce((sum, count) => sum + count, 0);
  const planned = { ...world, strings: world.strings.map((count) => Math.ceil((strings * count) / pilot)) };
  const trials = simulateStudy(planned, seed);
  const judged = { ...settings, yesAbove: settings.smallestDifference };
  return times(others, 0).map(
    (_, at) => judgeContrast(scoring, trials, { ...SELF_CROSS, cross: `m${at + 2}` }, judged).finding,
  );
}

/** How often intervals hold the truth. */
function coverage(strings) {
  const both = accessWorld(0.1, { bothWays: true });
  const world = { ...both, strings, taskOffsets: offsets(strings.length) };
  const { accuracy } = truthOf(world);
  const truth = accuracy(0, 0) - accuracy(1, 0);
  const gammaTruth = (truth + accuracy(1, 1) - accuracy(0, 1)) / 2;
  const enough = strings.reduce((sum, count) => sum + count, 0) >= 50;
  return {
    name: `coverage, ${sizes(strings)}`,
    question: `Access worth ${(100 * truth).toFixed(1)} points, ${sizes(strings)}.`,
    world,
    measures: {
      "accuracy of self": bound("coverage", enough && COVERAGE),
      "self − cross, micro": bound("coverage", enough && COVERAGE),
      "self − cross, macro": bound("coverage", enough && COVERAGE),
      "γ of the matrix": bound("coverage", enough && COVERAGE),
      "self − cross, t interval": bound("coverage", COVERAGE),
    },
    study(scoring, seed, settings) {
      const trials = simulateStudy(world, seed);
      const { micro, macro, t } = judgeContrast(scoring, trials, SELF_CROSS, settings);
      const gamma = judgeMatrix(scoring, matrixOf(scoring, trials, settings), settings);
      return {
        seen: {
          "accuracy of self": holds(micro.self, accuracy(0, 0)),
          "self − cross, micro": holds(micro.difference, truth),
          "self − cross, macro": holds(macro.difference, truth),
          "γ of the matrix": holds(gamma, gammaTruth),
          "self − cross, t interval": holds(t, truth),
        },
        numbers: { "width, percentile": width(micro.difference), "width, t": width(t) },
      };
    },
  };
}

/** Tasks are a sample too: what intervals say of tasks that were not run. */
function drawnTasks(tasks) {
  const planted = accessWorld(0.1, { skill: 0.4 });
  const world = { ...planted, strings: times(tasks, 15), properties: 3, taskOffsets: times(tasks, 0) };
  const { accuracy } = truthOf(world);
  const truth = accuracy(0, 0) - accuracy(1, 0);
  return {
    name: `coverage for other tasks, ${tasks} tasks of 15 strings`,
    question:
      "Skills differ from task to task (by up to 20 points for all and 15 for each state); the truth is the mean over all such tasks.",
    world,
    measures: {
      "drawing strings alone": bound("coverage", false),
      "drawing tasks and strings": bound("coverage", false),
      "t interval, tasks as clusters": bound("coverage", COVERAGE),
    },
    study(scoring, seed, settings) {
      const trials = simulateStudy(withDrawnTasks(world, seed), seed);
      const judged = judgeContrast(scoring, trials, SELF_CROSS, settings);
      const asClusters = judged.rows.map((row) => ({ ...row, task: "all", item: row.task }));
      return {
        seen: {
          "drawing strings alone": holds(judged.micro.difference, truth),
          "drawing tasks and strings": holds(hierarchicalInterval(scoring, judged, settings), truth),
          "t interval, tasks as clusters": holds(
            scoring.clusterTInterval(asClusters, "micro", settings.confidence),
            truth,
          ),
        },
        numbers: {},
      };
    },
  };
}

/** m1 with just the access that is worth this difference; of m2 the same where both are asked about both. */
function accessWorld(difference, { skill = 0.3, bothWays = false } = {}) {
  const none = [plantedState("m1", { skill }), plantedState("m2", { skill })];
  const without = truthOf(plantedWorld({ states: none, taskOffsets: [0, 0] })).accuracy(1, 0);
  const access = difference / (1 - without);
  const states = [plantedState("m1", { skill, access }), plantedState("m2", { skill, access: bothWays ? access : 0 })];
  return plantedWorld({ states, ...(bothWays ? {} : { pairs: SELF_CROSS_PAIRS }) });
}

/** Offsets from the study's own seed, spread evenly up to their greatest. */
function withDrawnTasks(world, seed) {
  const spread = (name, greatest) =>
    world.strings.map((_, task) => greatest * (2 * fraction(`${seed}/${name}/${task}`) - 1));
  return {
    ...world,
    taskOffsets: spread("all", 0.2),
    stateTaskOffsets: world.states.map((state) => spread(state.name, 0.15)),
  };
}

/** A number in [0, 1) from a text (FNV-1a, its bits mixed once more). */
function fraction(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** From −0.1 to 0.1, adding up to 0. */
function offsets(tasks) {
  return tasks === 1 ? [0] : times(tasks, 0).map((_, task) => 0.2 * (task / (tasks - 1)) - 0.1);
}

function times(count, value) {
  return new Array(count).fill(value);
}

function points(difference) {
  return `${Math.round(100 * difference)} points`;
}

function sizes(strings) {
  const all = strings.reduce((sum, count) => sum + count, 0);
  return strings.length === 1 ? `${all} strings` : `${all} strings in ${strings.length} tasks`;
}

function bound(what, within) {
  return { what, ...(within ? { within } : {}) };
}

/** A study without an interval is no study that held or missed anything. */
function misses(interval, value) {
  return interval?.ok ? interval.low > value || interval.high < value : undefined;
}

function holds(interval, value) {
  return interval?.ok ? interval.low <= value && value <= interval.high : undefined;
}

function rejects(test) {
  return test.ok ? test.p < 0.05 : undefined;
}

function width(interval) {
  return interval.ok ? interval.high - interval.low : undefined;
}
