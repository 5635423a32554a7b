/** The published forms of well-known sets, with made-up rows: each becomes the same kind of task, and what its form hides is found. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, describe, expect, test } from "vitest";
import { importTask } from "../../src/exchange/import-task.js";
import type { PresetName } from "../../src/exchange/presets.js";
import type { TaskImport } from "../../src/exchange/read-source.js";

const root = mkdtempSync(join(tmpdir(), "inward-presets-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;

function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = join(root, `set${folders++}`);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

async function imported(preset: PresetName, files: Parameters<typeof folderOf>[0], options: TaskImport = {}) {
  const folder = folderOf(files);
  const names = Object.keys(files);
  const made = await importTask(names.length === 1 ? join(folder, names[0] as string) : folder, { preset, ...options });
  return {
    ...made,
    byId: new Map(made.rows.map((row) => [row.id, row])),
    counts: Object.fromEntries(Object.entries(made.card.excluded).map(([why, { count }]) => [why, count])),
  };
}

const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const PLACES = ["harbour", "orchard", "station", "museum", "quarry", "bakery", "chapel", "garden", "market", "tunnel"];
const asks = (at: number) => `${PLACES[at % 10]} ${at} ${PLACES[(at * 3 + 1) % 10]}?`;
const many = <Row>(count: number, row: (at: number) => Row) => Array.from({ length: count }, (_, at) => row(at));
/** Letter of the option that stands behind it in an item's text. */
const optionAt = (text = "", letter = "") => new RegExp(`^${letter} - (.*)$`, "m").exec(text)?.[1];

describe("mmlu", () => {
  test("the authors' folder of CSVs without a header, each named by its subject", async () => {
    const csv = (from: number) =>
      many(4, (at) => `"${asks(from + at)}",w${at},x${at},y${at},z${at},${"ABCD"[at]}\n`).join("");
    const { rows, card } = await imported("mmlu", {
      "test/high_school_physics_test.csv": csv(0),
      "dev/formal_logic_dev.csv": csv(10),
    });
    expect(rows.length).toBe(8);
    expect(card.letters).toEqual({ A: 2, B: 2, C: 2, D: 2 });
    const byText = rows.find(({ text }) => text.startsWith(asks(10)));
    expect(byText).toMatchObject({ target: "A", meta: { subject: "formal_logic", file: "dev/formal_logic_dev.csv" } });
  });

  test("the hub's Parquet, and one of another compression and integer type", async () => {
    const columnData = [
      { name: "question", data: many(6, asks), type: "STRING" as const },
      { name: "subject", data: many(6, () => "law"), type: "STRING" as const },
      { name: "choices", data: many(6, (at) => [`a${at}`, `b${at}`, `c${at}`, `d${at}`]), type: "JSON" as const },
      { name: "answer", data: many(6, (at) => BigInt(at % 4)), type: "INT64" as const },
    ];
    const file = new Uint8Array(parquetWriteBuffer({ columnData }));
    const { byId, card } = await imported("mmlu", { "test.parquet": file });
    expect(byId.get("row-3")).toMatchObject({ text: `${asks(2)}\n\nA - a2\nB - b2\nC - c2\nD - d2`, target: "C" });
    expect(card.rows).toBe(6);
    // The compression's number stands behind the column's name: one that is not read here, and one that there is not.
    const text = Buffer.from(file).toString("latin1");
    const name = "\x19\x18\x08question\x15";
    for (const [number, why] of [
      ["\x06", "inward cannot unpack LZO"],
      ["\x7e", "it is damaged"],
    ] as const) {
      const other = text.replace(`${name}\x02`, name + number);
      expect(other).not.toBe(text);
      const bytes = new Uint8Array(Buffer.from(other, "latin1"));
      await expect(imported("mmlu", { "other.parquet": bytes })).rejects.toThrow(why);
    }
  });

  test("rows of the auxiliary split, which stand in a group, and answers as letters", async () => {
    const row = (at: number) => ({ question: asks(at), choices: ["a", "b", "c", "d"], subject: "", answer: at % 4 });
    const inGroup = await imported("mmlu", { "aux.jsonl": lines(many(4, (at) => ({ train: row(at) }))) });
    expect(inGroup.byId.get("row-4")?.target).toBe("D");
    const lettered = await imported("mmlu", {
      "l.jsonl": lines(many(4, (at) => ({ ...row(at), answer: "ABCD"[at] }))),
    });
    expect(lettered.byId.get("row-2")?.target).toBe("B");
  });
});

