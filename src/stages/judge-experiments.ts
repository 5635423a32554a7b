/** Stage 08, the last: what each experiment of the plan found, by rule, from the scores. Needs no model. */
import { hasMatrix } from "../ask/matrix-states.js";
import { ALL_EXPERIMENTS } from "../experiments/all-experiments.js";
import { type ExperimentInput, resultOf } from "../experiments/experiment.js";
import type { ExperimentResults } from "../records/experiments.js";
import type { Plan } from "../records/plan.js";
import { hashOf } from "../store/canonical-json.js";
import { readJson } from "../store/read-records.js";
import type { RunFile, RunFolder } from "../store/run-folder.js";
import { writeJson } from "../store/write-whole.js";
import { hasComparisons } from "./compare-predictors.js";
import { changesOf } from "./score-shifts.js";
import type { StageContext } from "./stage-context.js";

/** Writes no file for a plan that is older than experiments. @throws STORE_* */
export async function judgeExperiments({ run }: Pick<StageContext, "run">): Promise<void> {
  const names = run.plan.experiments;
  if (!names) return;
  const files = scoreFiles(run.plan);
  const inputs = {
    plan: hashOf(run.plan),
    ...Object.fromEntries(files.map((file) => [file, run.outputHash(file)])),
  };
  if (await run.isDone("experiments", inputs)) return;
  const input = { plan: run.plan, ...(await readAll(run, files)) } as ExperimentInput;
  const results: ExperimentResults = {
    experimentsVersion: 1,
    experiments: ALL_EXPERIMENTS.filter(({ name }) => names.includes(name)).map((one) => resultOf(one, input)),
  };
  await writeJson(run.file("experiments"), results);
  await run.markDone("experiments", inputs);
}

/** Those that the plan's stages write; the names are also ExperimentInput's. */
function scoreFiles(plan: Plan) {
  return [
    "scores" as const,
    ...(hasComparisons(plan) ? (["comparisons"] as const) : []),
    ...(plan.calibration ? (["calibration"] as const) : []),
    ...(changesOf(plan).length > 0 ? (["shifts"] as const) : []),
    ...(hasMatrix(plan) ? (["matrix"] as const) : []),
  ] satisfies RunFile[];
}

async function readAll(run: RunFolder, files: readonly RunFile[]): Promise<Record<string, unknown>> {
  const read = files.map(async (file) => [file, await readJson<unknown>(run.file(file))] as const);
  return Object.fromEntries(await Promise.all(read));
}
