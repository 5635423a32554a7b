/** Stage 09: one HTML file, its Markdown twin and the figures. Needs no model. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type FromCache, together } from "../ask/answer-cache.js";
import {
  adaptedObjectLevelQuestions,
  challengedKey,
  hypotheticalQuestions,
  objectLevelQuestions,
  type Question,
} from "../ask/questions.js";
import { makeFolder, writeWhole } from "../base/files.js";
import { propertyNamed } from "../properties/all-properties.js";
import { quoteTurns } from "../properties/wordings.js";
import { plainText } from "../tasks/plain-form.js";
import { makeReport, type ReportInput } from "../report/make-report.js";
import { readTrialsPage } from "../report/trials-in-page.js";
import { chooseSamples, countedOption } from "../report/sections/samples.js";
import type { PairNames } from "../report/terms.js";
import { INPUT_ONLY } from "../score/input-only/input-only-predictions.js";
import { askedForm } from "../study/forms.js";
import type { EngineManifest } from "../study/plan.js";
import { statesOf } from "../study/states.js";
import type { RecordedReply } from "../tasks/answer.js";
import { ANSWERS_OF_ROUND, askedItems, CHALLENGED_OF_ROUND } from "./behaviors.js";
import type { RunFolder } from "./folder.js";
import { readManifest, type RunSetUp, type StageContext, type StageWork } from "./open-models.js";
import { readContent, readLines } from "./records.js";
import { readTrials } from "./score-stages.js";
import { readTraining } from "./train-stages.js";
import { embedTrials } from "./trials/embedded-trials.js";

type OptionalContent =
  | "comparisons"
  | "calibration"
  | "matrix"
  | "experiments"
  | "shifts"
  | "probes"
  | "lensScores"
  | "simulation"
  | "insideResults"
  | "injection";

export async function writeReport(
  { run, signal }: Pick<StageContext, "run" | "signal">,
  { reads }: StageWork,
): Promise<void> {
  const manifests = await readManifest(run);
  const ifThere = async <Name extends OptionalContent>(name: Name) =>
    reads.has(name) ? await readContent(run, name) : undefined;
  const carried = Object.entries(manifests).filter(([, all]) => all.length > 1);
  const report = await makeReport({
    plan: run.plan,
    scores: await readContent(run, "scores"),
    noiseFloors: await readContent(run, "noiseFloor"),
    manifests: Object.fromEntries(
      Object.entries(manifests).flatMap(([state, [first]]) => (first ? [[state, asAsked(first)]] : [])),
    ),
    fromCache: notAsked(manifests),
    samples: await samplesOf(run, reads),
    training: await readTraining(run),
    comparisons: await ifThere("comparisons"),
    inputOnly: Object.fromEntries(
      Object.entries(await readContent(run, "inputOnly")).map(
        ([
          target,
          {
            [INPUT_ONLY]: { cells },
          },
        ]) => [target, cells],
      ),
    ),
    calibration: await ifThere("calibration"),
    matrix: await ifThere("matrix"),
    experiments: await ifThere("experiments"),
    shifts: await ifThere("shifts"),
    probes: await ifThere("probes"),
    lenses: await ifThere("lensScores"),
    simulation: await ifThere("simulation"),
    patches: reads.has("patches") ? await readLines(run, "patches") : undefined,
    inside: await ifThere("insideResults"),
    injection: await ifThere("injection"),
    trials: await listedTrials(run, reads, signal),
    taskWarnings: carried.map(
      ([state, all]) =>
        `${state} was asked on ${all.length} different set-ups (manifest.json); their last bits may differ.`,
    ),
  });
  const folder = run.file("figures");
  await rm(folder, { recursive: true, force: true });
  makeFolder(folder);
  for (const figure of report.figures) await writeWhole(join(folder, `${figure.name}.svg`), figure.svg);
  await writeWhole(run.file("reportMarkdown"), report.markdown);
  await writeWhole(run.file("report"), report.html);
}

async function listedTrials(
  run: RunFolder,
  reads: StageWork["reads"],
  signal: AbortSignal | undefined,
): Promise<ReportInput["trials"]> {
  const page = run.plan.predictions.length > 0 ? readTrialsPage() : undefined;
  return page && { ...(await embedTrials(run, reads, { signal })), page };
}

function asAsked({ fromCache: _, ...manifest }: RunSetUp): EngineManifest {
  return manifest;
}

function notAsked(manifests: Awaited<ReturnType<typeof readManifest>>): FromCache | undefined {
  const setUps = Object.values(manifests).flat();
  return together(
    setUps.flatMap(({ fromCache = {} }) => Object.values(fromCache).flatMap((groups) => Object.values(groups))),
  );
}

async function samplesOf(run: RunFolder, reads: StageWork["reads"]) {
  const isMain = (pair: PairNames) => statesOf(run.plan).isMain(pair);
  const trials = (await readTrials(run)).filter(isMain);
  const items = askedItems(run.plan);
  const said = new Map<string, RecordedReply | undefined>();
  for (const file of [...ANSWERS_OF_ROUND, ...CHALLENGED_OF_ROUND, "hypothetical"] as const) {
    if (!reads.has(file)) continue;
    for (const row of await readLines(run, file)) said.set(`${row.state}|${row.key}`, row.reply);
  }
  const earlier = new Map(run.plan.tasks.map(({ definition }) => [definition.name, definition.before?.length ?? 0]));
  // Without the turns before its question a string of some tasks would not be seen.
  const ownTurns = ({ state, task, messages }: Question) =>
    (askedForm(run.plan, state).isPlain ? plainText : quoteTurns)(messages.slice(-1 - (earlier.get(task) ?? 0)));
  const asked = new Map(
    [
      ...objectLevelQuestions(run.plan),
      ...adaptedObjectLevelQuestions(run.plan),
      ...hypotheticalQuestions(run.plan),
    ].map((question) => [`${question.state}|${question.key}`, ownTurns(question)]),
  );
  const textOf = (key: string) => said.get(key)?.text ?? "";
  // Its own prompt stands in its log.
  const isElsewhere = (state: string) =>
    statesOf(run.plan).of(state).elsewhere ? "(asked elsewhere; in this study's words)\n" : "";
  return chooseSamples(trials, (trial) => {
    const { target, predictor, task, item, property, option } = trial;
    const objectKey = `${target}|${trial.answerKey}`;
    const answers = [objectKey];
    if (propertyNamed(property, run.plan.ownProperties).needs === "challenge") answers.push(challengedKey(objectKey));
    const counted =
      option &&
      countedOption(option, items.get(`${task}/${item}`)?.text ?? "", {
        scores: said.get(objectKey)?.options,
        by: run.plan.tasks.find(({ definition }) => definition.name === task)?.definition.optionScore,
      });
    return {
      objectQuestion: `${isElsewhere(target)}${asked.get(objectKey) ?? ""}`,
      objectAnswer: answers.map(textOf).join(" → "),
      ...(counted === undefined ? {} : { countedOption: counted }),
      hypotheticalQuestion: `${isElsewhere(predictor)}${asked.get(`${predictor}|${trial.replyKey}`) ?? ""}`,
      hypotheticalReply: textOf(`${predictor}|${trial.replyKey}`),
    };
  });
}