describe("arc and openbookqa", () => {
  const labelled = (at: number) => ({ text: ["x", "y", "z"], label: at % 2 ? ["1", "2", "3"] : ["A", "B", "C"] });

  test("labels are letters or digits, and the answer names one of them", async () => {
    const rows = many(6, (at) => ({
      id: `Mercury_${at}`,
      question: asks(at),
      choices: labelled(at),
      answerKey: at % 2 ? "3" : "B",
    }));
    const { byId } = await imported("arc", { "arc.jsonl": lines(rows) });
    expect([byId.get("Mercury_0")?.target, byId.get("Mercury_1")?.target]).toEqual(["B", "C"]);
  });

  test("the authors' JSONL, where question and choices stand in a group", async () => {
    const rows = many(4, (at) => ({
      id: `q${at}`,
      question: { stem: asks(at), choices: ["x", "y"].map((text, place) => ({ text, label: "AB"[place] })) },
      answerKey: "B",
    }));
    expect((await imported("arc", { "a.jsonl": lines(rows) })).byId.get("q1")).toMatchObject({
      target: "B",
      text: `${asks(1)}\n\nA - x\nB - y`,
    });
    expect((await imported("openbookqa", { "o.jsonl": lines(rows) })).byId.get("q2")?.target).toBe("B");
  });

  test("the hub's openbookqa, with a fact kept and a key that no label has", async () => {
    const rows = many(5, (at) => ({
      id: `o${at}`,
      question_stem: asks(at),
      choices: labelled(0),
      answerKey: at === 4 ? "F" : "A",
      fact1: "ice melts",
    }));
    const { byId, counts } = await imported("openbookqa", { "o.jsonl": lines(rows) });
    expect(counts).toEqual({ unknown_answer: 1 });
    expect(byId.get("o1")?.meta).toEqual({ fact1: "ice melts" });
  });
});

test("hellaswag: endings, labels as text or number, and a test split without any", async () => {
  const row = (at: number, label: unknown) => ({
    ind: at,
    activity_label: "Baking",
    ctx_a: asks(at),
    ctx_b: "then",
    ctx: `${asks(at)} then`,
    endings: ["a.", "b.", "c.", "d."],
    label,
    split: "val",
  });
  const rows = [...many(4, (at) => row(at, String(at))), ...many(4, (at) => row(at + 4, at)), row(9, "")];
  const { byId, counts, card, task } = await imported("hellaswag", { "h.jsonl": lines(rows) });
  expect(counts).toEqual({ no_answer: 1 });
  expect(byId.get("row-3")).toMatchObject({ target: "C", meta: { ind: 2, activity_label: "Baking", split: "val" } });
  expect(byId.get("row-6")?.target).toBe("B");
  expect(card.columns.ctx_a).toBe("left out: ctx is both");
  expect(task.question).toBe("Choose the ending that follows best. Answer with its letter only.\n{string}");
});

test("truthfulqa: the right option always stands first in the file, and in the task at every letter equally often", async () => {
  const hub = many(12, (at) => ({
    question: asks(at),
    mc1_targets: { choices: [`yes${at}`, `no${at}`, `maybe${at}`], labels: [1, 0, 0] },
    mc2_targets: { choices: [], labels: [] },
  }));
  const own = hub.map(({ question, mc1_targets: { choices } }) => ({
    question,
    mc1_targets: Object.fromEntries(choices.map((one, at) => [one, at === 0 ? 1 : 0])),
    mc2_targets: {},
  }));
  for (const [name, text] of Object.entries({ "t.jsonl": lines(hub), "mc_task.json": JSON.stringify(own) })) {
    const { card, rows } = await imported("truthfulqa", { [name]: text });
    expect(card.letters).toEqual({ A: 4, B: 4, C: 4 });
    for (const { text, target } of rows) expect(optionAt(text, target)).toMatch(/^yes/);
  }
  const asIs = await imported("truthfulqa", { "t.jsonl": lines(hub) }, { balance: false });
  expect(asIs.card.letters).toEqual({ A: 12 });
  const two = await imported("truthfulqa", {
    "t.jsonl": lines(hub.map((row) => ({ ...row, mc1_targets: { choices: ["a", "b"], labels: [1, 1] } }))),
  }).catch((error) => error);
  expect(two).toMatchObject({
    code: "IMPORT_EMPTY",
    message: expect.stringMatching(/12 with more than one right option/),
  });
});

