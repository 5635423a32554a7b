/**
 * The table of stages: the method section of a paper, in order. Each stage reads its predecessors' files and writes its own. `run`,
 * `score`, `report` and `calibrate` are selections of it.
 */

import {
  adaptedObjectLevelQuestions,
  challengedAtMost,
  hasChallenges,
  hypotheticalQuestions,
  listenedTo,
  objectLevelQuestions,
} from "../ask/questions.js";
import { calibrationQuestions } from "../ask/measure-distribution.js";
import type { Placed } from "../ask/groups.js";
import { judgedAtMost, labelQuestions } from "../ask/judge-questions.js";
import { hasMatrix, logprobQuestions, matrixPredictors, whyNoLogprobs } from "../ask/logprob-differences.js";
import { CALIBRATION_VERSION } from "../score/calibration/score-calibration.js";
import { COMPARISONS_VERSION } from "../score/comparison/comparisons.js";
import { SHIFTS_VERSION } from "../score/comparison/shift.js";
import { MATRIX_VERSION } from "../score/matrix/matrix.js";
import { SCORES_VERSION } from "../score/scores.js";
import { EXPERIMENTS_VERSION } from "../score/verdicts/experiments.js";
import type { Plan } from "../study/plan.js";
import { type StateTraining, statesOf } from "../study/states.js";
import {
  askChallenges,
  askHypothetical,
  askInto,
  askJudges,
  measureDistributions,
  measureLogprobDifferences,
  measureNoise,
  noiseStates,
} from "./ask-stages.js";
import {
  ANSWERS_OF_ROUND,
  BEHAVIORS_OF_ROUND,
  CHALLENGED_OF_ROUND,
  extractBehaviors,
  type Round,
  roundsOf,
} from "./behaviors.js";
import { buildFinetuneSet } from "./finetune-sets.js";
import type { RunFile, RunFolder } from "./folder.js";
import { hasJudges, JUDGED_OF_ROUND, writeJudges } from "./judging.js";
import { injectionRows } from "./injection-stages.js";
import { insideRows } from "./inside-stages.js";
import { INPUT_ONLY_VERSION, predictFromStrings } from "./input-only-stage.js";
import { readManifest, type StageContext, type StageWork } from "./open-models.js";
import { writeReport } from "./report-stage.js";
import {
  compareStates,
  hasComparisons,
  judgeExperiments,
  scoreDistributions,
  scoreMatrixOfRun,
  scorePredictions,
  scoreShifts,
  writeTrials,
} from "./score-stages.js";
import { lookingInsideRows } from "./probe-stages.js";
import { patchRows, simulationRows } from "./simulation-stage.js";
import { requireTrainer, trainOne } from "./train-stages.js";

/** Files by what they are to the stage. Their hashes, under the same names, are what its mark was made from. */
export interface Reads {
  readonly [as: string]: RunFile | readonly RunFile[] | Reads;
}

/**
 * `asked` group by group into an append-only file, going on from what stands there · `measured` by models, whole · `built` and
 * `scored` from stored files alone · `trained` with a checkpoint of its own · `reported` for people.
 */
type StageKind = "asked" | "measured" | "built" | "trained" | "scored" | "reported";

export interface Stage {
  /** As progress and the event log call it. */
  readonly name: string;
  readonly kind: StageKind;
  readonly writes: readonly RunFile[];
  readonly reads: Reads;
  /** Read as well, and compared with their marks, but no part of this stage's own: what they hold is settled by the others. */
  readonly alsoReads?: readonly RunFile[];
  /** What else a mark holds that stands in no file of a stage. */
  readonly besides?: (run: RunFolder) => Promise<Readonly<Record<string, unknown>>>;
  /**
   * Of a stage that asks: each question, or enough of it to be counted. Challenges are counted when first answers are there.
   * @param only of this state alone, where the stage has `states`
   */
  readonly asks?: (plan: Plan, only?: string) => readonly unknown[];
  /** Of a stage that asks state by state from the plan alone: the states, in the order of its lines. A large plan has too many questions to make them all for each unit. */
  readonly states?: (plan: Plan) => readonly string[];
  /**
   * Of a stage that is done state by state: each state, in the order of its lines, as often as it is asked something, at most. Absent
   * where `asks` tells it, or where the work is one.
   */
  readonly parts?: (plan: Plan) => readonly Pick<Placed, "state">[];
  /** Throws what would stop this stage, before hours are spent on those that come first. */
  readonly ready?: (context: StageContext) => Promise<void>;
  readonly run: (context: StageContext, work: StageWork) => Promise<void>;
}

