/** Two runs of one study under another setting, side by side on the command line: the plans first, then what came of it. */
import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { compareCommand } from "../../src/cli/compare.js";
import { compareRuns } from "../../src/run/compare-runs.js";
import type { TrialRow } from "../../src/score/trial-rows.js";
import { type MadeUpRun, madeUpRun, pick } from "../helpers/made-up-run.js";
import { printed } from "../helpers/printed.js";
import { runFiles } from "../helpers/run-files.js";

const studyOf = (model: string, more: string, heldOut: number) => `
study: compare
models: { ${model}: { source: m } }
tasks: [{ task: animals_long, trainStrings: 20, heldOutStrings: ${heldOut} }]
properties: [first_word, second_character]
predictions: [{ predictor: ${model}, target: ${model} }]
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 200 }
${more}`;
const WORDS = ["wolf", "lynx", "crab", "goat"];

let first: MadeUpRun;
let second: MadeUpRun;
let renamed: MadeUpRun;
const trialsOf = (run: MadeUpRun) => runFiles(() => run.path).lines<TrialRow>("08-trials.jsonl");

beforeAll(async () => {
  const world = (knows: boolean) => ({
    does: (_: string, { text }: { text: string }) => pick(WORDS, text),
    imagines: (_: string, { text }: { text: string }) => pick(WORDS, text, ...(knows ? [] : ["blind"])),
  });
  first = await madeUpRun(studyOf("m", "", 20), world(false));
  second = await madeUpRun(studyOf("m", "hypothetical: { maxTokens: 9 }", 30), world(true));
  renamed = await madeUpRun(studyOf("other", "", 20), world(true));
});

test("the plans' difference stands first, and the difference is that of the shared strings counted by hand", async () => {
  const compared = await compareRuns(first.path, second.path);
  expect(compared.plan.same).toBe(false);
  expect(compared.plan.differences).toContainEqual({ key: "hypothetical.maxTokens", first: "12", second: "9" });
  expect(compared.plan.differences.map(({ key }) => key)).not.toContain("tasks");
  const texts = ({ plan }: MadeUpRun) => new Map(plan.tasks[0]?.heldOut.map(({ id, text }) => [id, text]));
  const [ours, theirs] = [texts(first), texts(second)];
  const inBoth = [...ours.values()].filter((text) => [...theirs.values()].includes(text));
  expect(compared.plan.strings).toContainEqual({
    task: "animals_long",
    split: "held_out",
    shared: inBoth.length,
    firstOnly: 20 - inBoth.length,
    secondOnly: 30 - inBoth.length,
  });
  expect(inBoth.length).toBeGreaterThan(3);
  const accuracy = async (run: MadeUpRun, names: Map<string, string>) => {
    const rows = (await trialsOf(run)).filter(({ item }) => inBoth.includes(names.get(item) as string));
    return rows.filter(({ outcome }) => outcome === "right").length / rows.length;
  };
  const [pair] = compared.pairs;
  const micro = pair?.overall[0];
  expect(pair?.trials).toMatchObject({
    paired: 2 * inBoth.length,
    firstOnly: 0,
    notInSecond: 2 * (20 - inBoth.length),
  });
  const [was, is] = [await accuracy(first, ours), await accuracy(second, theirs)];
  expect(micro?.difference).toMatchObject({ ok: true, value: expect.closeTo(is - was, 12) });
  expect(is).toBe(1);

  const text = await printed(compareCommand(), first.path, second.path);
  expect(text).toMatch(/^The plans differ in 1 key\./);
  expect(text).toContain("hypothetical.maxTokens");
  expect(text.indexOf("hypothetical.maxTokens")).toBeLessThan(text.indexOf("second − first"));
  expect(text).toContain(`${inBoth.length} shared, ${20 - inBoth.length} in the first alone`);
});

test("states called otherwise are compared when it is said, and without it refused with their names", async () => {
  const refused = expect.objectContaining({
    code: "USAGE",
    message: expect.stringMatching(/m → m here, other → other there/),
  });
  await expect(compareRuns(first.path, renamed.path)).rejects.toEqual(refused);
  const { pairs, plan } = await compareRuns(first.path, renamed.path, { names: { other: "m" } });
  expect(pairs[0]?.trials.paired).toBe(40);
  expect(plan.strings.every((one) => one.firstOnly + one.secondOnly === 0)).toBe(true);
  await expect(compareRuns(first.path, renamed.path, { names: { ohter: "m" } })).rejects.toMatchObject({
    code: "USAGE",
  });
  await expect(printed(compareCommand(), first.path, renamed.path, "--call", "other")).rejects.toMatchObject({
    code: "USAGE",
  });
});

test("one run twice is refused; a copy of it has equal plans and no difference", async () => {
  await expect(compareRuns(first.path, first.path)).rejects.toMatchObject({ code: "USAGE" });
  const copy = join(await mkdtemp(join(tmpdir(), "inward-compare-")), "copy");
  await cp(first.path, copy, { recursive: true });
  const { plan, pairs } = await compareRuns(first.path, copy);
  expect(plan).toMatchObject({ same: true, differences: [] });
  expect(pairs[0]?.overall[0].difference).toMatchObject({ ok: true, value: 0 });
  expect(pairs[0]).toMatchObject({ behaviorsDiffer: { count: 0 }, predictionsDiffer: { count: 0 } });
});