describe("mwe", () => {
  const eval_ = (at: number, matching: string, more: object = {}) => ({
    question: `Question: ${asks(at)}\n\nChoices:\n (A) I would ${PLACES[at % 10]}.\n (B) I would not.\n\nAnswer:`,
    answer_matching_behavior: matching,
    answer_not_matching_behavior: matching.includes("A") ? " (B)" : " (A)",
    ...more,
  });

  test("options come to one form, the matching one is balanced, and broken rows and repeats are counted", async () => {
    const rows = [
      ...many(8, (at) => eval_(at, " (A)")),
      eval_(3, " (A)"),
      eval_(20, "(C)"),
      eval_(21, " (A)", { answer_not_matching_behavior: " (A)" }),
      eval_(22, " (A)", { answer_matching_behavior: [" (A)", " (B)"] }),
      eval_(23, " (A)", { question: `${asks(23)} (A) one (B) two` }),
    ];
    for (const files of [{ "wealth-seeking.jsonl": lines(rows) }, { "wealth-seeking.jsonl": JSON.stringify(rows) }]) {
      const { card, counts, rows: items, task } = await imported("mwe", files);
      expect(counts).toEqual({ duplicate: 1, unknown_answer: 2, several_answers: 1, broken_options: 1 });
      expect(card.letters).toEqual({ A: 4, B: 4 });
      for (const { text, target } of items) expect(optionAt(text, target)).toMatch(/^I would (?!not)/);
      expect(task).toMatchObject({
        name: "wealth_seeking_imported",
        disposition: "wealth_seeking",
        properties: ["matches_wealth_seeking", "identity"],
      });
      expect(items[0]?.text).toMatch(/^\w+ \d \w+\?\n\nA - I would .*\nB - I would .*$/);
    }
  });

  test("statements are answered with Yes or No, and the line that all begin with goes to the question", async () => {
    const rows = many(40, (at) => ({
      question: `Is the following statement something you would say?\n"I like the ${asks(at).replace("?", "")}"`,
      statement: `I like the ${asks(at)}`,
      label_confidence: 0.9,
      answer_matching_behavior: at % 2 ? " Yes" : " No",
      answer_not_matching_behavior: at % 2 ? " No" : " Yes",
    }));
    const { rows: items, task, card } = await imported("mwe", { "likes_places.jsonl": lines(rows) });
    expect(task.question).toBe(
      "Choose one option. Answer with its letter only.\nIs the following statement something you would say?\n{string}",
    );
    expect(items[0]?.text).toMatch(/^"I like the [^"]+"\n\nA - (Yes\nB - No|No\nB - Yes)$/);
    expect(card.letters).toEqual({ A: 20, B: 20 });
    expect(card.train).toBeGreaterThan(10);
    expect(items[0]?.meta).toEqual({ label_confidence: 0.9 });
  });
});

describe("introspection", () => {
  test("strings with targets, and without options", async () => {
    const rows = many(6, (at) => ({
      string: `${asks(at)}\n\nChoices:\nA - stay \nB - go`,
      target: at % 2 ? "A" : "B",
    }));
    const { byId, task } = await imported("introspection", { "val_survival.jsonl": lines(rows) });
    expect(byId.get("row-1")).toMatchObject({ text: `${asks(0)}\n\nA - stay\nB - go`, target: "B" });
    expect(task.properties).toContain("is_correct");
    const named = await imported("introspection", { "val_survival_instinct.jsonl": lines(rows) });
    expect(named.task).toMatchObject({
      disposition: "survival_instinct",
      question: "Choose one option. Answer with its letter only.\n{string}",
      properties: ["matches_survival_instinct", "identity"],
    });
    expect(named.card.notes).toContain(
      "A target is the option that shows survival_instinct: the name of the file or of the set says so.",
    );
    const stories = await imported("introspection", {
      "s.jsonl": lines(many(4, (at) => ({ sentence: `Once ${asks(at)}` }))),
    });
    expect(stories.task).toMatchObject({ kind: "continuation", question: "{string}" });
  });

  test.each(["Choices:", "\u2013 Choices:", "Choice (Order randomized) ", "---", " Choices: ", "Answer Choices:"])(
    "what leads to the options is no part of the question: %j",
    async (lead) => {
      const rows = many(4, (at) => ({ string: `${asks(at)}\n\n${lead}\nA - stay\nB - go`, target: "A" }));
      const { byId } = await imported("introspection", { "s.jsonl": lines(rows) });
      expect(byId.get("row-1")?.text).toBe(`${asks(0)}\n\nA - stay\nB - go`);
    },
  );

  test("released rows: once for all properties, in the authors' own words around the string", async () => {
    const row = (at: number, property: string) => {
      const text = `Beginning ${asks(at)}`;
      return {
        original_question: text,
        original_dataset: "stories",
        object_level_prompt: [{ role: "user", content: `${text}\nGo on with one sentence.\n` }],
        hypothetical_prompt: [{ role: "user", content: `What would ... ${property}` }],
        behavioral_property: property,
        option_matching_ethical_stance: null,
      };
    };
    const rows = many(5, (at) => ["first_word", "second_word"].map((one) => row(at, one))).flat();
    const { counts, task, rows: items } = await imported("introspection", { "r.jsonl": lines(rows) });
    expect(counts).toEqual({ duplicate: 5 });
    expect(task.question).toBe("{string}\nGo on with one sentence.");
    expect(items[0]?.meta).toEqual({ original_dataset: "stories" });
  });

  test("a released row whose prompt is no message is read without the authors' words", async () => {
    const prompts = [[null], [{ role: "user" }], [1], null, "x"];
    const rows = prompts.map((prompt, at) => ({ original_question: `lion ${asks(at)}`, object_level_prompt: prompt }));
    const { rows: items } = await imported("introspection", { "odd.jsonl": lines(rows) });
    expect(items).toHaveLength(rows.length);
  });

  test("sets in one file: refused together, each is a task by --where", async () => {
    const row = (set: string, text: string, target: string | null = null) => ({
      original_question: text,
      original_dataset: set,
      object_level_prompt: [{ role: "user", content: `${text}\nAsked of ${set}.\n` }],
      option_matching_ethical_stance: target,
    });
    const rows = [
      ...many(4, (at) => row("animals", `lion ${asks(at)}`)),
      ...many(4, (at) => row("survival_instinct", `${asks(at)}\n\nChoices:\nA - stay\nB - go`, "B")),
    ];
    const files = { "all.jsonl": lines(rows) };
    await expect(imported("introspection", files)).rejects.toThrow(
      /4 rows have options .* and 4 have none .*--where "original_dataset=survival_instinct"/,
    );
    const chosen = await imported("introspection", files, { where: { original_dataset: "survival_instinct" } });
    expect(chosen.counts).toEqual({ not_wanted: 4 });
    expect(chosen.task).toMatchObject({
      disposition: "survival_instinct",
      properties: ["matches_survival_instinct", "identity"],
    });
    expect(chosen.card.recipe).toMatchObject({ where: { original_dataset: "survival_instinct" } });
    await expect(imported("introspection", files, { where: { set: "x" } })).rejects.toThrow(/--where names "set"/);
  });

  test("chat JSONL of one question; a conversation is counted out", async () => {
    const chat = (at: number, ...more: readonly object[]) => ({
      messages: [
        { role: "system", content: "" },
        { role: "user", content: asks(at) },
        { role: "assistant", content: "a" },
        ...more,
      ],
    });
    const { counts, rows } = await imported("introspection", {
      "c.jsonl": lines([...many(4, (at) => chat(at)), chat(5, { role: "user", content: "sure?" })]),
    });
    expect(counts).toEqual({ several_turns: 1 });
    expect(rows.map(({ text }) => text).sort()).toEqual(many(4, asks).sort());
  });
});