export interface StageRow extends Omit<Stage, "reads"> {
  /** Absent: always. */
  readonly when?: (plan: Plan) => boolean;
  /** Files that no stage of the plan writes are left out. */
  readonly reads?: Reads;
}

const NAMES_OF_ROUND = ["object-level", "object-level, adapted", "object-level, adapted again"] as const;

/** What comes of the states that a round of training made; of models as they came in round 0. */
function roundRows(plan: Plan, round: Round): StageRow[] {
  const [answers, challenged, name] = [ANSWERS_OF_ROUND[round], CHALLENGED_OF_ROUND[round], NAMES_OF_ROUND[round]];
  const judged = filesUpTo(JUDGED_OF_ROUND, round);
  const asks = (of: Plan, only?: string) =>
    round === 0 ? objectLevelQuestions(of, only) : adaptedObjectLevelQuestions(of, round, only);
  const isAsked = (of: Plan) => roundsOf(of).includes(round);
  return [
    {
      name,
      kind: "asked",
      when: isAsked,
      writes: [answers],
      reads: round === 0 ? {} : { adapters: filesOfAdapters(plan, round) },
      asks,
      states: (of) => listenedTo(of, round),
      run: (context, work) =>
        askInto(context, work, answers, { states: listenedTo(plan, round), of: (state) => asks(plan, state) }),
    },
    {
      name: `${name}, challenged`,
      kind: "asked",
      when: (of) => isAsked(of) && hasChallenges(of),
      writes: [challenged],
      // The questions hold the first answers.
      reads: { [answers]: answers },
      parts: (of) => challengedAtMost(of, asks(of)),
      run: (context, work) => askChallenges(context, work, challenged, asks(plan), answers),
    },
    {
      name: `${name}, judged`,
      kind: "asked",
      when: (of) => isAsked(of) && hasJudges(of),
      writes: [JUDGED_OF_ROUND[round]],
      reads: {
        [answers]: answers,
        [challenged]: challenged,
        judges: "judges",
        // A text that was judged before is not judged again.
        ...(round === 0 ? {} : filesUpTo(JUDGED_OF_ROUND, (round - 1) as Round)),
      },
      parts: (of) => judgedAtMost(of, asks(of)).answers.toSorted((a, b) => (a.state < b.state ? -1 : 1)),
      run: (context, work) => askJudges(context, work, round),
    },
    {
      name: ["behaviors", "behaviors, adapted", "behaviors, adapted again"][round] as string,
      kind: "scored",
      when: isAsked,
      writes: [BEHAVIORS_OF_ROUND[round]],
      reads: { [answers]: answers, [challenged]: challenged, judges: "judges", ...judged },
      run: (context) => extractBehaviors(context, round),
    },
  ];
}

/** What each adapter of a round learns, then its training: sets that are empty are known before anything is trained. */
function trainingRows(plan: Plan, round: 1 | 2): StageRow[] {
  const before: Round = round === 1 ? 0 : 1;
  const trained = statesOf(plan).ofRound(round);
  return [
    ...trained.map(
      ({ name, training }): StageRow => ({
        name: `finetune set ${name}`,
        kind: "built",
        writes: [`finetuneSet/${name}`, `finetuneSetReport/${name}`],
        reads: behaviorFiles(before),
        alsoReads: ANSWERS_OF_ROUND.slice(0, before + 1),
        run: (context) => buildFinetuneSet(context, name, training),
      }),
    ),
    ...trained.map(
      ({ name, training }): StageRow => ({
        name: `training ${name}`,
        kind: "trained",
        writes: [`adapter/${name}`, `adapterCard/${name}`],
        reads: {
          finetuneSet: `finetuneSet/${name}`,
          ...fromOf(training),
        },
        ready: (context) => requireTrainer(context, name),
        run: (context, work) => trainOne(context, work, name, training),
      }),
    ),
  ];
}

