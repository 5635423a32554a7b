/** Files to import, changed at random: refused with a code, or every row an item or counted out, and what is written loads. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importTask } from "../../src/exchange/import-task.js";
import { PRESETS } from "../../src/exchange/presets.js";
import type { TaskImport } from "../../src/exchange/read-source.js";
import { writeTask } from "../../src/exchange/task-folder.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-import-"));
});
afterAll(() => rm(folder, { recursive: true }));

const PLACES = ["harbour", "orchard", "station", "museum", "quarry", "bakery", "chapel", "garden"];
const asks = (at: number) => `${PLACES[at]} ${at} ${PLACES[(at * 3 + 1) % 8]}?`;
const rows = <Row>(row: (at: number) => Row) => PLACES.map((_, at) => row(at));
const choices = { text: ["x", "y", "z"], label: ["A", "B", "C"] };

const SETS: Readonly<Record<(typeof PRESETS)[number], readonly unknown[]>> = {
  mmlu: rows((at) => ({ question: asks(at), choices: ["a", "b", "c", "d"], answer: at % 4, subject: "law" })),
  arc: rows((at) => ({ id: `q${at}`, question: asks(at), choices, answerKey: "ABC"[at % 3] })),
  openbookqa: rows((at) => ({ id: `q${at}`, question_stem: asks(at), choices, answerKey: "ABC"[at % 3] })),
  hellaswag: rows((at) => ({ ctx: asks(at), endings: ["a", "b", "c"], label: String(at % 3), ind: at })),
  truthfulqa: rows((at) => ({ question: asks(at), mc1_targets: { choices: ["a", "b"], labels: [1, 0] } })),
  mwe: rows((at) => ({
    question: `${asks(at)}\n\nChoices:\n (A) yes\n (B) no`,
    answer_matching_behavior: " (A)",
    answer_not_matching_behavior: " (B)",
  })),
  introspection: rows((at) => ({
    original_question: `${asks(at)}\nA - yes\nB - no`,
    object_level_prompt: [{ role: "user", content: `${asks(at)}\nA - yes\nB - no\nOne letter.` }],
    option_matching_ethical_stance: "A",
    messages: [{ role: "user", content: "x" }],
  })),
};
const CSV = `question,A,B,C,answer,note\n${rows((at) => `"${asks(at)}, ""so""",a${at},"b\n${at}",,${"AB"[at % 2]},n`).join("\n")}\n`;
const COLUMNS = { question: "question", options: ["A", "B", "C"], answer: "answer" };
const jsonl = (all: unknown) =>
  Array.isArray(all) ? all.map((row) => `${JSON.stringify(row)}\n`).join("") : JSON.stringify(all);

/** Whatever was done to the file, no row is lost and none counted twice. */
async function whole(path: string, options: TaskImport, writes: boolean) {
  const made = await importTask(path, options);
  const { card } = made;
  const left = Object.values(card.excluded).reduce((sum, { count }) => sum + count, 0);
  expect(card.train + card.heldOut + card.examples + left).toBe(card.rows);
  for (const { text, target } of made.rows) {
    expect(text).not.toMatch(/[\0\ud800-\udfff](?<![\ud800-\udbff][\udc00-\udfff])(?![\udc00-\udfff])/);
    if (target !== undefined) expect(text).toMatch(new RegExp(`^${target} - \\S`, "m"));
  }
  if (writes) {
    const { task } = await writeTask(made, join(folder, "task"));
    expect([task.train.length, task.heldOut.length]).toEqual([card.train, card.heldOut]);
    await rm(join(folder, "task"), { recursive: true });
  }
  return made;
}

async function changed(name: string, content: Buffer | string, options: TaskImport, dice: Dice) {
  const path = join(folder, name);
  await writeFile(path, content);
  return whole(path, { ...options, seed: dice.below(5), examples: dice.once(4), balance: dice.once(2) }, dice.once(5));
}

const changedBytes = (text: string, dice: Dice) =>
  dice.once(3) ? changeBytes(Buffer.from(text), dice) : Buffer.from(changeText(text, dice));

test("CSV", async () => {
  const tally = await fuzz("import csv", (dice) => {
    const content = changedBytes(CSV, dice);
    return { input: () => content.toString(), result: changed("questions.csv", content, { columns: COLUMNS }, dice) };
  });
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("presets, as lines and as one array", async () => {
  const tally = await fuzz("import presets", (dice) => {
    const preset = dice.of(PRESETS);
    const set = dice.once(3) ? SETS[preset] : changeStructure(changeStructure(SETS[preset], dice), dice);
    const text = dice.once(3) ? JSON.stringify(set) : jsonl(set);
    const content = set === SETS[preset] ? changedBytes(text, dice) : Buffer.from(text);
    return { input: () => `${preset} ${content}`, result: changed("set.jsonl", content, { preset }, dice) };
  });
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(20);
});

test("Parquet", async () => {
  const columnData = [
    { name: "question", data: rows(asks), type: "STRING" as const },
    { name: "A", data: rows((at) => `a${at}`), type: "STRING" as const },
    { name: "B", data: rows((at) => `b${at}`), type: "STRING" as const },
    { name: "answer", data: rows((at) => at % 2), type: "INT32" as const },
  ];
  const good = Buffer.from(parquetWriteBuffer({ columnData }));
  const options = { columns: { ...COLUMNS, options: ["A", "B"] }, answerIs: "index0" as const };
  const tally = await fuzz("import parquet", (dice, at) => {
    // A thread for each costs more than the rest: within npm test one in eight is read.
    if (at % 8 > 0 && process.env.FUZZ_LOG === undefined) return { input: "", result: () => undefined };
    const content = dice.once(5) ? good.subarray(0, dice.below(good.length)) : changeBytes(good, dice);
    return { input: () => content.toString("hex"), result: changed("set.parquet", content, options, dice) };
  });
  expect(tally.refused).toBeGreaterThan(5);
});

test("plain text, and nothing is left behind by any of these", async () => {
  const tally = await fuzz("import text", (dice) => {
    const content = changedBytes(rows(asks).join("\n"), dice);
    return { input: () => content.toString(), result: changed("strings.txt", content, {}, dice) };
  });
  expect(tally.accepted).toBeGreaterThan(20);
  expect((await readdir(folder)).filter((name) => !/^(questions|set|strings)\./.test(name))).toEqual([]);
});
