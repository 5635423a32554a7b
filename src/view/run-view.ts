/** A run as a page shows it: its summary, and what it found, each part there or with the reason why it is not. Nothing is written. */

import { isRecord } from "../base/untrusted.js";
import { runLockHolder } from "../base/lock.js";
import { InwardError } from "../errors.js";
import type { AdapterCard } from "../finetune/adapter/card.js";
import { formatCount } from "../report/document.js";
import { aboutStates, missingText, QUESTIONS, verdictSentences, verdictText } from "../report/sentences.js";
import { EXPERIMENT_TITLES, shownVerdicts, standingAnswer, standingText } from "../report/standing.js";
import { type StateNames, stateNames } from "../report/state-names.js";
import { baselineName } from "../report/terms.js";
import { measureText, numberText } from "../report/verdict-numbers.js";
import { type RunFile, RunFolder, RUN_FILES } from "../run/folder.js";
import { readContent } from "../run/records.js";
import { isWritten, stagesOf } from "../run/stages.js";
import type { ProbedSite } from "../probe/probe-results.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import type { Verdict } from "../score/verdicts/verdict.js";
import type { Scope } from "../score/scope.js";
import type { CalibrationRow } from "../score/calibration/score-calibration.js";
import type { Scores } from "../score/scores.js";
import type { Comparisons } from "../score/comparison/comparisons.js";
import { chatSentences } from "../study/forms.js";
import type { Plan } from "../study/plan.js";
import { type State, type States, statesOf } from "../study/states.js";
import { readServedFile, statRunFile } from "../run/trials/plain-files.js";
import type { ServedRun } from "./served-runs.js";
import type { RunProblem, Shown } from "../run/trials/trial-shapes.js";
import type {
  ExperimentCard,
  LossLine,
  MatrixSquare,
  RunState,
  ListedRun,
  RunView,
  SizeSeries,
  StageView,
  StateView,
  TrialChoice,
  VerdictCard,
} from "./view-api.js";

export const MODEL_LINES_AT_MOST = 40;
const absent = (reason: string) => ({ ok: false, reason }) as const;

