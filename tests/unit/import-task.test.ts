/** Other people's questions become a task: what every form of them becomes, what is left out and why, and nothing half-written. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { importTask } from "../../src/exchange/import-task.js";
import type { TaskImport } from "../../src/exchange/read-source.js";
import { writeTask } from "../../src/exchange/task-folder.js";
import { loadTask } from "../../src/study/load-task.js";

const root = mkdtempSync(join(tmpdir(), "inward-import-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;

/** A folder of its own with these files; the path of the first, or of the folder where there are several. */
function source(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = join(root, String(folders++));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  const names = Object.keys(files);
  return names.length === 1 ? join(folder, names[0] as string) : folder;
}

const lines = (...rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const COLUMNS = { question: "question", options: ["A", "B", "C", "D"], answer: "answer" };
const PLACES = ["harbour", "orchard", "station", "museum", "quarry", "bakery", "chapel", "garden", "market", "tunnel"];
/** Questions that are no near twins of each other. */
const QUESTION = (at: number) => `${PLACES[at % 10]} ${at} ${PLACES[(at * 3 + 1) % 10]}?`;
const HEADER = "question,A,B,C,D,answer";
const csvOf = (rows: readonly string[], header = HEADER) => `${[header, ...rows].join("\n")}\n`;
const TEN = Array.from({ length: 10 }, (_, at) => `${QUESTION(at)},a${at},b${at},c${at},d${at},${"ABCD"[at % 4]}`);

async function imported(files: Parameters<typeof source>[0], options: TaskImport) {
  const made = await importTask(source(files), options);
  const byId = new Map(made.rows.map((row) => [row.id, row]));
  return {
    ...made,
    byId,
    counts: Object.fromEntries(Object.entries(made.card.excluded).map(([why, { count }]) => [why, count])),
  };
}

describe("multiple choice by named columns", () => {
  test("becomes strings with lettered options, the answer's letter as target, and other columns as meta", async () => {
    const rows = TEN.map((row, at) => `${row},${at % 2 ? "law" : "art"},${at}`);
    const {
      byId,
      card,
      task,
      rows: all,
    } = await imported({ "Own Quiz.csv": csvOf(rows, `${HEADER},subject,year`) }, { columns: COLUMNS });
    expect(byId.get("row-2")).toEqual({
      id: "row-2",
      split: expect.stringMatching(/^(train|held_out)$/),
      text: "orchard 1 quarry?\n\nA - a1\nB - b1\nC - c1\nD - d1",
      target: "B",
      meta: { subject: "law", year: "1" },
    });
    expect(task).toMatchObject({ name: "own_quiz", kind: "options", strings: "strings.jsonl" });
    expect(card).toMatchObject({ rows: 10, letters: { A: 3, B: 3, C: 2, D: 2 }, excluded: {} });
    expect(card.columns).toMatchObject({
      question: "question",
      A: "options",
      answer: "answer, read as letters",
      year: "kept as meta",
    });
    expect(all.length).toBe(card.train + card.heldOut);
  });

  test("reads quoted cells over several lines, CRLF, a byte order mark, and text that looks like a formula", async () => {
    const rows = ['"=HYPERLINK(""x""),\r\nthen?","a, b","say ""c""",,,a', "+1+1 or @sum?,-x,=y,z,,C"];
    const file = `\uFEFF${[HEADER, ...rows, ""].join("\r\n")}`;
    const { byId } = await imported({ "q.csv": file }, { columns: COLUMNS });
    expect(byId.get("row-1")).toMatchObject({ text: '=HYPERLINK("x"),\nthen?\n\nA - a, b\nB - say "c"', target: "A" });
    expect(byId.get("row-2")).toMatchObject({ text: "+1+1 or @sum?\n\nA - -x\nB - =y\nC - z", target: "C" });
  });

  test.each([
    ["letters in brackets", ["(a)", "B.", "c"], "ABC", undefined],
    ["numbers from 0", ["0", "1", "2"], "ABC", undefined],
    ["numbers from 1", ["1", "2", "3"], "ABC", undefined],
    ["numbers from 1, where only the person knows", ["1", "2", "2"], "ABB", "index1"],
    ["the option's text", ["xa", "yb", "zc"], "ABC", undefined],
  ] as const)("answers as %s", async (_, answers, letters, answerIs) => {
    const rows = answers.map((answer, at) => `${QUESTION(at)},x${"abc"[at]},y${"abc"[at]},z${"abc"[at]},${answer}`);
    const { byId } = await imported(
      { "q.csv": csvOf(rows, "question,A,B,C,answer") },
      { columns: { ...COLUMNS, options: ["A", "B", "C"] }, answerIs },
    );
    expect([1, 2, 3].map((at) => byId.get(`row-${at}`)?.target).join("")).toBe(letters);
  });

  test("answers that could be numbers from 0 or from 1 are asked about and not guessed", async () => {
    const rows = ["1", "2", "1", "2"].map((answer, at) => `${QUESTION(at)},a,b,c,d,${answer}`);
    await expect(imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS })).rejects.toMatchObject({
      code: "IMPORT_COLUMNS",
      message: expect.stringMatching(/"1", could be numbers from 0 or numbers from 1: say --answer-is/),
    });
  });

  // Each is a list of numbers from 1, or from 0, with slips that would make it one of the other kind.
  test.each([
    ["numbers from 1 with a 0 for none", [...Array(11).keys()].map((at) => (at === 7 ? 0 : 1 + (at % 3)))],
    ["numbers from 0 with one past the last", [...Array(11).keys()].map((at) => (at === 7 ? 4 : 1 + (at % 3)))],
    ["numbers from 1 with two of 40 that are 0", [...Array(40).keys()].map((at) => (at % 31 === 7 ? 0 : 1 + (at % 3)))],
  ])("%s are asked about: a few slips do not turn all answers over", async (_, answers) => {
    const rows = answers.map((answer, at) => `${QUESTION(at)},a${at},b${at},c${at},d${at},${answer}`);
    await expect(imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS })).rejects.toMatchObject({
      code: "IMPORT_COLUMNS",
    });
  });

  test("presets that count from 0 are believed where a few rows cannot tell, and not where rows say otherwise", async () => {
    const rows = (answers: readonly number[]) =>
      lines(
        ...answers.map((answer, at) => ({
          question: QUESTION(at),
          choices: [`a${at}`, `b${at}`, `c${at}`, `d${at}`],
          answer,
        })),
      );
    const read = async (answers: readonly number[]) => {
      const made = await imported({ "m.jsonl": rows(answers) }, { preset: "mmlu" });
      const lettersOf = made.rows.map(({ id, target = "" }) => [answers[Number(id.slice(4)) - 1], target] as const);
      return Object.fromEntries(lettersOf);
    };
    expect(await read([1, 2, 3])).toEqual({ 1: "B", 2: "C", 3: "D" });
    const from1 = [...Array(24).keys()].map((at) => 1 + (at % 4));
    expect(await read(from1)).toEqual({ 1: "A", 2: "B", 3: "C", 4: "D" });
    // No 0 and no 4 in 24 rows: nobody can tell.
    await expect(read(from1.map((one) => Math.min(one, 3)))).rejects.toMatchObject({ code: "IMPORT_COLUMNS" });
  });

  test("a column in which every answer is the same option is said", async () => {
    const rows = [...Array(12).keys()].map((at) => `${QUESTION(at)},a${at},b${at},c${at},d${at},A`);
    const { card } = await imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS });
    expect(card.notes.join(" ")).toMatch(/Every answer is the option A/);
  });

  test("numbers that are options and could be places too are asked about", async () => {
    const rows = ["1", "2"].map((answer, at) => `${QUESTION(at)},2,1,5,0,${answer}`);
    await expect(imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS })).rejects.toMatchObject({
      code: "IMPORT_COLUMNS",
    });
    const { byId } = await imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS, answerIs: "text" });
    expect([byId.get("row-1")?.target, byId.get("row-2")?.target]).toEqual(["B", "A"]);
  });

  test("options may be a list in a column, of JSON too", async () => {
    const rows = [
      { q: QUESTION(0), o: ["x", "y"], key: 1 },
      { q: QUESTION(1), o: '["u", "v", "w"]', key: 0 },
    ];
    const columns = { question: "q", options: ["o"], answer: "key" };
    const { byId } = await imported({ "q.jsonl": lines(...rows) }, { columns, answerIs: "index0" });
    expect(byId.get("row-1")).toMatchObject({ text: `${QUESTION(0)}\n\nA - x\nB - y`, target: "B" });
    expect(byId.get("row-2")).toMatchObject({ text: `${QUESTION(1)}\n\nA - u\nB - v\nC - w`, target: "A" });
  });

  test("counts what it leaves out, with the first place of each reason", async () => {
    const bad = [
      ",a,b,c,d,A",
      `${QUESTION(20)},a,,c,d,A`,
      `${QUESTION(21)},a,,,,A`,
      `${QUESTION(22)},a,b,a,d,A`,
      `${QUESTION(23)},a,b,c,d,E`,
      `${QUESTION(24)},a,b,c,d,`,
      `${QUESTION(25)}\u0007,a,b,c,d,A`,
      `${QUESTION(26)} \uFFFD,a,b,c,d,A`,
      TEN[0] as string,
      `${QUESTION(27)},a,b,c,d,A`,
      `${QUESTION(27)},a,b,c,d,B`,
    ];
    const { counts, card, rows } = await imported({ "q.csv": csvOf([...TEN, ...bad]) }, { columns: COLUMNS });
    expect(counts).toEqual({
      no_text: 1,
      gap_in_options: 1,
      too_few_options: 1,
      same_options: 1,
      unknown_answer: 1,
      no_answer: 1,
      control_character: 1,
      lost_character: 1,
      duplicate: 1,
      duplicate_answer: 2,
    });
    expect(card.excluded.no_text).toEqual({ count: 1, first: "q.csv, line 12" });
    expect(rows.length).toBe(10);
  });

  test.each([
    [
      "a missing column",
      csvOf(TEN, "question,A,B,C,E,answer"),
      "IMPORT_COLUMNS",
      /no column "D" \(--options\); there is "question"/,
    ],
    ["a cell too many", csvOf([...TEN, "a,b,c,d,e,A,f"]), "IMPORT_INVALID", /line 12: 7 cells, and the header has 6/],
    [
      "a quote that stays open",
      csvOf([...TEN, '"a,b,c,d,e,A']),
      "IMPORT_INVALID",
      /line 12: a quote is opened here and never closed/,
    ],
    ["text behind a quote", csvOf(['"a"b,b,c,d,e,A']), "IMPORT_INVALID", /line 2: "b" stands behind a closing quote/],
    ["a column twice", csvOf(TEN, "question,A,A,C,D,answer"), "IMPORT_INVALID", /two columns are called "A"/],
    ["lines of an old Mac", "question,A,B\rq,a,b\rr,c,d\r", "IMPORT_INVALID", /lines end with CR alone/],
    ["semicolons", csvOf(["a;b"], "question;A"), "IMPORT_INVALID", /say --delimiter ";"/],
    [
      "Latin-1",
      Buffer.concat([Buffer.from(csvOf(TEN)), Buffer.from([0x66, 0xfc, 0x72, 0x0a])]),
      "IMPORT_INVALID",
      /line 12: not UTF-8/,
    ],
    ["UTF-16", Buffer.from(`\uFEFF${csvOf(TEN)}`, "utf16le"), "IMPORT_SOURCE", /UTF-16 text/],
    ["a zip", Buffer.from("PK\u0003\u0004rest"), "IMPORT_SOURCE", /a zip archive or a spreadsheet/],
    ["an LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "IMPORT_SOURCE", /git lfs pull/],
    ["nothing", "", "IMPORT_SOURCE", /is empty/],
    ["a header alone", csvOf([]), "IMPORT_EMPTY", /of 0 rows nothing is left/],
    [
      "nothing that can be used",
      csvOf([",a,b,c,d,A"]),
      "IMPORT_EMPTY",
      /1 without a question or text \(the first: q.csv, line 2\)/,
    ],
  ])("%s is a coded error with its place", async (_, file, code, message) => {
    await expect(imported({ "q.csv": file }, { columns: COLUMNS })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  test("a line of many megabytes is refused unread", async () => {
    const long = Buffer.concat([Buffer.from(csvOf(TEN)), Buffer.alloc(3_000_000, 0x61)]);
    await expect(imported({ "q.csv": long }, { columns: COLUMNS })).rejects.toMatchObject({
      code: "IMPORT_INVALID",
      message: expect.stringMatching(/line 12: longer than 1048576 bytes/),
    });
  });
});

describe("strings", () => {
  test("plain text is one string a line", async () => {
    const { rows, task } = await imported(
      { "openings.txt": `${PLACES.map((one) => `The ${one} was ${one}.`).join("\n\n")}\n` },
      {},
    );
    expect(rows.length).toBe(10);
    expect(task).toMatchObject({ kind: "continuation", question: "{string}", name: "openings" });
  });

  test("a text column of JSONL, with its other columns", async () => {
    const { byId } = await imported(
      {
        "s.jsonl": lines(
          { id: "n1", body: "one two three", year: 3, tags: ["x"] },
          { id: "n2", body: "four five six" },
        ),
      },
      { columns: { text: "body", id: "id" } },
    );
    expect(byId.get("n1")).toMatchObject({ text: "one two three", meta: { year: 3, tags: '["x"]' } });
  });

  test("a line that is no object, and one that JSON.parse would settle silently, are coded errors", async () => {
    for (const [line, message] of [
      ["[1]\n", /entry 1: 1 is no object/],
      ["{}x\n", /line 1 is not JSON/],
      ['{"t": "a", "t": "b"}\n', /line 1: the key "t" stands twice/],
      ['{"t": "\\u0000"}\n', /line 1: t: holds a NUL/],
    ] as const) {
      await expect(imported({ "s.jsonl": line }, { columns: { text: "t" } })).rejects.toMatchObject({
        code: "IMPORT_INVALID",
        message: expect.stringMatching(message),
      });
    }
  });
});

describe("the split", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, at) => `${QUESTION(at)} ${at * 7},a${at},b${at},c${at},d${at},${"ABCD"[at % 4]}`);

  test("depends on the seed and the rows, not on their order", async () => {
    const sides = async (rows: readonly string[], seed: number) => {
      const { rows: all } = await imported({ "q.csv": csvOf(rows) }, { columns: COLUMNS, seed });
      return all
        .filter(({ split }) => split === "train")
        .map(({ text }) => text)
        .sort();
    };
    expect(await sides(many(40), 1)).toEqual(await sides(many(40).reverse(), 1));
    expect(await sides(many(40), 1)).not.toEqual(await sides(many(40), 2));
  });

  test("has the share of train strings that is asked for, in each letter", async () => {
    const { rows } = await imported({ "q.csv": csvOf(many(80)) }, { columns: COLUMNS, trainShare: 0.25 });
    const train = rows.filter(({ split }) => split === "train");
    expect(train.length).toBe(20);
    expect(train.filter(({ target }) => target === "A").length).toBe(5);
  });

  test("leaves out train strings that are near twins of held-out ones, and counts them", async () => {
    const stem = "Which of the old lamps in the long hall was lit by the night watch before";
    const rows = [...many(10), `${stem} one?,a,b,c,d,A`, `${stem} two?,a,b,c,e,B`];
    const folder = {
      "train.csv": csvOf([...many(10), rows[10] as string]),
      "test.csv": csvOf([QUESTION(99), "z"].map((one) => `${one} far,a,b,c,d,A`).concat(rows[11] as string)),
    };
    const { counts, card } = await imported(folder, { columns: COLUMNS, keepSplits: true });
    expect(counts).toEqual({ near_twin: 1 });
    expect([card.train, card.heldOut]).toEqual([10, 3]);
    expect(card.notes.join(" ")).toContain("1 train strings are left out as near twins");
  });

  test("gives two train items as solved examples, with different letters", async () => {
    const { task, rows } = await imported({ "q.csv": csvOf(many(20)) }, { columns: COLUMNS, examples: true });
    const examples = task.examples as { text: string; answer: string }[];
    expect(new Set(examples.map(({ answer }) => answer)).size).toBe(2);
    expect(rows.length).toBe(18);
    expect(rows.some(({ text }) => examples.some((one) => one.text === text))).toBe(false);
  });

  test("shows a disposition once and its other side once", async () => {
    const rows = Array.from({ length: 12 }, (_, at) => `${QUESTION(at)},yes,no,A`);
    const { task, byId } = await imported(
      { "q.csv": csvOf(rows, "question,A,B,answer") },
      { columns: { ...COLUMNS, options: ["A", "B"] }, disposition: "eager", examples: true },
    );
    expect((task.examples as { answer: string }[]).map(({ answer }) => answer)).toEqual(["A", "B"]);
    expect(byId.size).toBe(10);
  });

  test("takes a seeded choice of the items", async () => {
    const few = await imported({ "q.csv": csvOf(many(40)) }, { columns: COLUMNS, items: 12 });
    const more = await imported({ "q.csv": csvOf(many(40)) }, { columns: COLUMNS, items: 20 });
    expect(few.rows.length).toBe(12);
    expect([...few.byId.keys()].every((id) => more.byId.has(id))).toBe(true);
  });
});

