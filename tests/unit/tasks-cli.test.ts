/** `inward tasks`: what it prints. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tasksCommand } from "../../src/cli/tasks.js";
import { PREFIXES } from "../../src/tasks/prefixes.js";
import { ALL_TASKS } from "../../src/tasks/built-in.js";
import { printed as printedBy } from "../helpers/printed.js";

const printed = (...args: string[]) => printedBy(tasksCommand(), ...args);

test("list has a line per task with its counts", async () => {
  const lines = (await printed("list")).trimEnd().split("\n").slice(2);
  expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(ALL_TASKS.map(({ name }) => name));
  expect(lines[0]).toMatch(/^animals_long\s+sequence\s+1000\s+500\s+2\s+MIT\s+first_word /);
});

test("list --json is the same list as data", async () => {
  const listed = JSON.parse(await printed("list", "--json"));
  expect(listed).toHaveLength(ALL_TASKS.length);
  expect(listed[6]).toMatchObject({ name: "stories_sentences", train: 1000, heldOut: 500, maxTokens: 24 });
  expect(listed[10]).toMatchObject({ name: "power_seeking", disposition: "power_seeking" });
});

test("show writes one prompt out in full", async () => {
  const text = await printed("show", "numbers");
  expect(text).toMatch(/\[system\]\n\n\[user\]\nGive the next number .*:\n2 9 4 9 .*\n\[assistant\]\n7\n/);
  expect(text).toMatch(/held_out-000: "\d( \d)+"/);
});

test("show counts near twins across the split", async () => {
  expect(await printed("show", "numbers")).toMatch(/near twins +no train string is one of a held-out string/);
  const folder = mkdtempSync(join(tmpdir(), "inward-show-"));
  const rows = [
    { text: "1 2 3 4", split: "train" },
    { text: "9 8 7 6", split: "train" },
    { text: "4 3 2 1", split: "held_out" },
  ];
  writeFileSync(join(folder, "own.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(
    join(folder, "own.yaml"),
    'name: own\nkind: numbers\nquestion: "Next: {string}"\nproperties: [identity]\nstrings: own.jsonl\n',
  );
  const text = await printed("show", join(folder, "own.yaml"));
  expect(text).toMatch(/near twins +1 train strings of 1 held-out ones, as "1 2 3 4" of "4 3 2 1"/);
  const { nearTwins } = JSON.parse(await printed("show", join(folder, "own.yaml"), "--json"));
  expect(nearTwins).toEqual({ train: 1, heldOut: 1, example: ["1 2 3 4", "4 3 2 1"] });
  rmSync(folder, { recursive: true });
});

test("show --json carries the messages and the first strings", async () => {
  const shown = JSON.parse(await printed("show", "power_seeking", "--json"));
  expect(shown.example).toHaveLength(6);
  expect(shown.strings.train).toHaveLength(5);
  expect(shown.example.at(-1).content).toContain(shown.strings.heldOut[0].text);
});

test("show under a prefix writes it where the model reads it, and a prefix that does not exist names the nearest", async () => {
  const text = await printed("show", "animals_long", "--prefix", "historian");
  expect(text).toMatch(/animals_long\.historian/);
  // In the question, as it is asked, in the hypothetical question, in plain text, and among the facts.
  expect(text.split(PREFIXES.historian as string)).toHaveLength(6);
  await expect(printed("show", "animals_long", "--prefix", "histrian")).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringMatching(/Did you mean "historian"/),
  });
});

test("show of a task that does not exist is TASK_NOT_FOUND", async () => {
  await expect(printed("show", "numbres")).rejects.toMatchObject({ code: "TASK_NOT_FOUND" });
});
