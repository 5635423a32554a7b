/** What all files answered, as a run like any other; and the source's answers as texts on which logits are compared. */

import type { DistributionRow } from "../ask/measure-distribution.js";
import type { NoiseFloor } from "../ask/noise-floor.js";
import { objectLevelQuestions } from "../ask/questions.js";
import { runShared, type Sharing } from "../cluster/launch-workers.js";
import type { ComparedItem, CompareProcess } from "./compare-logits.js";
import { readBehaviors } from "../run/behaviors.js";
import { RunFolder } from "../run/folder.js";
import type { WorkOptions } from "../run/open-model.js";
import { readContent, readLines } from "../run/records.js";
import type { AuthoredStudy } from "../run/run-study.js";
import { clusterOf, readTrials } from "../run/score-stages.js";
import type { Behavior } from "../properties/property.js";
import type { CalibrationScores } from "../score/calibration/score-calibration.js";
import type { ClusterOf, TrainLabel, Trial } from "../score/trial.js";
import type { SettledEngine } from "../study/study.js";
import type { Answer } from "../tasks/answer.js";
import { askGraphs } from "./asked-graphs.js";
import { answersStudy, type Benchmark } from "./benchmark.js";
import type { ItemPlace } from "./divergence-scores.js";
import { SOURCE, type Variant } from "./variants.js";

export interface AskedAnswers {
  /** The source's own greedy answers to held-out strings, behind their prompts. */
  readonly items: readonly ComparedItem[];
  readonly places: readonly ItemPlace[];
  readonly answers: readonly Answer[];
  readonly behaviors: readonly Behavior[];
  readonly trials: readonly Trial[];
  readonly labels: readonly TrainLabel[];
  readonly clusterOf: ClusterOf;
  /** Of each file, what asking the same again in another order and batch composition changed. */
  readonly floors: readonly NoiseFloor[];
  /** Where the benchmark has a calibration: whole distributions, with their clusters. */
  readonly distributions?: readonly DistributionRow[];
  readonly calibration?: CalibrationScores;
  /** Why graphs were not asked, where they were not. */
  readonly graphsNotAsked?: string;
}

interface AskingOptions extends WorkOptions {
  readonly engine: SettledEngine;
  /** Says which tokens the source's prompts are. */
  readonly process: CompareProcess;
  /** Who asks the files. Default this process. */
  readonly sharing?: Sharing;
}

/**
 * @param place the run folder of the study
 * @param graphAnswers folder of what ONNX graphs were asked beside it
 * @throws InwardError as runStudy · ONNX_RUN
 */
export async function askFiles(
  benchmark: Benchmark,
  variants: readonly Variant[],
  { place, graphAnswers }: { readonly place: string; readonly graphAnswers: string },
  { offline, signal, onProgress, engine, process, sharing }: AskingOptions,
): Promise<AskedAnswers | undefined> {
  if (benchmark.tasks === undefined) return undefined;
  const files = variants.filter(({ graph }) => graph === undefined);
  const study = answersStudy(benchmark, Object.fromEntries(files.map(({ name, path }) => [name, path])));
  await runShared(study as unknown as AuthoredStudy, { ...sharing, out: place, offline, signal, onProgress });
  const run = await RunFolder.open(place);
  try {
    const { plan } = run;
    const answers = await readLines(run, "objectLevel");
    const behaviors = await readBehaviors(run);
    const clusters = clusterOf(plan);
    const own = answers.filter(
      ({ state, split, reply }) => state === SOURCE && split === "held_out" && reply && !reply.madeElsewhere,
    );
    const asked = new Map(
      objectLevelQuestions(plan).map((question) => [`${question.state}|${question.key}`, question]),
    );
    const chat = plan.chats?.[SOURCE];
    await process.call("open", [(variants[0] as Variant).path, engine, chat ? { chat } : {}]);
    const questions = own.flatMap((answer) => asked.get(`${SOURCE}|${answer.key.split("#")[0]}`) ?? []);
    const prompts = await process.call("prompts", [
      questions.map(({ messages, thinking }) => ({ messages, ...(thinking === undefined ? {} : { thinking }) })),
    ]);
    const items: ComparedItem[] = [];
    const places: ItemPlace[] = [];
    own.forEach(({ reply, task, item }, at) => {
      const prompt = prompts[at]?.tokenIds ?? [];
      const tokenIds = reply?.tokenIds ?? [];
      if (tokenIds.length === 0) return;
      items.push({ ids: [...prompt, ...tokenIds], scoreFrom: prompt.length });
      places.push({ task, item, cluster: clusters(task, item) });
    });
    const labels = behaviors.flatMap(({ state, split, task, property, extraction, compliance }) =>
      split === "train" && compliance.ok && extraction.ok
        ? [{ target: state, task, property, value: extraction.value }]
        : [],
    );
    const all: AskedAnswers = {
      items,
      places,
      answers,
      behaviors,
      labels,
      trials: await readTrials(run),
      floors: await readContent(run, "noiseFloor"),
      clusterOf: clusters,
      ...(plan.calibration
        ? {
            distributions: (await readLines(run, "distributions")).map((row) => ({
              ...row,
              cluster: clusters(row.task, row.item),
            })),
            calibration: await readContent(run, "calibration"),
          }
        : {}),
    };
    const graphs = variants.filter(({ graph }) => graph !== undefined);
    if (graphs.length === 0) return all;
    const asking = {
      source: variants[0] as Variant,
      graphs,
      folder: graphAnswers,
      engine,
      process,
      signal,
      onProgress,
    };
    const told = await askGraphs(run, all, asking);
    if (told.reason !== undefined) return { ...all, graphsNotAsked: told.reason };
    return {
      ...all,
      answers: [...all.answers, ...told.answers],
      behaviors: [...all.behaviors, ...told.behaviors],
      trials: [...all.trials, ...told.trials],
      labels: [...all.labels, ...told.labels],
    };
  } finally {
    await run.close();
  }
}

/** Largest change of a lead that was seen of either when the same was asked again, nats. */
export function marginFloor(floors: readonly NoiseFloor[], variant: string): number {
  return floors
    .filter(({ state }) => state === SOURCE || state === variant)
    .reduce((most, one) => Math.max(most, one.maxMarginDifference), 0);
}
