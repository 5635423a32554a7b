/** Stage 09: one HTML file, its Markdown twin and the figures. Needs no model. */

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { NoiseFloor } from "../ask/noise-floor.js";
import {
  adaptedObjectLevelQuestions,
  challengedKey,
  hypotheticalQuestions,
  objectLevelQuestions,
} from "../ask/questions.js";
import { readJson, readJsonLines, writeError, writeWhole } from "../base/files.js";
import { propertyNamed } from "../properties/all-properties.js";
import { makeReport } from "../report/report.js";
import { chooseSamples } from "../report/sections/samples.js";
import type { PairNames } from "../report/words.js";
import type { CalibrationScores } from "../score/calibration/score-calibration.js";
import type { Comparisons } from "../score/comparison/comparisons.js";
import type { Shifts } from "../score/comparison/shift.js";
import type { MatrixScores } from "../score/matrix/matrix.js";
import type { Scores } from "../score/scores.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import { statesOf } from "../study/states.js";
import type { Answer } from "../tasks/answer.js";
import { ANSWERS_OF_ROUND, CHALLENGED_OF_ROUND, roundsOf } from "./behaviors.js";
import type { RunFile, RunFolder } from "./folder.js";
import { readManifest, type StageContext, type StageWork } from "./models.js";
import { matchRun, readInputOnly } from "./score-stages.js";
import { readTraining } from "./train-stages.js";

export async function writeReport({ run }: Pick<StageContext, "run">, { reads }: StageWork): Promise<void> {
  const manifests = await readManifest(run);
  const ifThere = async <Content>(file: RunFile): Promise<Content | undefined> =>
    reads.has(file) ? await readJson<Content>(run.file(file)) : undefined;
  const carried = Object.entries(manifests).filter(([, all]) => all.length > 1);
  const report = await makeReport({
    plan: run.plan,
    scores: await readJson<Scores>(run.file("scores")),
    noiseFloors: await readJson<NoiseFloor[]>(run.file("noiseFloor")),
    manifests: Object.fromEntries(
      Object.entries(manifests).flatMap(([state, [first]]) => (first ? [[state, first]] : [])),
    ),
    samples: await samplesOf(run),
    training: await readTraining(run),
    comparisons: await ifThere<Comparisons>("comparisons"),
    inputOnly: Object.fromEntries(Object.entries(await readInputOnly(run)).map(([state, { cells }]) => [state, cells])),
    calibration: await ifThere<CalibrationScores>("calibration"),
    matrix: await ifThere<MatrixScores>("matrix"),
    experiments: await ifThere<ExperimentResults>("experiments"),
    shifts: await ifThere<Shifts>("shifts"),
    taskWarnings: carried.map(
      ([state, all]) =>
        `${state} was asked on ${all.length} different set-ups (manifest.json); their last bits may differ.`,
    ),
  });
  const folder = run.file("figures");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw writeError(error, folder);
  });
  for (const figure of report.figures) await writeWhole(join(folder, `${figure.name}.svg`), figure.svg);
  await writeWhole(run.file("reportMarkdown"), report.markdown);
  await writeWhole(run.file("report"), report.html);
}

async function samplesOf(run: RunFolder) {
  const isMain = (pair: PairNames) => statesOf(run.plan).isMain(pair);
  const trials = (await matchRun(run)).trials.filter(isMain);
  const said = new Map<string, string>();
  const files = roundsOf(run.plan).flatMap((round) => [ANSWERS_OF_ROUND[round], CHALLENGED_OF_ROUND[round]]);
  for (const file of [...files, "hypothetical"] as const) {
    const { rows } = await readJsonLines<Answer>(run.file(file));
    for (const row of rows) said.set(`${row.state}|${row.key}`, row.reply?.text ?? "");
  }
  const asked = new Map(
    [
      ...objectLevelQuestions(run.plan),
      ...adaptedObjectLevelQuestions(run.plan),
      ...hypotheticalQuestions(run.plan),
    ].map((question) => [`${question.state}|${question.key}`, question.messages.at(-1)?.content ?? ""]),
  );
  return chooseSamples(trials, (trial) => {
    const objectKey = `${trial.target}|${trial.task}/${trial.item}`;
    const finalAnswer =
      propertyNamed(trial.property).needs === "challenge" ? said.get(challengedKey(objectKey)) : undefined;
    const hypotheticalKey = `${trial.predictor}|${trial.task}/${trial.item}/${trial.property}/${trial.variant}`;
    return {
      objectQuestion: asked.get(objectKey) ?? "",
      objectAnswer: [said.get(objectKey) ?? "", ...(finalAnswer === undefined ? [] : [finalAnswer])].join(" → "),
      hypotheticalQuestion: asked.get(hypotheticalKey) ?? "",
      hypotheticalReply: said.get(hypotheticalKey) ?? "",
    };
  });
}