/** What is said, of what a reader of a run throws. */
export async function orReason<Value>(read: () => Promise<Value> | Value): Promise<Shown<Value>> {
  try {
    return { ok: true, value: await read() };
  } catch (error) {
    if (error instanceof InwardError) return absent(error.message);
    // A file that our own scoring wrote is read by its version alone: one that was made by hand may lack anything.
    return absent(`It is not what inward writes: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Which kind of run a folder holds, by its plan. */
export function planIn(run: ServedRun): Shown<Readonly<Record<string, unknown>>> {
  try {
    const plan: unknown = JSON.parse(readServedFile(run, RUN_FILES.plan).toString("utf8"));
    return isRecord(plan) ? { ok: true, value: plan } : absent(`${RUN_FILES.plan} is no JSON object.`);
  } catch (error) {
    return absent(error instanceof InwardError ? error.message : `${RUN_FILES.plan} is no JSON.`);
  }
}

function changedAt(run: ServedRun): string {
  const times = [RUN_FILES.plan, RUN_FILES.stages, RUN_FILES.events, "05-results.json"].flatMap((name) => {
    try {
      return [statRunFile(run, name).mtimeMs];
    } catch {
      return [];
    }
  });
  return new Date(Math.max(0, ...times)).toISOString();
}

/** Of any folder that was found, whatever it holds. */
export async function listedRun(run: ServedRun): Promise<ListedRun> {
  const base = { id: run.id, folder: run.folder, changed: changedAt(run) };
  const damaged = (what: string, file: string = RUN_FILES.plan): ListedRun => ({
    ...base,
    kind: "unknown",
    study: run.folder.split(/[\\/]/).at(-1) ?? "",
    state: "damaged",
    models: [],
    answers: [],
    problems: [{ file, what }],
  });
  const plan = planIn(run);
  if (!plan.ok) return damaged(plan.reason);
  const isRunning = runLockHolder(run.folder) !== undefined;
  if (plan.value.quantizeVersion !== undefined) return { ...base, ...quantizeSummary(run, plan.value, isRunning) };
  const opened = await orReason(() => RunFolder.look(run.folder));
  if (!opened.ok) return damaged(opened.reason);
  const folder = opened.value;
  const [stages, answers] = [await stageViews(folder, false), await answersOf(folder)];
  const isFinished = stages.every(({ state }) => state !== "absent");
  const names = Object.entries(folder.plan.models).map(([name, { encoding }]) => `${name} (${encoding})`);
  return {
    ...base,
    kind: "study",
    study: folder.plan.study,
    state: isRunning ? "running" : isFinished ? "finished" : "stopped",
    models: [...names, ...Object.keys(folder.plan.elsewhere ?? {})],
    answers: answers.ok ? answers.value : [],
    problems: problemsOf(folder, isRunning, answers),
  };
}

function quantizeSummary(
  run: ServedRun,
  plan: Readonly<Record<string, unknown>>,
  isRunning: boolean,
): Pick<ListedRun, "kind" | "study" | "state" | "models" | "answers" | "problems"> {
  const benchmark = isRecord(plan.benchmark) ? plan.benchmark : {};
  const name = typeof benchmark.benchmark === "string" ? benchmark.benchmark : "quantize";
  const source = isRecord(benchmark.source) ? benchmark.source.source : undefined;
  let state: RunState = isRunning ? "running" : "finished";
  const problems: RunProblem[] = [];
  try {
    statRunFile(run, "05-results.json");
  } catch (error) {
    if (!isRunning) state = "stopped";
    if (!(error instanceof InwardError)) throw error;
    if (error.code !== "STORE_INCOMPLETE") problems.push({ file: "05-results.json", what: error.message });
  }
  return {
    kind: "quantize",
    study: name,
    state,
    models: typeof source === "string" ? [source] : [],
    answers: [],
    problems,
  };
}

function problemsOf(folder: RunFolder, isRunning: boolean, answers: Shown<unknown>): RunProblem[] {
  const { plan } = folder;
  const marked = stagesOf(plan).some(({ writes }) => writes.some((file) => folder.isMarked(file)));
  const unmarked = !marked && !isRunning;
  return [
    ...(unmarked
      ? [
          {
            file: RUN_FILES.stages,
            what: "It is missing, empty or spoilt: nothing tells which files are finished and unchanged. A run of the study makes it again and asks nothing twice.",
          },
        ]
      : []),
    ...(marked && !answers.ok && isWritten(plan, "experiments") && folder.isMarked("experiments")
      ? [{ file: RUN_FILES.experiments, what: answers.reason }]
      : []),
  ];
}

async function answersOf(folder: RunFolder): Promise<Shown<ListedRun["answers"]>> {
  if (!isWritten(folder.plan, "experiments")) return { ok: true, value: [] };
  return orReason(async () => {
    const results = await readContent(folder, "experiments");
    return results.experiments.flatMap(({ name, verdicts, missing }) => {
      const [first, ...others] = shownVerdicts(results, verdicts);
      const title = EXPERIMENT_TITLES[name];
      if (!first) return [{ experiment: title, answer: missingText(missing) }];
      const more = others.length === 0 ? "" : ` (first of ${verdicts.length})`;
      return [{ experiment: title, answer: `${standingAnswer(first)}${more}` }];
    });
  });
}

/** @param checks whether files are hashed; else a stage whose files are marked counts as done */
async function stageViews(folder: RunFolder, checks: boolean): Promise<StageView[]> {
  const views: StageView[] = [];
  for (const { name, kind, writes } of stagesOf(folder.plan)) {
    const files = writes.map((file) => folder.file(file).slice(folder.path.length + 1));
    views.push({ name, kind, files, state: await stageState(folder, writes, checks) });
  }
  return views;
}

async function stageState(folder: RunFolder, writes: readonly RunFile[], checks: boolean): Promise<StageView["state"]> {
  if (!writes.every((file) => folder.isMarked(file))) return "absent";
  if (!checks) return "done";
  for (const file of writes) {
    const checked = await orReason(() => folder.requireUnchanged(file));
    if (!checked.ok) return "changed";
  }
  return "done";
}

// A run in full.

/** @throws STORE_* where there is no plan that can be read */
export async function runView(run: ServedRun): Promise<RunView> {
  const summary = await listedRun(run);
  const folder = await RunFolder.look(run.folder);
  const { plan } = folder;
  const names = stateNames(plan);
  const experiments = await orReason(() => readContent(folder, "experiments"));
  const ifWritten = async <Value>(file: RunFile, what: string, read: () => Promise<Value>): Promise<Shown<Value>> =>
    isWritten(plan, file) ? orReason(read) : absent(what);
  const stages = await stageViews(folder, true);
  const changed = stages
    .filter(({ state }) => state === "changed")
    .map(({ files }) => ({
      file: files.join(", "),
      what: "It was changed, or removed, after its stage had written it.",
    }));
  return {
    summary: { ...summary, problems: [...summary.problems, ...changed] },
    inwardVersion: plan.inwardVersion,
    facts: factsOf(plan),
    states: statesOf(plan).all.map((state) => stateView(plan, state, names)),
    tasks: plan.tasks.map(({ definition, train, heldOut, properties }) => ({
      name: definition.name,
      train: train.length,
      heldOut: heldOut.length,
      properties,
    })),
    stages,
    standing: experiments.ok ? await orReason(() => standingText(experiments.value)) : experiments,
    experiments: experiments.ok
      ? await orReason(() => experimentCards(experiments.value, names, statesOf(plan)))
      : experiments,
    scores: await orReason(async () => scoresOf(await readContent(folder, "scores"))),
    calibration: await ifWritten("calibration", "the study names no calibration", async () => {
      const { scope, rows, beside } = await readContent(folder, "calibration");
      return inScopes<CalibrationRow>(
        scope,
        rows,
        (beside ?? []).map((one) => [one.scope, one.rows]),
      );
    }),
    matrix: await ifWritten("matrix", "the study asks for no matrix", async () => matrixOf(folder)),
    series: await ifWritten("comparisons", "nothing is compared", async () =>
      seriesOf(await readContent(folder, "comparisons")),
    ),
    probes: await ifWritten("probes", "the study names no probe", async () => {
      const { questions, ...rest } = await readContent(folder, "probes");
      // String by string they stand with the trials.
      const withoutStrings = ({ rightOf: _, ...site }: ProbedSite) => site;
      return { ...rest, questions: questions.map((one) => ({ ...one, sites: one.sites.map(withoutStrings) })) };
    }),
    lenses: await ifWritten("lensScores", "the study asks for no lens", () => readContent(folder, "lensScores")),
    simulation: await ifWritten("simulation", "the study writes nothing inside", () =>
      readContent(folder, "simulation"),
    ),
    injection: await ifWritten("injection", "the study injects nothing", () => readContent(folder, "injection")),
    inside: await ifWritten("insideResults", "the study takes no answers apart (inside)", async () => {
      const { attribution, heads, subspace, patchscope } = await readContent(folder, "insideResults");
      return [attribution, heads, subspace, patchscope].reduce((sum, { length }) => sum + length, 0);
    }),
    losses: await lossesOf(folder),
    trials: await orReason(() => ({ bytes: statRunFile(run, RUN_FILES.trials).size })),
    report: await orReason(() => {
      statRunFile(run, RUN_FILES.report);
      return RUN_FILES.report;
    }),
  };
}

function factsOf(plan: Plan): RunView["facts"] {
  const { seed, objectLevel, hypothetical, engine, score } = plan;
  const models = Object.entries(plan.models).map(([name, { source, encoding, sha256, licence }]) => ({
    name: `model ${name}`,
    value: `${source}, ${encoding}, sha256 ${sha256.slice(0, 12)}…, ${licence}`,
  }));
  const chats = Object.entries(plan.chats ?? {}).map(([name, chat]) => ({
    name: `${name} is spoken to`,
    value: chatSentences(chat),
  }));
  return [
    { name: "made by", value: `inward ${plan.inwardVersion}` },
    ...models.slice(0, MODEL_LINES_AT_MOST),
    ...chats.slice(0, MODEL_LINES_AT_MOST),
    { name: "seed", value: String(seed) },
    { name: "answers", value: `temperature ${objectLevel.temperature}, ${objectLevel.samples ?? 1} a string` },
    { name: "wordings", value: hypothetical.variants.join(", ") },
    { name: "engine", value: `${engine.engine}, ${engine.device}` },
    {
      name: "intervals",
      value: `${100 * score.confidence} %, ${formatCount(score.bootstrapReplicates)} bootstrap replicates of strings`,
    },
  ];
}

function stateView(plan: Plan, state: State, names: StateNames): StateView {
  const before = statesOf(plan).all.find(
    (other) => other.name !== state.name && state.isTrained && other.name === state.origin,
  );
  return {
    name: state.name,
    words: names(state.name),
    model: state.model,
    role: state.role,
    trained: state.isTrained,
    ...(before === undefined ? {} : { before: before.name }),
  };
}

function experimentCards(results: ExperimentResults, names: StateNames, states: States): ExperimentCard[] {
  return results.experiments.map(({ name, verdicts, missing }) => ({
    name,
    title: EXPERIMENT_TITLES[name],
    question: QUESTIONS[name],
    ...(verdicts.length === 0 ? { missing: missingText(missing) } : {}),
    verdicts: shownVerdicts(results, verdicts).map((verdict) => ({
      ...verdictCard(verdict, names),
      trials: trialsBehind(states, verdict),
    })),
  }));
}

function verdictCard(verdict: Verdict, names: StateNames): Omit<VerdictCard, "trials"> {
  const { lead, more } = verdictSentences(verdict, names);
  const { decidedBy, finding, numbers } = verdict;
  return {
    answer: standingAnswer(verdict),
    finding,
    about: verdictText(verdict, names),
    lead,
    more,
    numbers: numbers.map((number) => ({
      label: measureText(number, names),
      text: numberText(number),
      estimate: number.estimate,
      unit: number.unit,
      baselines: Object.entries(number.baselines).map(([name, estimate]) => ({
        name: baselineName(name),
        text: numberText({ estimate, unit: number.unit === "difference" ? "share" : number.unit }),
      })),
      decides: number.key === decidedBy,
    })),
    intervalMethod: numbers[0]?.intervalMethod ?? "",
  };
}

/** The trials that a verdict is about, as far as names can say it: of every seed, where several make one condition. */
function trialsBehind({ all }: Pick<States, "all">, { about, scope = "all" }: Verdict): TrialChoice {
  const said = (...keys: string[]) =>
    keys.flatMap((key) => {
      const name = (about as Readonly<Record<string, unknown>>)[key];
      return typeof name === "string" ? [name] : [];
    });
  const named = (...keys: string[]) => {
    const conditions = said(...keys).map((name) => all.find((state) => state.name === name)?.condition ?? name);
    const states = all.filter(({ condition }) => conditions.includes(condition));
    return "seeds" in about && about.seeds > 1 ? states.map(({ name }) => name) : said(...keys);
  };
  const predictor = named("self", "cross", "otherSelf", "otherCross", "predictor");
  const target = named("target", "otherTarget");
  const choice = {
    ...{ predictor, target: predictor.length + target.length > 0 ? target : aboutStates(about) },
    ...{ task: said("task"), property: said("property"), scope: scope === "all" ? [] : [scope] },
  };
  return Object.fromEntries(Object.entries(choice).filter(([, values]) => values.length > 0));
}

function scoresOf(scores: Scores): Extract<RunView["scores"], { ok: true }>["value"] {
  const { averages, scopedAverages = [], cells, notAveraged, exclusions, ...rest } = scores;
  return {
    confidence: rest.confidence,
    intervalMethod: rest.intervalMethod,
    noiseFloorNats: rest.noiseFloorNats,
    averages: [...averages.map((one) => ({ ...one, scope: "all" as const })), ...scopedAverages],
    cells,
    notAveraged,
    exclusions,
  };
}

/** Rows of the main scope, then of each that stands beside it; none has a scope where all are one. */
function inScopes<Row>(
  main: Scope | undefined,
  rows: readonly Row[],
  beside: readonly (readonly [Scope, readonly Row[]])[],
): (Row & { readonly scope: Scope })[] {
  const all: typeof beside = [[main ?? "all", rows], ...beside];
  return all.flatMap(([scope, own]) => own.map((row) => ({ ...row, scope })));
}

async function matrixOf(folder: RunFolder): Promise<MatrixSquare[]> {
  const { scope, cells, beside } = await readContent(folder, "matrix");
  return inScopes(
    scope,
    cells,
    (beside ?? []).map((one) => [one.scope, one.cells]),
  );
}

function seriesOf({ series }: Comparisons): SizeSeries[] {
  return series.map(({ scope, kind, model, target, steps }) => {
    const points = new Map<number, SizeSeries["points"][number]>();
    for (const step of steps) {
      const missing = step.ok ? undefined : absent(step.reason);
      const before = missing ?? (step.ok ? step.micro.cross : absent(""));
      if (!points.has(step.from)) points.set(step.from, { size: step.from, accuracy: before });
      points.set(step.to, { size: step.to, accuracy: missing ?? (step.ok ? step.micro.self : absent("")) });
    }
    return { scope, kind, model, target, points: [...points.values()] };
  });
}

async function lossesOf(folder: RunFolder): Promise<LossLine[]> {
  const curves: LossLine[] = [];
  for (const { name } of statesOf(folder.plan).trained) {
    const card = await orReason<AdapterCard>(() => readContent(folder, "adapterCard", name));
    if (card.ok) curves.push(lossCurve(name, card.value));
  }
  return curves;
}

export function lossCurve(
  adapter: string,
  { losses, validation }: Pick<AdapterCard, "losses" | "validation">,
): LossLine {
  return {
    adapter,
    steps: losses.map(({ step, lossNatsPerToken: nats }) => ({ step, nats })),
    validation: validation.map(({ step, lossNatsPerToken: nats }) => ({ step, nats })),
  };
}