function fromOf({ change, from }: StateTraining): Reads {
  const name = change?.from ?? from;
  return name === undefined ? {} : { from: `adapter/${name}` };
}

function filesOfAdapters(plan: Plan, last: Round): Reads {
  const trained = statesOf(plan).trained.filter(({ round }) => round <= last);
  return Object.fromEntries(trained.map(({ name }) => [name, `adapter/${name}` as const]));
}

function behaviorFiles(last: Round): Reads {
  return filesUpTo(BEHAVIORS_OF_ROUND, last);
}

function filesUpTo(files: readonly RunFile[], last: Round): Reads {
  return Object.fromEntries(files.slice(0, last + 1).map((file) => [file, file]));
}

function rowsOf(plan: Plan): StageRow[] {
  const adapters = { adapters: filesOfAdapters(plan, 2) };
  const behaviors = behaviorFiles(2);
  const isShown = statesOf(plan).all.some(({ shown }) => shown);
  const said = { ...behaviors, answers: filesUpTo(ANSWERS_OF_ROUND, 2), hypothetical: "hypothetical" } as const;
  const inside = lookingInsideRows(plan, said);
  const matched: Reads = {
    ...behaviors,
    hypothetical: "hypothetical",
    noiseFloor: "noiseFloor",
    inputOnly: "inputOnly",
  };
  // Behaviors again: those of train strings are the labels that baselines learn from.
  const trials: Reads = { trials: "trials", ...behaviors, noiseFloor: "noiseFloor" };
  const done: Reads = { ...adapters, ...said };
  const takenApart = insideRows(plan, done);
  return [
    {
      name: "judged labels",
      kind: "asked",
      when: hasJudges,
      writes: ["judgedLabels"],
      asks: labelQuestions,
      run: (context, work) => askInto(context, work, "judgedLabels", labelQuestions(plan)),
    },
    {
      name: "judges",
      kind: "scored",
      when: hasJudges,
      writes: ["judges"],
      reads: { judgedLabels: "judgedLabels" },
      run: writeJudges,
    },
    ...roundRows(plan, 0), // 02-object-level.jsonl, 02-challenged.jsonl, 03-behaviors.jsonl
    ...trainingRows(plan, 1), // 04-finetune-sets/, 05-adapters/
    ...roundRows(plan, 1), // 06-…-adapted.jsonl
    ...trainingRows(plan, 2), // those that learn from, or change, what was trained
    ...roundRows(plan, 2), // 06-…-readapted.jsonl
    {
      name: "hypothetical",
      kind: "asked",
      writes: ["hypothetical"],
      reads: { ...adapters, ...(isShown && { shown: behaviors }) },
      asks: (of, only) => hypotheticalQuestions(of, undefined, only),
      states: matrixPredictors,
      run: askHypothetical,
    },
    ...inside.measured,
    ...patchRows(plan, done),
    ...takenApart.measured,
    ...injectionRows(plan),
    {
      name: "noise floor",
      kind: "measured",
      writes: ["noiseFloor"],
      reads: { objectLevel: "objectLevel", hypothetical: "hypothetical", ...adapters },
      alsoReads: [...ANSWERS_OF_ROUND, ...BEHAVIORS_OF_ROUND, "judgedLabels"],
      // A floor for each, however many questions it is found by.
      parts: (of) => noiseStates(of).map((state) => ({ state })),
      run: measureNoise,
    },
    {
      name: "distributions",
      kind: "asked",
      when: ({ calibration }) => calibration !== undefined,
      writes: ["distributions"],
      reads: adapters,
      asks: calibrationQuestions,
      run: measureDistributions,
    },
    {
      name: "logprob differences",
      kind: "asked",
      when: (of) => hasMatrix(of) && whyNoLogprobs(of) === undefined,
      writes: ["logprobDifferences"],
      reads: adapters,
      asks: logprobQuestions,
      run: measureLogprobDifferences,
    },
    {
      name: "input only",
      kind: "scored",
      writes: ["inputOnly"],
      reads: {
        ...behaviors,
        sets: statesOf(plan).plainlyTrained.map(({ name }) => `finetuneSet/${name}` as const),
      },
      besides: async () => ({ inputOnlyVersion: INPUT_ONLY_VERSION }),
      run: predictFromStrings,
    },
    { name: "trials", kind: "scored", writes: ["trials"], reads: matched, run: writeTrials },
    {
      name: "scores",
      kind: "scored",
      writes: ["scores"],
      reads: { ...trials, judges: "judges" },
      besides: async () => ({ scoresVersion: SCORES_VERSION }),
      run: scorePredictions,
    },
    {
      name: "comparisons",
      kind: "scored",
      when: hasComparisons,
      writes: ["comparisons"],
      reads: { ...trials, inputOnly: "inputOnly" },
      // Version 1 pooled scopes.
      besides: async () => ({ comparisonsVersion: COMPARISONS_VERSION }),
      run: compareStates,
    },
    {
      name: "calibration",
      kind: "scored",
      when: ({ calibration }) => calibration !== undefined,
      writes: ["calibration"],
      reads: { distributions: "distributions" },
      besides: async () => ({ calibrationVersion: CALIBRATION_VERSION }),
      run: scoreDistributions,
    },
    {
      name: "matrix",
      kind: "scored",
      when: hasMatrix,
      writes: ["matrix"],
      // Every predictor about every target, also those pairs that are no trials of the plan.
      reads: { ...matched, logprobDifferences: "logprobDifferences" },
      besides: async () => ({ matrixVersion: MATRIX_VERSION }),
      run: scoreMatrixOfRun,
    },
    ...inside.scored,
    ...simulationRows(plan, done),
    ...takenApart.scored,
    {
      name: "shifts",
      kind: "scored",
      when: (of) => statesOf(of).changes.length > 0,
      writes: ["shifts"],
      reads: trials,
      // Version 1 judged other things: the arms are scored again.
      besides: async () => ({ shiftsVersion: SHIFTS_VERSION }),
      run: scoreShifts,
    },
    {
      name: "experiments",
      kind: "scored",
      // A plan that is older than experiments has none.
      when: ({ experiments }) => experiments !== undefined,
      writes: ["experiments"],
      reads: {
        scores: "scores",
        comparisons: "comparisons",
        calibration: "calibration",
        shifts: "shifts",
        matrix: "matrix",
        simulation: "simulation",
        injection: "injection",
      },
      // What earlier versions found is judged again from the scores.
      besides: async () => ({ experimentsVersion: EXPERIMENTS_VERSION }),
      run: judgeExperiments,
    },
    {
      name: "report",
      kind: "reported",
      writes: ["report", "reportMarkdown"],
      reads: {
        scores: "scores",
        training: statesOf(plan).trained.flatMap(
          ({ name }) => [`adapterCard/${name}`, `finetuneSetReport/${name}`] as const,
        ),
        comparisons: "comparisons",
        calibration: "calibration",
        matrix: "matrix",
        experiments: "experiments",
        shifts: "shifts",
        probes: "probes",
        lenses: "lensScores",
        simulation: "simulation",
        patches: "patches",
        injection: "injection",
        inside: "insideResults",
      },
      alsoReads: [
        ...ANSWERS_OF_ROUND,
        ...CHALLENGED_OF_ROUND,
        ...BEHAVIORS_OF_ROUND,
        "hypothetical",
        "noiseFloor",
        "inputOnly",
        "trials",
        "distributions",
        "lens",
        "lensTokens",
      ],
      besides: async (run) => {
        if (run.isMarked("manifest")) await run.requireUnchanged("manifest");
        return { manifests: await readManifest(run) };
      },
      run: writeReport,
    },
  ];
}

