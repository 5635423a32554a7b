/** Stage 07, calibration: measures how states answer at temperature 1, resuming where an earlier process stopped. */
import { type CalibrationQuestion, calibrationGroups, calibrationQuestions } from "../ask/calibration-questions.js";
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import type { MeasuredDistribution } from "../records/calibration.js";
import type { Distribution } from "../records/distribution.js";
import { AnswerShard } from "../store/answer-shard.js";
import { hashOf } from "../store/canonical-json.js";
import { adapterHashes } from "./adapter-hashes.js";
import { measureQuestions } from "./measure-questions.js";
import type { StageContext } from "./stage-context.js";

const STAGE = "distributions";

/** Measures nothing, and writes no file, when the plan has no calibration. @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureDistributions(context: StageContext): Promise<void> {
  const { run, events } = context;
  if (!run.plan.calibration) return;
  const groups = calibrationGroups(calibrationQuestions(run.plan));
  const total = groups.flat().length;
  const inputs = { plan: hashOf(run.plan), ...adapterHashes(run) };
  if (await run.isDone("distributions", inputs)) {
    context.onProgress(STAGE, total, total);
    return;
  }
  events.add("stage_begun", { stage: STAGE, distributions: total });
  const shard = await AnswerShard.open<MeasuredDistribution>(run.file("distributions"), groups);
  try {
    await measureGroups(context, shard, groups);
  } finally {
    await shard.close();
  }
  await run.markDone("distributions", inputs);
  events.add("stage_done", { stage: STAGE });
}

async function measureGroups(
  context: StageContext,
  shard: AnswerShard<MeasuredDistribution>,
  groups: readonly (readonly CalibrationQuestion[])[],
): Promise<void> {
  const { run, events, modelFor, onProgress, signal } = context;
  const total = groups.flat().length;
  let done = groups.slice(0, shard.groupsDone).flat().length;
  onProgress(STAGE, done, total);
  let checked: string | undefined;
  for (const [index, group] of groups.entries()) {
    if (index < shard.groupsDone) continue;
    const { state, side, task, item } = group[0] as CalibrationQuestion;
    const model = await modelFor(state);
    if (state !== checked) {
      await checkAll(model, groups.slice(index).flat(), state);
      checked = state;
    }
    const begun = performance.now();
    const measured = await unlessCrashedTwice(context, model, state, (sound) =>
      measureQuestions(sound, group, run.plan, {
        onMeasured: (count) => onProgress(STAGE, done + count, total),
        ...(signal ? { signal } : {}),
      }),
    );
    await shard.append(measured);
    done += group.length;
    const wallSeconds = (performance.now() - begun) / 1000;
    events.add("group_measured", { stage: STAGE, state, side, task, item, ...costOf(measured), wallSeconds });
  }
}

/** A crash may be none of the question's own, such as the system's killer of processes: the group is measured again whole, once. */
async function unlessCrashedTwice<Result>(
  { events, reopenModel }: StageContext,
  model: LanguageModel,
  state: string,
  measure: (model: LanguageModel) => Promise<Result>,
): Promise<Result> {
  try {
    return await measure(model);
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "ENGINE_CRASHED") throw error;
    events.add("engine_crashed", { stage: STAGE, state, message: error.message });
    return await measure(await reopenModel(state));
  }
}

/** A question that cannot be asked must be known before hours are spent on the others of its state. */
async function checkAll(model: LanguageModel, questions: readonly CalibrationQuestion[], state: string): Promise<void> {
  const own = questions.filter((question) => question.state === state);
  await model.check(own.map(({ messages, maxTokens }) => ({ messages, maxTokens, temperature: 1, topTokens: 1 })));
}

function costOf(measured: readonly MeasuredDistribution[]): { evaluatedTokens: number; samples: number } {
  const sum = (cost: (distribution: Distribution) => number) =>
    measured.reduce((total, { distribution }) => total + cost(distribution), 0);
  return {
    evaluatedTokens: sum((one) => one.evaluatedTokens ?? 0),
    samples: sum((one) => (one.method === "samples" ? one.samples : 0)),
  };
}
