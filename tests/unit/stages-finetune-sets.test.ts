/** Stages 03 and 04 on answers that are written down: from what a target said to the examples that an adapter learns. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import {
  adaptedObjectLevelQuestions,
  hypotheticalQuestions,
  objectLevelQuestions,
  toAnswer,
} from "../../src/ask/questions.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { FinetuneExample, FinetuneSetReport } from "../../src/finetune/set.js";
import { matchRun } from "../../src/run/score-stages.js";
import { RunFolder } from "../../src/run/folder.js";
import { readJson, readJsonLines, writeJson, writeJsonLines } from "../../src/base/files.js";
import { replyOf } from "../helpers/scripted-model.js";
import { runStored } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const NAME = "m-predicts-m";
const SET = `finetuneSet/${NAME}` as const;
const STUDY = `
study: sets
seed: 5
models: { m: { source: some-model } }
tasks:
  - { task: animals_long, trainStrings: 12, heldOutStrings: 6 }
  - { task: english_words_long, trainStrings: 8, heldOutStrings: 6, train: false }
properties: [first_word, second_character]
hypothetical: { variants: [minimal, past] }
lora: { examplesPerProperty: 10 }
score: { bootstrapReplicates: 100 }
`;
const model: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let folder: string;
let plan: Plan;
let run: RunFolder;

/** What the target says to each string; two of the animals get no answer and one a refusal. */
const say = (item: string) => (/-[01]$/.test(item) ? "" : `Wolf${item} bear`);

async function answerObjectLevel(text: (item: string) => string): Promise<void> {
  const answers = objectLevelQuestions(plan).map((question) => toAnswer(question, replyOf(text(question.item))));
  await writeJsonLines(run.file("objectLevel"), answers);
  await run.markDone(["objectLevel"], { plan: 1 });
  await runStored(run, "behaviors");
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-sets-"));
  plan = await makePlan(settledStudy(STUDY), { m: model }, ".");
  run = await RunFolder.create(folder, plan);
});

describe("stage 04", () => {
  test("writes examples of the trained task's train strings, in the very words of asking", async () => {
    await answerObjectLevel(say);
    await runStored(run, `finetune set ${NAME}`);
    const { rows } = await readJsonLines<FinetuneExample>(run.file(SET));
    const train = plan.tasks[0]?.train ?? [];
    const answered = train.filter(({ id }) => say(id) !== "");
    expect(rows).toHaveLength(Math.min(10, answered.length) * 2 * 2);
    // The asked questions about held-out strings, with the train string in the place of the held-out one.
    const asked = hypotheticalQuestions(plan);
    for (const { messages, metadata } of rows) {
      expect(metadata.task).toBe("animals_long");
      const item = train.find(({ id }) => id === metadata.item);
      const like = asked.find(
        ({ task, property, variant }) =>
          task === metadata.task && property === metadata.property && variant === metadata.variant,
      );
      const heldOut = plan.tasks[0]?.heldOut.find(({ id }) => id === like?.item);
      expect(messages.slice(0, -1)).toEqual(
        like?.messages.map(({ role, content }) => ({
          role,
          content: content.replace(heldOut?.text ?? "", () => item?.text ?? ""),
        })),
      );
      expect(messages.at(-1)).toEqual({
        role: "assistant",
        content: metadata.property === "first_word" ? `wolf${metadata.item}` : "o",
      });
    }
  });

  test("lets no held-out string into any line", async () => {
    await answerObjectLevel(say);
    await runStored(run, `finetune set ${NAME}`);
    const text = await readFile(run.file(SET), "utf8");
    for (const task of plan.tasks) {
      for (const item of task.heldOut) expect(text).not.toContain(JSON.stringify(item.text).slice(1, -1));
    }
    for (const item of plan.tasks[1]?.train ?? []) expect(text).not.toContain(item.text);
  });

  test("reports counts, reasons and the set's own hash", async () => {
    await answerObjectLevel(say);
    await runStored(run, `finetune set ${NAME}`);
    const report = await readJson<FinetuneSetReport>(run.file(`finetuneSetReport/${NAME}`));
    const text = await readFile(run.file(SET), "utf8");
    expect(report.sha256).toBe(createHash("sha256").update(text).digest("hex"));
    expect(report).toMatchObject({
      adapter: NAME,
      base: "m",
      target: "m",
      examples: text.trim().split("\n").length,
      heldOutTasks: ["english_words_long"],
      variants: ["minimal", "past"],
    });
    const silent = plan.tasks[0]?.train.filter(({ id }) => say(id) === "").length ?? 0;
    for (const cell of report.cells) {
      expect(cell).toMatchObject({ task: "animals_long", strings: 12 });
      expect(cell.excluded).toEqual(silent > 0 ? { empty: silent } : {});
    }
  });

  test("is made once, and again when the behaviors are others; a checkpoint of the old set's training goes", async () => {
    await answerObjectLevel(say);
    await runStored(run, `finetune set ${NAME}`);
    const [text, { mtimeMs }] = [await readFile(run.file(SET), "utf8"), await stat(run.file(SET))];
    const checkpoint = run.file(`checkpoint/${NAME}`);
    await mkdir(checkpoint, { recursive: true });
    await runStored(run, `finetune set ${NAME}`);
    expect((await stat(run.file(SET))).mtimeMs).toBe(mtimeMs);
    run.forget(SET);
    await runStored(run, `finetune set ${NAME}`);
    expect(await readFile(run.file(SET), "utf8")).toBe(text);
    expect((await stat(checkpoint)).isDirectory()).toBe(true);
    run.forget("behaviors");
    await answerObjectLevel((item) => `lynx ${item}`);
    await runStored(run, `finetune set ${NAME}`);
    expect(await readFile(run.file(SET), "utf8")).not.toBe(text);
    await expect(stat(checkpoint)).rejects.toThrow("ENOENT");
  });

  test("refuses a target that never complied, with the reasons", async () => {
    await answerObjectLevel(() => "I'm sorry, but I cannot answer that.");
    await expect(runStored(run, `finetune set ${NAME}`)).rejects.toThrow(
      expect.objectContaining({
        code: "TRAIN_EMPTY_SET",
        message: expect.stringMatching(/animals_long \(refusal 24\)/),
      }),
    );
    await expect(stat(run.file(SET))).rejects.toThrow("ENOENT");
  });

  test("finds a set that was changed by hand", async () => {
    await answerObjectLevel(say);
    await runStored(run, `finetune set ${NAME}`);
    await writeFile(run.file(SET), "{}\n");
    await expect(runStored(run, `finetune set ${NAME}`)).rejects.toThrow(
      expect.objectContaining({ code: "STORE_CORRUPT" }),
    );
  });
});

