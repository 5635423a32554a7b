/** Stage 08, matrix: does a state predict itself better than skill, predictability and likeness explain? Needs no model. */
import { hasMatrix, matrixPredictors, matrixTargets } from "../ask/matrix-states.js";
import type { MeasuredLogprobDifference } from "../records/logprob-difference.js";
import type { MatrixScores, SongScores } from "../score/matrix/matrix-scores.js";
import { scoreMatrix as scoreMatrixTrials } from "../score/matrix/score-matrix.js";
import type { ResamplingSettings } from "../score/resampling-settings.js";
import { scoreSong } from "../score/song/score-song.js";
import { readJsonLines } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";
import { writeJson } from "../store/write-whole.js";
import { whyNoLogprobs } from "./measure-logprob-differences.js";
import { matchPairs, scoreInputs } from "./score-predictions.js";
import type { StageContext } from "./stage-context.js";

/** Writes no file when the plan does not ask for a matrix. @throws STORE_* */
export async function scoreMatrix({ run }: Pick<StageContext, "run">): Promise<void> {
  const { plan } = run;
  if (!hasMatrix(plan)) return;
  const without = whyNoLogprobs(plan);
  const inputs = {
    ...scoreInputs(run),
    ...(without === undefined ? { logprobDifferences: run.outputHash("logprobDifferences") } : {}),
  };
  if (await run.isDone("matrix", inputs)) return;
  const settings: ResamplingSettings = {
    confidence: plan.score.confidence,
    bootstrapReplicates: plan.score.bootstrapReplicates,
    bootstrapSeed: plan.seed,
  };
  const targets = matrixTargets(plan);
  const pairs = matrixPredictors(plan).flatMap((predictor) => targets.map((target) => ({ predictor, target })));
  const { trials, trainLabels } = await matchPairs(run, pairs, () => ({}));
  const matrix: MatrixScores = {
    ...scoreMatrixTrials(plan, trials, trainLabels, settings),
    song: without === undefined ? await songOf(run, settings) : { ok: false, reason: without },
  };
  await writeJson(run.file("matrix"), matrix);
  await run.markDone("matrix", inputs);
}

async function songOf(run: RunFolder, settings: ResamplingSettings): Promise<SongScores> {
  const { rows } = await readJsonLines<MeasuredLogprobDifference>(run.file("logprobDifferences"));
  return scoreSong(run.plan, rows, settings);
}