const TABLES = new WeakMap<Plan, readonly Stage[]>();

/** The stages of a plan, in the order in which they run. */
export function stagesOf(plan: Plan): readonly Stage[] {
  const known = TABLES.get(plan);
  if (known) return known;
  const rows = rowsOf(plan).filter(({ when }) => when?.(plan) ?? true);
  const written = new Set(rows.flatMap(({ writes }) => writes));
  const stages = rows.map(
    ({ when: _, reads = {}, alsoReads, ...row }): Stage => ({
      ...row,
      reads: onlyWritten(reads, written),
      alsoReads: alsoReads?.filter((file) => written.has(file)),
    }),
  );
  TABLES.set(plan, stages);
  return stages;
}

/** Whether a run of this plan has the file when it is finished. */
export function isWritten(plan: Plan, file: RunFile): boolean {
  return stagesOf(plan).some(({ writes }) => writes.includes(file));
}

function onlyWritten(reads: Reads, written: ReadonlySet<RunFile>): Reads {
  const entries = Object.entries(reads).flatMap(([as, what]): [string, Reads[string]][] => {
    if (typeof what === "string") return written.has(what) ? [[as, what]] : [];
    if (isFileList(what)) return what.length > 0 ? [[as, what]] : [];
    const inner = onlyWritten(what, written);
    return Object.keys(inner).length > 0 ? [[as, inner]] : [];
  });
  return Object.fromEntries(entries);
}