describe("what is written", () => {
  test("is a task that loads, with its card, or nothing", async () => {
    const made = await imported({ "q.csv": csvOf(TEN) }, { columns: COLUMNS, examples: true });
    const folder = join(root, "written");
    const { path, task } = await writeTask(made, folder);
    expect((await loadTask(path)).sha256).toBe(task.sha256);
    expect(JSON.parse(readFileSync(join(folder, "card.json"), "utf8"))).toEqual(JSON.parse(JSON.stringify(made.card)));
    expect(readdirSync(folder).sort()).toEqual(["card.json", "strings.jsonl", "task.yaml"]);
    await expect(writeTask(made, folder)).rejects.toMatchObject({ code: "IMPORT_EXISTS" });
    expect((await writeTask(made, folder, { replace: true })).task.sha256).toBe(task.sha256);
    const broken = { ...made, task: { ...made.task, properties: ["no_such_property"] } };
    await expect(writeTask(broken, join(root, "broken"))).rejects.toMatchObject({ code: "TASK_INVALID" });
    expect(existsSync(join(root, "broken"))).toBe(false);
    expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("never replaces a folder that is no imported task", async () => {
    const made = await imported({ "q.csv": csvOf(TEN) }, { columns: COLUMNS });
    const folder = join(root, "mine");
    mkdirSync(folder);
    writeFileSync(join(folder, "thesis.tex"), "years");
    await expect(writeTask(made, folder, { replace: true })).rejects.toMatchObject({ code: "IMPORT_EXISTS" });
    expect(readdirSync(folder)).toEqual(["thesis.tex"]);
  });
});