test("adapted answers become trials beside the others, with labels of what the trained model does now", async () => {
  await answerObjectLevel(say);
  await writeJsonLines(
    run.file("objectLevelAdapted"),
    adaptedObjectLevelQuestions(plan).map((question) => toAnswer(question, replyOf("Otter fox"))),
  );
  await run.markDone(["objectLevelAdapted"], {});
  await runStored(run, "behaviors, adapted");
  await writeJsonLines(
    run.file("hypothetical"),
    hypotheticalQuestions(plan).map((question) =>
      toAnswer(question, replyOf(question.state === NAME ? "otter" : "I would say otter")),
    ),
  );
  await run.markDone(["hypothetical"], {});
  await writeJson(run.file("noiseFloor"), []);
  await run.markDone(["noiseFloor"], {});
  const { trials, trainLabels } = await matchRun(run);
  expect(new Set(trials.map(({ predictor, target }) => `${predictor} about ${target}`))).toEqual(
    new Set(["m about m", `${NAME} about m`, `${NAME} about ${NAME}`, `m about ${NAME}`]),
  );
  const labels = (target: string) => trainLabels.filter((label) => label.target === target).map(({ value }) => value);
  expect(new Set(labels(NAME))).toEqual(new Set(["otter", "t"]));
  expect(new Set(labels("m"))).not.toEqual(new Set(labels(NAME)));
  // The classifier of strings learns what the adapter learns.
  await runStored(run, `finetune set ${NAME}`);
  await runStored(run, "input only");
  await runStored(run, "trials");
  await runStored(run, "scores");
  const scores = await readJson<{ changes: { scope: string; kind: string; accuracyAboutItself: unknown }[] }>(
    run.file("scores"),
  );
  expect(scores.changes.map(({ scope, kind }) => `${scope} ${kind}`)).toEqual([
    "all micro",
    "all macro",
    // The plan's main scope first.
    "held_out_tasks micro",
    "held_out_tasks macro",
    "held_out_strings micro",
    "held_out_strings macro",
  ]);
  // The first word is "otter", always: right about itself as it is now; its second character is not said.
  expect(scores.changes[0]?.accuracyAboutItself).toMatchObject({ ok: true, value: 0.5 });
});