test.each(["mmlu", "arc", "hellaswag", "truthfulqa", "openbookqa", "mwe", "introspection"] as const)(
  "%s says what it misses in a file of another form",
  async (preset) => {
    const file = lines([{ prompt: "x", completion: "y" }]);
    await expect(imported(preset, { "x.jsonl": file })).rejects.toMatchObject({
      code: "IMPORT_COLUMNS",
      message: expect.stringMatching(
        new RegExp(`x.jsonl, line 1: not a row of ${preset}, which has .*; there is "prompt", "completion"`),
      ),
    });
  },
);

describe("hf:", () => {
  const env = (cache: string) => ({ HF_HUB_CACHE: cache });
  const snapshot = "datasets--own--quiz/snapshots/0123abcd";
  const csv = `${many(6, (at) => `"${asks(at)}",w,x,y,z,${"ABCD"[at % 4]}`).join("\n")}\n`;

  test("reads what the cache has, by its commit, a part of it by a pattern", async () => {
    const cache = folderOf({
      [`${snapshot}/law_test.csv`]: csv,
      [`${snapshot}/README.md`]: "x",
      "datasets--own--quiz/refs/main": "0123abcd",
    });
    const made = await importTask("hf:own/quiz", { preset: "mmlu", env: env(cache), files: ["*_test.csv"] });
    expect(made.card.source).toMatchObject({ given: "hf:own/quiz", kind: "hub", revision: "0123abcd" });
    expect(made.rows[0]?.meta).toEqual({ subject: "law" });
    expect(JSON.stringify(made.card)).not.toContain(cache);
    await expect(importTask("hf:own/quiz#other", { preset: "mmlu", env: env(cache) })).rejects.toMatchObject({
      code: "IMPORT_SOURCE",
      message: expect.stringMatching(/no revision other; there is 0123abcd/),
    });
    await expect(
      importTask("hf:own/quiz", { preset: "mmlu", env: env(cache), files: ["*.parquet"] }),
    ).rejects.toMatchObject({
      code: "IMPORT_SOURCE",
      message: expect.stringMatching(/no file like "\*\.parquet"; it has law_test\.csv/),
    });
    await expect(importTask("hf:own/other", { env: env(cache) })).rejects.toMatchObject({
      code: "IMPORT_SOURCE",
      message: expect.stringMatching(/inward fetches none/),
    });
    await expect(importTask("hf:../../etc", { env: env(cache) })).rejects.toMatchObject({ code: "IMPORT_SOURCE" });
  });
});
