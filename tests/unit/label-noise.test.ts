/** An arm that learns with a share of its labels replaced: how much is replaced, by what, and beside whom it stands. */
import { describe, expect, test } from "vitest";
import { replaceLabels, type SetCandidate } from "../../src/finetune/set.js";
import { stateNames } from "../../src/report/state-names.js";
import { ablationsOf, NOISY_LABELS, stateParties } from "../../src/score/comparison/third-parties.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { statesOf } from "../../src/study/states.js";
import { settledStudy } from "../helpers/settled-study.js";

const file: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (rest: string): Promise<Plan> =>
  makePlan(
    settledStudy(`
study: noisy
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 8, heldOutStrings: 4 }]
properties: [first_word]
${rest}
`),
    { m: file },
    ".",
  );

function candidates(values: readonly string[], property = "first_word"): SetCandidate[] {
  return values.map((value, at) => ({
    item: { id: `i-${at}`, split: "train", text: `string ${at}` },
    readable: true,
    behavior: {
      state: "m",
      task: "animals_long",
      item: `i-${at}`,
      split: "train",
      sample: 0,
      property,
      extraction: { ok: true, value },
      compliance: { ok: true },
    },
  }));
}

const labels = (some: readonly SetCandidate[]) =>
  some.map(({ behavior: { extraction } }) => (extraction.ok ? extraction.value : undefined));

describe("labels that are replaced", () => {
  const before = candidates(Array.from({ length: 200 }, (_, at) => ["wolf", "bear", "lynx"][at % 3] as string));

  test("are the share that was asked for, each by another value of its task and property", () => {
    for (const share of [0.1, 0.25, 0.5]) {
      const [old, now] = [labels(before), labels(replaceLabels(before, share, 7))];
      const moved = now.flatMap((value, at) => (value === old[at] ? [] : [value]));
      expect(moved).toHaveLength(200 * share);
      expect(new Set(moved)).toEqual(new Set(["wolf", "bear", "lynx"]));
    }
  });

  test("depend on the seed, and nothing else of a candidate changes", () => {
    expect(replaceLabels(before, 0.2, 7)).toEqual(replaceLabels(before, 0.2, 7));
    expect(labels(replaceLabels(before, 0.2, 7))).not.toEqual(labels(replaceLabels(before, 0.2, 8)));
    const without = (some: readonly SetCandidate[]) =>
      some.map(({ behavior: { extraction: _, ...behavior }, ...rest }) => ({ ...rest, behavior }));
    expect(without(replaceLabels(before, 0.2, 7))).toEqual(without(before));
  });

  test("are others for each property, and none where there is no other value or no label", () => {
    const both = [...before, ...candidates(labels(before) as string[], "second_word")];
    const now = labels(replaceLabels(both, 0.2, 7));
    const moved = (offset: number) => [...before.keys()].filter((at) => now[at + offset] !== labels(both)[at + offset]);
    expect(moved(0)).not.toEqual(moved(200));
    expect(labels(replaceLabels(candidates(["wolf", "wolf", "wolf"]), 0.5, 7))).toEqual(["wolf", "wolf", "wolf"]);
    const none = candidates(["wolf", "bear"]).map((one) => ({ ...one, readable: false }));
    expect(replaceLabels(none, 0.5, 7)).toEqual(none);
  });
});

test("its adapter has the same seed and set beside self, is no third party, and is called by its noise", async () => {
  const noisy = await plan("lora: {}\ncontrols: { labelNoise: 0.2 }");
  const name = "m-predicts-m-noisy-labels";
  expect(noisy.adapters?.[name]).toEqual({ ...noisy.adapters?.["m-predicts-m"], labels: "noisy", labelNoise: 0.2 });
  expect(statesOf(noisy).of(name).role).toBe("control");
  const self = { target: "m", self: "m-predicts-m" };
  expect(ablationsOf(noisy, self)).toEqual({ [NOISY_LABELS]: name });
  expect(Object.keys(stateParties(noisy, [], [self]))).toEqual(["untrained", "scrambled_labels", "format_only"]);
  expect(stateNames(noisy)(name)).toMatch(/^m trained on labels of which 20.* were replaced$/);
});

test("refused without training, and for a share that is none", async () => {
  await expect(async () => plan("controls: { labelNoise: 0.2 }")).rejects.toThrow(
    expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(/labelNoise.*no lora/) }),
  );
  for (const share of [0, 1, -0.1]) {
    await expect(async () => plan(`lora: {}\ncontrols: { labelNoise: ${share} }`)).rejects.toThrow(
      expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(/labelNoise/) }),
    );
  }
});
