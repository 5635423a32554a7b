import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answeredQuestions, askGroups, cutGroups, GroupAsker, isSameString } from "../../src/ask/groups.js";
import type { Question } from "../../src/ask/questions.js";
import { compareReplies, noiseFloorSample } from "../../src/ask/noise-floor.js";
import { InwardError } from "../../src/errors.js";
import { replyOf, scriptedModel } from "../helpers/scripted-model.js";

const question = (item: string, more: Partial<Question> = {}): Question => ({
  key: `t/${item}${more.property ? `/${more.property}` : ""}`,
  state: "m",
  task: "t",
  item,
  split: "held_out",
  sample: 0,
  messages: [{ role: "user", content: `about ${item}` }],
  maxTokens: 4,
  temperature: 0,
  ...more,
});

describe("groups", () => {
  const plans = fc.array(fc.record({ state: fc.constantFrom("m", "n"), size: fc.integer({ min: 1, max: 7 }) }), {
    maxLength: 30,
  });

  test("keep every question in order, one state each, within the limit, and part no string that fits (law)", () => {
    fc.assert(
      fc.property(plans, fc.integer({ min: 1, max: 12 }), (units, most) => {
        const questions = units.flatMap(({ state, size }, unit) =>
          Array.from({ length: size }, (_, at) => question(String(unit), { state, property: `p${at}` })),
        );
        const groups = cutGroups(questions, most);
        expect(groups.flat()).toEqual(questions);
        for (const [index, group] of groups.entries()) {
          expect(group.length).toBeGreaterThan(0);
          expect(group.length).toBeLessThanOrEqual(most);
          expect(new Set(group.map((one) => one.state)).size).toBe(1);
          const before = groups[index - 1]?.at(-1);
          if (before && isSameString(before, group[0] as Question)) {
            const unit = questions.filter((one) => isSameString(one, before));
            expect(unit.length).toBeGreaterThan(most);
          }
        }
      }),
    );
  });
});

describe("asking a stage", () => {
  const questions = Array.from({ length: 10 }, (_, at) => question(String(at)));
  const askerOf = (model: ReturnType<typeof scriptedModel>) =>
    new GroupAsker(answeredQuestions({ topTokens: 1 }), {
      modelFor: async () => model,
      reopenModel: async () => model,
    });
  const stage = async (model: ReturnType<typeof scriptedModel>, path: string) =>
    askGroups(cutGroups(questions, 3), { path, asker: askerOf(model) });
  const fresh = async () => join(await mkdtemp(join(tmpdir(), "inward-ask-")), "answers.jsonl");

  test.each([
    ["no memory", new InwardError("ENGINE_MEMORY", "no cells left")],
    ["an interruption", new InwardError("INTERRUPTED", "Asking was interrupted.")],
    ["a defect", new Error("defect")],
  ])("%s loses the group in flight and nothing else; going on gives the same bytes", async (_, error) => {
    const whole = await fresh();
    await stage(
      scriptedModel((text) => text.toUpperCase()),
      whole,
    );
    const path = await fresh();
    const fragile = scriptedModel((text) => {
      if (text === "about 7") throw error;
      return text.toUpperCase();
    });
    const failure = await stage(fragile, path).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect([failure, failure?.cause]).toContain(error);
    const isStopped = error instanceof InwardError && error.code === "INTERRUPTED";
    if (isStopped) {
      expect(failure?.message).toBe(
        "Asking was interrupted. 6 of 10 questions are kept; the 1 answered in the group under way will be asked again.",
      );
    }
    expect((await readFile(path, "utf8")).trim().split("\n")).toHaveLength(6);
    const sound = scriptedModel((text) => text.toUpperCase());
    await stage(sound, path);
    expect(sound.asked).toEqual(["about 6", "about 7", "about 8", "about 9"]);
    expect(await readFile(path, "utf8")).toBe(await readFile(whole, "utf8"));
  });

  test("a question that cannot be asked is known before the first is asked", async () => {
    const model = scriptedModel(() => "x");
    const long = [...questions, question("z".repeat(3000))];
    const path = await fresh();
    const asked = askGroups(cutGroups(long, 3), { path, asker: askerOf(model) });
    await expect(asked).rejects.toThrow(expect.objectContaining({ code: "ENGINE_CONTEXT" }));
    expect(model.asked).toEqual([]);
  });
});

describe("the noise floor", () => {
  test("samples by seed, greedy questions only, in an order that is not the run's", () => {
    const questions = Array.from({ length: 50 }, (_, at) =>
      question(String(at), at % 5 === 0 ? { temperature: 1 } : {}),
    );
    const sample = noiseFloorSample(questions, 20, 3);
    expect(sample).toHaveLength(20);
    expect(sample.every((one) => one.temperature === 0)).toBe(true);
    expect(noiseFloorSample([...questions].reverse(), 20, 3)).toEqual(sample);
    expect(noiseFloorSample(questions, 20, 4)).not.toEqual(sample);
    expect(sample).not.toEqual([...sample].sort((a, b) => Number(a.item) - Number(b.item)));
  });

  test("counts what flipped and the largest differences, up to the first difference in tokens", () => {
    const floor = compareReplies("m", [
      { before: replyOf("abc"), again: replyOf("abc", { logprobs: [-1, -0.4, -0.3], margins: [0.5, 1.5, 2.6] }) },
      { before: replyOf("abc"), again: replyOf("axc", { margins: [0.5, 0.25, 9] }) },
    ]);
    expect(floor).toMatchObject({ questions: 2, sameTokens: 1, positions: 5 });
    expect(floor.maxLogprobDifference).toBeCloseTo(0.1, 12);
    expect(floor.meanLogprobDifference).toBeCloseTo((0 + 0.1 + (1 / 3 - 0.3) + 0) / 5, 12);
    expect(floor.maxMarginDifference).toBe(1.5 + 0.25);
  });

  test("of nothing asked is zero questions, not NaN", () => {
    expect(compareReplies("m", [])).toEqual({
      state: "m",
      questions: 0,
      sameTokens: 0,
      positions: 0,
      meanLogprobDifference: 0,
      maxLogprobDifference: 0,
      maxMarginDifference: 0,
    });
  });
});
