/** Stage 08: joins behaviors and predictions into trials and scores them. Needs no model. */
import { propertyNamed } from "../properties/all-properties.js";
import { extractBehavior, readReply } from "../properties/reading.js";
import type { Answer } from "../records/answer.js";
import { type Extraction, missing } from "../records/extraction.js";
import type { NoiseFloor } from "../records/noise-floor.js";
import type { Plan } from "../records/plan.js";
import { INPUT_ONLY } from "../score/input-only/input-only-predictions.js";
import { type MatchedTrials, type MatchInput, matchTrials, type Prediction } from "../score/match-trials.js";
import { type ScoreSettings, scoreTrials } from "../score/score-trials.js";
import { hashOf } from "../store/canonical-json.js";
import { readJson, readJsonLines } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { writeJson } from "../store/write-whole.js";
import { heuristicAnswers } from "../tasks/heuristics.js";
import { behaviorHashes, readBehaviors } from "./behavior-files.js";
import { heldOutTasks } from "./build-finetune-sets.js";
import { guessOf, type InputOnlyGuess, labelSource, readInputOnly } from "./predict-from-strings.js";
import type { StageContext } from "./stage-context.js";

export async function scorePredictions({ run }: Pick<StageContext, "run">): Promise<void> {
  const inputs = scoreInputs(run);
  if (await run.isDone("scores", inputs)) return;
  const inputOnly = guessOf(run.plan, await readInputOnly(run));
  const { trials, trainLabels } = await matchRun(run, inputOnly);
  const scores = scoreTrials(trials, trainLabels, { ...(await settingsOf(run)), ...trainedOf(run.plan) });
  await writeJson(run.file("scores"), scores);
  await run.markDone("scores", inputs);
}

/** Everything that scores and comparisons depend on. @throws STORE_INCOMPLETE */
export function scoreInputs(run: RunFolder) {
  return {
    plan: hashOf(run.plan),
    ...behaviorHashes(run),
    hypothetical: run.outputHash("hypothetical"),
    noiseFloor: run.outputHash("noiseFloor"),
    inputOnly: run.outputHash("inputOnly"),
  };
}

/** How intervals are made, and which margins are noise: the largest difference that any state showed. */
export async function settingsOf(run: RunFolder): Promise<Omit<ScoreSettings, "training">> {
  const floors = await readJson<NoiseFloor[]>(run.file("noiseFloor"));
  return {
    confidence: run.plan.score.confidence,
    bootstrapReplicates: run.plan.score.bootstrapReplicates,
    bootstrapSeed: run.plan.seed,
    noiseFloorNats: Math.max(0, ...floors.map((floor) => floor.maxMarginDifference)),
  };
}

/**
 * The trials of a run whose behaviors and hypothetical replies are there.
 * @param inputOnly stands among the rules on the string where it is given
 */
export function matchRun(run: RunFolder, inputOnly?: InputOnlyGuess): Promise<MatchedTrials> {
  return matchPairs(run, run.plan.predictions, heuristicsOf(run.plan, inputOnly));
}

/** The trials of any pairs whose states were asked, whoever of them the plan's predictions name. */
export async function matchPairs(
  run: RunFolder,
  pairs: MatchInput["pairs"],
  heuristics: MatchInput["heuristics"],
): Promise<MatchedTrials> {
  const replies = await readJsonLines<Answer>(run.file("hypothetical"));
  return matchTrials({
    behaviors: await readBehaviors(run),
    predictions: replies.rows.map(toPrediction),
    pairs,
    learntFrom: Object.fromEntries(
      Object.keys(run.plan.adapters ?? {}).map((name) => [name, labelSource(run.plan, name)]),
    ),
    heuristics,
  });
}

function toPrediction({ state, task, item, property, variant, reply, setAside }: Answer): Prediction {
  const about = { predictor: state, task, item, property: property as string, variant: variant as string };
  if (setAside) return { ...about, prediction: missing(setAside) };
  return {
    ...about,
    prediction: readReply(propertyNamed(about.property), reply.text, reply.stop),
    ...(reply.margins.length === 0 ? {} : { minMargin: Math.min(...reply.margins) }),
  };
}

function trainedOf(plan: Plan): Pick<ScoreSettings, "training"> {
  if (!plan.adapters) return {};
  // Controls and changes have comparisons of their own.
  const states = Object.entries(plan.adapters).flatMap(([after, { base, target, labels, change }]) =>
    labels || change ? [] : [{ before: base, after, target }],
  );
  return { training: { states, heldOutTasks: heldOutTasks(plan) } };
}

/** What each simple rule on a string, and the classifier of strings, would predict of each property. */
function heuristicsOf(plan: Plan, inputOnly: InputOnlyGuess = () => undefined): MatchInput["heuristics"] {
  const tasks = new Map(plan.tasks.map((task) => [task.definition.name, task]));
  const items = new Map(
    plan.tasks.flatMap((task) => task.heldOut.map((item) => [`${task.definition.name}/${item.id}`, item] as const)),
  );
  return (taskName, itemId, property, target) => {
    const task = tasks.get(taskName);
    const item = items.get(`${taskName}/${itemId}`);
    if (!task || !item) return {};
    const rules = Object.entries(heuristicAnswers(task.definition.kind, item.text, task.definition.answerForm));
    // A rule that means nothing for this kind of task is absent; one whose answer lacks the property is a wrong prediction.
    const guess = inputOnly(target, taskName, itemId, property);
    return Object.fromEntries([
      ...rules.flatMap(([rule, said]): [string, Extraction][] =>
        said.ok ? [[rule, extractBehavior(propertyNamed(property), said.answer, item, "end_of_generation")]] : [],
      ),
      ...(guess ? [[INPUT_ONLY, guess] as const] : []),
    ]);
  };
}
