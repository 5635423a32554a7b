/** `inward tasks`: what it prints. */
import { expect, test } from "vitest";
import { tasksCommand } from "../../src/cli/tasks.js";
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

test("show --json carries the messages and the first strings", async () => {
  const shown = JSON.parse(await printed("show", "power_seeking", "--json"));
  expect(shown.example).toHaveLength(6);
  expect(shown.strings.train).toHaveLength(5);
  expect(shown.example.at(-1).content).toContain(shown.strings.heldOut[0].text);
});

test("show of a task that does not exist is TASK_NOT_FOUND", async () => {
  await expect(printed("show", "numbres")).rejects.toMatchObject({ code: "TASK_NOT_FOUND" });
});
