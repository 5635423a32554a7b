/**
 * Train-precision × run-precision: an adapter that one file learnt to predict itself with is worn by each file, and all are asked what they
 * and the file beneath them do. Two runs like any other: one trains, one asks.
 */

import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writeError } from "../base/files.js";
import { runShared, type Sharing } from "../cluster/launch-workers.js";
import { InwardError } from "../errors.js";
import { RunFolder } from "../run/folder.js";
import type { WorkOptions } from "../run/open-model.js";
import { readContent } from "../run/records.js";
import type { AuthoredStudy } from "../run/run-study.js";
import { readTrainLabels, readTrials } from "../run/score-stages.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { statesOf } from "../study/states.js";
import type { TrainLabel, Trial } from "../score/trial.js";
import { askedAlike, type Benchmark, wornName } from "./benchmark.js";
import { type BesideMode, besideMode, meanRight, pairedRight } from "./old-self.js";
import type { Variant } from "./variants.js";

/** One adapter on one file. */
export interface CrossedCell {
  /** The file that learnt to predict itself. */
  readonly trainedOn: string;
  /** The file that wears what it learnt. */
  readonly askedOn: string;
  /** Share right about what the file that wears it does without it: what was learnt. */
  readonly right: Estimate;
  /** Beside whoever always says the most common thing that the file does: an adapter may have learnt no more. */
  readonly rightMode: BesideMode;
  /** Less the same file without an adapter, on the same questions. */
  readonly overUntrained: Estimate;
  /** Less the adapter that was trained on that very file, on the same questions; missing on the diagonal and where none was. */
  readonly overOwn: Estimate;
  /** Share right about what it does under the adapter. */
  readonly ofItself: Estimate;
  readonly ofItselfMode: BesideMode;
}

export interface CrossedAdapters {
  readonly cells: readonly CrossedCell[];
  /** What each adapter's training took. */
  readonly trained: readonly { readonly file: string; readonly steps: number; readonly sha256: string }[];
}

const FOLDERS = { trained: "02-adapters-trained", asked: "02-adapters-asked", files: "02-adapters" } as const;

/** @param options.sharing who does both runs @throws InwardError as runStudy */
export async function crossAdapters(
  benchmark: Benchmark,
  variants: readonly Variant[],
  folder: string,
  settings: ResamplingSettings,
  { offline, signal, onProgress, sharing }: WorkOptions & { readonly sharing?: Sharing },
): Promise<CrossedAdapters | undefined> {
  const { adapters } = benchmark;
  if (adapters === undefined) return undefined;
  const { trainedOn, askedOn = trainedOn, lora } = adapters;
  const pathOf = (name: string) => (variants.find((one) => one.name === name) as Variant).path;
  const work = { ...sharing, offline, signal, onProgress };
  const trainedModels = Object.fromEntries(trainedOn.map((name) => [name, { path: pathOf(name) }]));
  const trained = join(folder, FOLDERS.trained);
  const training = askedAlike(benchmark, trainedModels, {
    lora,
    predictions: trainedOn.map((name) => ({ predictor: name, target: name })),
  });
  await runShared(training as unknown as AuthoredStudy, { ...work, out: trained });

  // Without their cards, which name the one base that each was trained on: that another wears it is the question here.
  const files = join(folder, FOLDERS.files);
  const run = await RunFolder.open(trained);
  const made: { file: string; steps: number; sha256: string }[] = [];
  try {
    makeFolder(files);
    for (const file of trainedOn) {
      const adapter = statesOf(run.plan).all.find(
        (state) => state.training?.target === file && !state.training.labels,
      )?.adapter;
      if (adapter === undefined) throw new InwardError("INTERNAL", `No adapter was trained on ${file}.`);
      await copyFile(run.file(`adapter/${adapter}`), join(files, `${file}.gguf`));
      const card = await readContent(run, "adapterCard", adapter);
      made.push({ file, steps: card.losses.length, sha256: card.adapter.sha256 });
    }
  } catch (error) {
    throw error instanceof InwardError ? error : writeError(error, files);
  } finally {
    await run.close();
  }

  const worn = trainedOn.flatMap((from) =>
    askedOn.map((on) => ({
      from,
      on,
      name: wornName(from, on),
      path: pathOf(on),
      adapter: join(files, `${from}.gguf`),
    })),
  );
  const models = Object.fromEntries([
    ...askedOn.map((name) => [name, { path: pathOf(name) }] as const),
    ...worn.map(({ name, path, adapter }) => [name, { path, adapter }] as const),
  ]);
  const asked = join(folder, FOLDERS.asked);
  const asking = askedAlike(benchmark, models, {
    predictions: [
      ...askedOn.map((name) => ({ predictor: name, target: name })),
      ...worn.flatMap(({ name, on }) => [
        { predictor: name, target: on },
        { predictor: name, target: name },
      ]),
    ],
  });
  await runShared(asking as unknown as AuthoredStudy, { ...work, out: asked });
  const read = await RunFolder.open(asked);
  try {
    const labels = await readTrainLabels(read);
    return { cells: scoreCrossed(await readTrials(read), labels, worn, settings), trained: made };
  } finally {
    await read.close();
  }
}

/** @param worn each adapter on each file, and the state that this is */
export function scoreCrossed(
  trials: readonly Trial[],
  labels: readonly TrainLabel[],
  worn: readonly { readonly from: string; readonly on: string; readonly name: string }[],
  settings: ResamplingSettings,
): CrossedCell[] {
  const of = (predictor: string, target: string) =>
    trials.filter((trial) => trial.predictor === predictor && trial.target === target);
  return worn.map(({ from, on, name }): CrossedCell => {
    const own = worn.find((one) => one.from === on && one.on === on);
    const about = of(name, on);
    return {
      trainedOn: from,
      askedOn: on,
      right: meanRight(about, trials, settings),
      rightMode: besideMode(about, labels, trials, settings),
      overUntrained: pairedRight(about, of(on, on), trials, settings),
      overOwn:
        from === on
          ? { ok: false, reason: "it is the one that was trained on this file" }
          : own
            ? pairedRight(about, of(own.name, on), trials, settings)
            : { ok: false, reason: "no adapter was trained on this file" },
      ofItself: meanRight(of(name, name), trials, settings),
      ofItselfMode: besideMode(of(name, name), labels, trials, settings),
    };
  });
}
