/** The stage that measures distributions, on answers that are written down: crashes, refusals, and what is kept of them. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { makePlan } from "../../src/study/make-plan.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/stages.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { only } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: small
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 0, heldOutStrings: 2, properties: [first_character] }]
calibration: { samples: 4 }
`;
const file = { source: "some-model", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const said = (question: string) => (question.startsWith("Suppose") ? "c" : "cat dog");

let run: RunFolder;
beforeEach(async () => {
  const plan = await makePlan(settledStudy(STUDY), { m: file }, ".");
  run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-measure-")), plan);
});

/** @param crashes at which calls of `ask`, counted from 0 over all processes */
async function measure(crashes: readonly number[], more: Partial<LanguageModel> = {}): Promise<number> {
  let calls = 0;
  let opened = 0;
  const open = async (): Promise<LanguageModel> => {
    opened++;
    const scripted = scriptedModel(said);
    return {
      ...scripted,
      check: async (requests) => requests.map(() => 1),
      ask: async (requests, options) => {
        if (crashes.includes(calls++)) throw new InwardError("ENGINE_CRASHED", "It is gone.");
        return await scripted.ask(requests, options);
      },
      ...more,
    };
  };
  let model: Promise<LanguageModel> | undefined;
  await runStages(
    {
      run,
      events: new EventLog(run.file("events")),
      modelFor: async () => {
        model ??= open();
        return await model;
      },
      reopenModel: async () => {
        model = open();
        return await model;
      },
      closeModel: async () => {},
      modelPath: () => "",
      onProgress: () => {},
    },
    only("distributions"),
  );
  return opened;
}

const lines = async () => (await readFile(run.file("distributions"), "utf8")).split("\n").length - 1;
const events = async () => await readFile(run.file("events"), "utf8");

describe("measuring distributions", () => {
  test("writes a line for each side of each string, and finds them again", async () => {
    expect(await measure([])).toBe(1);
    const rows = (await readFile(run.file("distributions"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map(({ side }) => side)).toEqual(["object_level", "object_level", "hypothetical", "hypothetical"]);
    for (const { distribution } of rows) {
      expect(distribution).toMatchObject({ because: "engine", samples: 4, values: [{ value: "c", probability: 1 }] });
    }
    expect(await measure([])).toBe(0);
  });

  test("goes on in a new worker after a crash, with the same bytes", async () => {
    expect(await measure([1])).toBe(2);
    const crashed = await readFile(run.file("distributions"), "utf8");
    expect(await events()).toContain("engine_crashed");
    run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-measure-")), run.plan);
    await measure([]);
    expect(await readFile(run.file("distributions"), "utf8")).toBe(crashed);
  });

  test("ends at the second crash on one string, keeps what was finished, and goes on from there", async () => {
    await expect(measure([2, 3])).rejects.toThrow(expect.objectContaining({ code: "ENGINE_CRASHED" }));
    expect(await lines()).toBe(2);
    await measure([]);
    expect(await lines()).toBe(4);
  });

  test("refuses a question that cannot be asked before any is measured", async () => {
    const check = async () => {
      throw new InwardError("ENGINE_CONTEXT", "too long");
    };
    await expect(measure([], { check })).rejects.toThrow(expect.objectContaining({ code: "ENGINE_CONTEXT" }));
    expect(await lines()).toBe(0);
  });
});