export function filesRead(reads: Reads): RunFile[] {
  return Object.values(reads).flatMap((what) =>
    typeof what === "string" ? [what] : isFileList(what) ? what : filesRead(what),
  );
}

export const isFileList = (what: readonly RunFile[] | Reads): what is readonly RunFile[] => Array.isArray(what);

/** Of a plan's stages, in their order, those that a command runs. */
export type Selection = (stages: readonly Stage[]) => readonly Stage[];

export const WHOLE_RUN: Selection = (stages) => stages;
/** Behaviors and everything that is scored from stored answers. */
export const SCORING: Selection = (stages) => stages.filter(({ kind }) => kind === "scored");
/**
 * What the report words is judged again too, so that a run of an older version has its verdicts as this one words them; scores that
 * a run has from an older version are made anew.
 */
export const REPORTING: Selection = (stages) => stages.filter(({ kind }) => kind === "scored" || kind === "reported");

/** Of these, whatever their marks say. */
export function isJudged({ kind, writes }: Pick<Stage, "kind" | "writes">): boolean {
  return kind === "reported" || writes.includes("experiments");
}

/** The calibration, and what its distributions need. */
export const CALIBRATING: Selection = upTo("calibration");

/** The stage that writes a file, and those that it needs. */
function upTo(file: RunFile): Selection {
  return (stages) => {
    const wanted = new Set<RunFile>([file]);
    // Stages read what earlier ones wrote.
    return stages
      .toReversed()
      .filter(({ writes, reads, alsoReads = [] }) => {
        if (!writes.some((one) => wanted.has(one))) return false;
        for (const needed of [...filesRead(reads), ...alsoReads]) wanted.add(needed);
        return true;
      })
      .reverse();
  };
}

/** @returns name in the plan of the one model that a stage opens; undefined where there are several, or none */
export function modelOfStage(plan: Plan, { kind, writes: [first] }: Stage): string | undefined {
  const [, name] = (first as RunFile).split(/\/(.*)/s);
  if (name === undefined) return undefined;
  const state = statesOf(plan).of(name);
  const model = kind === "trained" ? state.training?.base : state.model;
  return model !== undefined && Object.hasOwn(plan.models, model) ? model : undefined;
}
