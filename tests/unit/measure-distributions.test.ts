/** The stage that measures distributions, on answers that are written down: crashes, refusals, and what is kept of them. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { InwardError } from "../../src/errors.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { readJson } from "../../src/base/files.js";
import type { CalibrationScores } from "../../src/score/calibration/score-calibration.js";
import { makePlan } from "../../src/study/make-plan.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runStages } from "../../src/run/run-stages.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { only, runStored } from "../helpers/scripted-run.js";
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

  test("sets aside what crashes a third time, alone, as a line with its reason; the others are as ever", async () => {
    await measure([]);
    const undisturbed = (await readFile(run.file("distributions"), "utf8")).split("\n");
    run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-measure-")), run.plan);
    expect(await measure([2, 3, 4])).toBe(4);
    const rows = (await readFile(run.file("distributions"), "utf8")).split("\n");
    const { distribution: _, ...place } = JSON.parse(undisturbed[2] as string);
    expect(JSON.parse(rows[2] as string)).toEqual({ ...place, setAside: "engine_crashed" });
    expect(rows.toSpliced(2, 1)).toEqual(undisturbed.toSpliced(2, 1));
    expect(await events()).toContain(`"event":"item_set_aside"`);
  });

  test("is excluded from the calibration with that reason, and counted", async () => {
    await measure([2, 3, 4]);
    await runStored(run, "calibration");
    const { rows } = await readJson<CalibrationScores>(run.file("calibration"));
    expect(rows[0]).toMatchObject({
      comparisons: 1,
      leftOut: [{ reason: expect.stringMatching(/^set aside: the engine crashed .* predictions/), count: 1 }],
    });
    expect(rows[0]?.hypotheticalCost.sampledDistributions).toBe(1);
    expect(rows[0]?.objectCost.sampledDistributions).toBe(2);
  });

  test("of an engine that crashes on a plain question too is an error; what was finished stays, and it goes on from there", async () => {
    await expect(measure([2, 3, 4, 5])).rejects.toThrow(
      expect.objectContaining({ code: "ENGINE_CRASHED", message: expect.stringContaining("plain question") }),
    );
    expect(await lines()).toBe(2);
    await measure([]);
    expect(await lines()).toBe(4);
  });

  test("ends an engine that says nothing, and measures in another", async () => {
    let silent = true;
    vi.stubEnv("INWARD_STALL_SECONDS", "0.3");
    const ask: LanguageModel["ask"] = async (requests, options) => {
      if (silent) return new Promise(() => {});
      return scriptedModel(said).ask(requests, options);
    };
    setTimeout(() => {
      silent = false;
    }, 150);
    expect(await measure([], { ask })).toBe(2);
    vi.unstubAllEnvs();
    expect(await events()).toContain("no reply for 0.3 s");
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
