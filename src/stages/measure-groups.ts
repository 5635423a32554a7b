/** The frame of a stage that measures: group by group into an append-only file, resuming where an earlier process stopped. */
import { InwardError } from "../errors.js";
import type { LanguageModel } from "../model/language-model.js";
import { AnswerShard } from "../store/answer-shard.js";
import { hashOf } from "../store/canonical-json.js";
import type { RunFile } from "../store/run-folder.js";
import { adapterHashes } from "./adapter-hashes.js";
import type { StageContext } from "./stage-context.js";

interface Placed {
  readonly state: string;
  readonly key: string;
}

export interface MeasuredStage<Question extends Placed, Row extends Placed> {
  readonly name: string;
  readonly file: RunFile;
  /** One state in each, states not mixed: what is measured and stored as one. */
  readonly groups: readonly (readonly Question[])[];
  /** Throws when a question cannot be asked: known before hours are spent on the others of its state. */
  readonly check: (model: LanguageModel, questions: readonly Question[]) => Promise<unknown>;
  /** @returns a row for each question, in their order */
  readonly measure: (
    model: LanguageModel,
    group: readonly Question[],
    onMeasured: (count: number) => void,
  ) => Promise<readonly Row[]>;
  /** What the log says of a finished group. */
  readonly describe: (group: readonly Question[], rows: readonly Row[]) => Readonly<Record<string, unknown>>;
}

/** @throws ENGINE_*, CHAT_*, STORE_*, INTERRUPTED */
export async function measureGroups<Question extends Placed, Row extends Placed>(
  context: StageContext,
  stage: MeasuredStage<Question, Row>,
): Promise<void> {
  const { run, events, onProgress } = context;
  const total = stage.groups.flat().length;
  const inputs = { plan: hashOf(run.plan), ...adapterHashes(run) };
  if (await run.isDone(stage.file, inputs)) {
    onProgress(stage.name, total, total);
    return;
  }
  events.add("stage_begun", { stage: stage.name, [stage.name]: total });
  const shard = await AnswerShard.open<Row>(run.file(stage.file), stage.groups);
  try {
    await measureWaiting(context, shard, stage);
  } finally {
    await shard.close();
  }
  await run.markDone(stage.file, inputs);
  events.add("stage_done", { stage: stage.name });
}

async function measureWaiting<Question extends Placed, Row extends Placed>(
  context: StageContext,
  shard: AnswerShard<Row>,
  { name, groups, check, measure, describe }: MeasuredStage<Question, Row>,
): Promise<void> {
  const { events, modelFor, onProgress } = context;
  const total = groups.flat().length;
  let done = groups.slice(0, shard.groupsDone).flat().length;
  onProgress(name, done, total);
  let checked: string | undefined;
  for (const [index, group] of groups.entries()) {
    if (index < shard.groupsDone) continue;
    const { state } = group[0] as Question;
    const model = await modelFor(state);
    if (state !== checked) {
      const own = groups.slice(index).flat();
      await check(
        model,
        own.filter((question) => question.state === state),
      );
      checked = state;
    }
    const begun = performance.now();
    const rows = await unlessCrashedTwice(context, { model, stage: name, state }, (sound) =>
      measure(sound, group, (count) => onProgress(name, done + count, total)),
    );
    await shard.append(rows);
    done += group.length;
    const wallSeconds = (performance.now() - begun) / 1000;
    events.add("group_measured", { stage: name, state, ...describe(group, rows), wallSeconds });
  }
}

/** A crash may be none of the question's own, such as the system's killer of processes: the group is measured again whole, once. */
async function unlessCrashedTwice<Result>(
  { events, reopenModel }: StageContext,
  { model, stage, state }: { model: LanguageModel; stage: string; state: string },
  measure: (model: LanguageModel) => Promise<Result>,
): Promise<Result> {
  try {
    return await measure(model);
  } catch (error) {
    if (!(error instanceof InwardError) || error.code !== "ENGINE_CRASHED") throw error;
    events.add("engine_crashed", { stage, state, message: error.message });
    return await measure(await reopenModel(state));
  }
}
