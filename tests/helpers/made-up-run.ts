/** A whole run of a study whose models are made up: what each does and what each would say is a function. Nothing is trained. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { LanguageModel } from "../../src/model/language-model.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { extractBehavior } from "../../src/properties/reading.js";
import { readJson } from "../../src/base/files.js";
import { RunFolder } from "../../src/run/folder.js";
import { stagesOf } from "../../src/run/stages.js";
import type { ExperimentResults } from "../../src/score/verdicts/experiments.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import type { TaskItem } from "../../src/tasks/task.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { replyOf, withPositions, scriptedModel } from "./scripted-model.js";
import { only, runScripted } from "./scripted-run.js";
import { settledStudy } from "./settled-study.js";

/** A string of a task, with the task's name. */
export interface MadeUpItem extends TaskItem {
  readonly task: string;
}

export interface World {
  /** The object-level answer of a state. */
  readonly does: (state: string, item: MadeUpItem) => string;
  /** The answer that a predictor has in mind when it is asked about one; what it says is that answer's property. */
  readonly imagines: (state: string, item: MadeUpItem, property: string, plan: Plan) => string;
}

export interface MadeUpRun {
  readonly plan: Plan;
  readonly path: string;
  readonly results: ExperimentResults;
}

/** In [0, 1), the same for the same parts. */
export function chance(...parts: readonly (string | number | boolean)[]): number {
  return createHash("sha256").update(JSON.stringify(parts)).digest().readUInt32LE(0) / 2 ** 32;
}

/** One of a list, the same for the same parts. */
export function pick<One>(list: readonly One[], ...parts: readonly (string | number | boolean)[]): One {
  return list[Math.floor(list.length * chance(...parts))] as One;
}

/**
 * @param yaml a study; every model of it is made up
 * @param older what an older version would have planned otherwise
 */
export async function madeUpRun(
  yaml: string,
  world: World,
  older: (plan: Plan) => Plan = (plan) => plan,
): Promise<MadeUpRun> {
  const study = settledStudy(yaml);
  const files = Object.fromEntries(Object.keys(study.models).map((name) => [name, fileOf(name)]));
  const plan = older(await makePlan(study, files, "."));
  const run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-made-up-")), plan);
  try {
    for (const { name, kind, writes } of stagesOf(plan)) {
      if (kind === "reported") continue;
      if (kind !== "trained") {
        await runScripted(run, async (state) => modelOf(plan, state, world), only(name));
        continue;
      }
      for (const file of writes) {
        await mkdir(dirname(run.file(file)), { recursive: true });
        await writeFile(run.file(file), `${file}\n`);
      }
      await run.markDone(writes, { madeUp: name });
    }
    return { plan, path: run.path, results: await readJson<ExperimentResults>(run.file("experiments")) };
  } finally {
    await run.close();
  }
}

function fileOf(name: string): ModelFile {
  return { source: name, path: `/${name}`, sha256: name, bytes: 1, encoding: "F32", licence: "mit" };
}

function modelOf(plan: Plan, state: string, world: World): LanguageModel {
  const items = new Map(
    plan.tasks.flatMap(({ definition, train, heldOut }) =>
      [...train, ...heldOut].map((item) => [`${definition.name}/${item.id}`, { ...item, task: definition.name }]),
    ),
  );
  // The longest first: one question may end as another does.
  const questions = Object.entries(plan.wordings.properties).sort(([, a], [, b]) => b.length - a.length);
  const answer = (shares: string, content: string): string => {
    const [, task, item, variant] = shares.split("/") as [string, string, string, string];
    const asked = items.get(`${task}/${item}`) as MadeUpItem;
    if (variant === "") return world.does(state, asked);
    const property = questions.find(([, question]) => content.includes(question))?.[0] as string;
    const found = extractBehavior(
      propertyNamed(property, plan.ownProperties),
      world.imagines(state, asked, property, plan),
      asked,
      "end_of_generation",
    );
    return found.ok ? found.value : "unclear";
  };
  return {
    ...scriptedModel(() => ""),
    manifest: MANIFEST,
    check: async (requests) => requests.map(() => 1),
    // The matrix asks for logprobs as well; these are made of nothing but their place.
    score: async (requests) =>
      requests.map(({ continuations }, at) =>
        continuations.map((_, place) => ({
          tokenIds: [1],
          logprobs: [-1 - chance("logprob", state, at, place)],
          endOfTurnLogprob: -1,
        })),
      ),
    ask: async (requests, options) =>
      requests.map(({ messages, shares, positions }, at) => {
        const bare = replyOf(answer(shares as string, messages.at(-1)?.content ?? ""));
        const reply = positions === undefined ? bare : withPositions(bare, positions);
        options?.onReply?.(at, reply);
        return reply;
      }),
  };
}
