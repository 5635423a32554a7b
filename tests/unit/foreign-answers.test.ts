/** Answers that were made elsewhere: each shape that the harnesses write, and what lies about itself, which gives its place. */
import { mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readForeignLog } from "../../src/elsewhere/read-log.js";
import { answerId } from "../../src/elsewhere/foreign-answers.js";
import { foreignBehaviors, foreignCells } from "../../src/exchange/foreign-behaviors.js";
import { planStudy } from "../../src/run/run-study.js";
import { writeLogStudy } from "../../src/exchange/task-of-log.js";
import { zip } from "../helpers/made-zip.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-foreign-"));
});
const file = async (name: string, content: string | Buffer): Promise<string> => {
  await writeFile(join(folder, name), content);
  return join(folder, name);
};
const lines = (...rows: object[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const generated = (doc_id: number, text: string, more: object = {}) => ({
  doc_id,
  target: "Paris",
  arguments: { gen_args_0: { arg_0: `Question ${doc_id}`, arg_1: { until: ["\n"] } } },
  resps: [[text]],
  filter: "none",
  ...more,
});
const chosen = (doc_id: number, logprobs: number[], target: number | string) => ({
  doc_id,
  target,
  arguments: Object.fromEntries(logprobs.map((_, at) => [`gen_args_${at}`, { arg_0: `Q${doc_id}`, arg_1: ` o${at}` }])),
  resps: logprobs.map((one) => [[String(one), "False"]]),
});
const asked = (id: string, answer: string, more: object = {}) => ({
  id,
  epoch: 1,
  input: [
    { role: "system", content: "s" },
    { role: "user", content: `Say ${id}` },
  ],
  target: "B",
  output: { choices: [{ message: { role: "assistant", content: answer }, stop_reason: "stop" }] },
  ...more,
});
const logOf = (...samples: object[]) => ({ version: 2, status: "success", eval: { model: "openai/gpt" }, samples });

test("lm-eval: generated texts, several draws, a list of messages as prompt; other filters repeat nothing", async () => {
  const messages = JSON.stringify([{ role: "user", content: "Hello" }]);
  const path = await file(
    "samples_a_2026.jsonl",
    lines(
      generated(0, " Paris"),
      generated(1, "x", { resps: [["x", "y"]], arguments: [[messages, {}]] }),
      generated(0, " Paris", { filter: "strict" }),
    ),
  );
  const read = await readForeignLog(path);
  const said = (text: string) => ({ ok: true, text, stop: "end_of_generation" });
  const about = { turnsBefore: 0, target: "Paris", columns: {} };
  expect(read.answers).toEqual([
    { ...about, sample: "0", epoch: 0, question: "Question 0", said: said(" Paris") },
    { ...about, sample: "1", epoch: 0, question: "Hello", said: said("x") },
    { ...about, sample: "1", epoch: 1, question: "Hello", said: said("y") },
  ]);
  expect(read.answers.map(answerId)).toEqual(["0", "1", "1#1"]);
  expect(read.leftOut).toEqual({ "another filter of the same samples": 1 });
});

test("lm-eval: of log-likelihoods the letter of the best, beside the target's letter", async () => {
  const path = await file("samples_mc_2026.jsonl", lines(chosen(0, [-3, -1, -2], 1), chosen(1, [-1, -2], "1")));
  const { answers } = await readForeignLog(path);
  expect(answers.map(({ said, target }) => [said.ok && said.text, target])).toEqual([
    ["B", "B"],
    ["A", "B"],
  ]);
});

test("lm-eval: sums stand in a list or two; equal ones are said; no option is likelier than certain, but for rounding", async () => {
  const flat = {
    ...chosen(0, [-3, -1], 1),
    resps: [
      ["-3", "False"],
      ["-1", "True"],
    ],
  };
  const even = chosen(1, [-1, -2, -1], "2");
  const certain = { ...chosen(2, [-1, -2], 1), resps: [[["-inf", "False"]], [["1.2e-05", "True"]]] };
  const read = await readForeignLog(await file("samples_flat.jsonl", lines(flat, even, certain)));
  expect(read.answers.map(({ said }) => said.ok && said.text)).toEqual(["B", "A", "B"]);
  expect(read.notes).toEqual([
    "Of 1 samples several options have the same best acc: the first of them is taken, as the harness does.",
  ]);
});

test("ids of 64 bits keep their digits, and a score that is no number costs nothing", async () => {
  const [id, next] = ["12345678901234567890", "12345678901234567891"];
  const big = (text: string, at: string) =>
    text.replace('"doc_id":0', `"doc_id":${at}`).replace('"n":1', `"n":${at},"f":1.5`);
  const line = lines(generated(0, " x", { doc: { n: 1 }, acc_norm: 1 })).replace('"acc_norm":1', '"other":NaN');
  const read = await readForeignLog(await file("samples_big.jsonl", `${big(line, id)}\n${big(line, next)}`));
  expect(read.answers.map(({ sample, columns }) => [sample, columns])).toEqual([
    [id, { n: id, f: 1.5 }],
    [next, { n: next, f: 1.5 }],
  ]);
  const log = JSON.stringify(logOf({ ...asked("a", "b"), metadata: { n: 1 } })).replace('"id":"a"', `"id":${id}`);
  const [answer] = (await readForeignLog(await file("big.json", log.replace('"n":1', `"n":-${next}`)))).answers;
  expect([answer?.sample, answer?.columns]).toEqual([id, { n: `-${next}` }]);
});

test("lm-eval: a sample without an answer is refused with its line, and does not vanish", async () => {
  const path = await file("samples_none.jsonl", lines(generated(0, "x"), generated(1, "y", { resps: [[]] })));
  await expect(readForeignLog(path)).rejects.toThrow(/line 2: resps: there is no answer in it/);
});

test("lm-eval: texts of several requests are no answers to one question", async () => {
  const several = generated(0, "x", {
    arguments: [
      ["Q", {}],
      ["R", {}],
    ],
    resps: [["x"], ["y"]],
  });
  const read = await readForeignLog(await file("samples_req.jsonl", lines(several, generated(1, "z"))));
  expect(read.answers.map(({ sample }) => sample)).toEqual(["1"]);
  expect(read.leftOut).toEqual({ "it has several requests, so that there is no one question": 1 });
});

test("a study that cannot be planned leaves no folder, and one that is replaced stays", async () => {
  const read = await readForeignLog(await file("samples_plan.jsonl", lines(generated(0, "x"), generated(1, "y"))));
  const place = join(folder, "unplanned");
  const made = (properties: string[], replace = false) =>
    writeLogStudy(read, place, { kind: "continuation", properties, replace });
  // Known, and for options alone: only the plan finds that out.
  const wrong = expect.objectContaining({ message: expect.not.stringMatching(/partial/) });
  await expect(made(["is_either_a_or_c"])).rejects.toEqual(wrong);
  await expect(stat(place)).rejects.toMatchObject({ code: "ENOENT" });
  const { study, planned } = await made(["first_word"]);
  // Planned where it was written, and the same where it stands.
  expect((await planStudy(study)).planHash).toBe(planned.planHash);
  const before = await readFile(study, "utf8");
  await expect(made(["is_either_a_or_c"], true)).rejects.toEqual(wrong);
  expect(await readFile(study, "utf8")).toBe(before);
});

test("a string made of a sample is never called as another sample is, left out or not", async () => {
  const ids = ["a b", "a-b", "a-b.1", "again", "c"];
  const rows = ids.map((id) =>
    generated(0, "x", { doc_id: id, arguments: [[id === "again" ? "Q a b" : `Q ${id}`, {}]] }),
  );
  const read = await readForeignLog(await file("samples_ids.jsonl", lines(...rows)));
  const made = await writeLogStudy(read, join(folder, "ids"), { kind: "continuation", properties: ["first_word"] });
  const strings = (await readFile(join(dirname(made.study), "strings.jsonl"), "utf8")).trim().split("\n");
  expect(strings.map((one) => JSON.parse(one)).map(({ id, meta }) => [id, meta.sample])).toEqual([
    ["a-b.2", "a b"],
    ["a-b", "a-b"],
    ["a-b.1", "a-b.1"],
    ["c", "c"],
  ]);
});

test("inspect: .json and .eval of one log are the same answers; what failed is counted, reasoning is no text", async () => {
  const parts = [
    { type: "reasoning", reasoning: "hm" },
    { type: "text", text: "owl" },
  ];
  const samples = [
    asked("a", "B"),
    asked("b", "", {
      output: { choices: [{ message: { role: "assistant", content: parts }, stop_reason: "max_tokens" }] },
    }),
    asked("a", "C", { epoch: 2 }),
    asked("c", "B", { error: { message: "boom" } }),
    asked("d", "B", { output: {} }),
  ];
  const json = await readForeignLog(await file("log.json", JSON.stringify(logOf(...samples))));
  const about = { turnsBefore: 1, target: "B", columns: {} };
  expect(json.answers).toEqual([
    { ...about, sample: "a", epoch: 0, question: "Say a", said: { ok: true, text: "B", stop: "end_of_generation" } },
    { ...about, sample: "b", epoch: 0, question: "Say b", said: { ok: true, text: "owl", stop: "max_tokens" } },
    { ...about, sample: "a", epoch: 1, question: "Say a", said: { ok: true, text: "C", stop: "end_of_generation" } },
    { ...about, sample: "c", epoch: 0, question: "Say c", said: { ok: false, why: "the sample failed" } },
    { ...about, sample: "d", epoch: 0, question: "Say d", said: { ok: false, why: "no output" } },
  ]);
  expect(json).toMatchObject({ model: "openai/gpt", leftOut: {} });
  expect(json.notes).toEqual(["1 answers have reasoning beside their text, which is left out."]);
  const { samples: _, ...head } = logOf();
  const members = [
    { name: "header.json", content: Buffer.from(JSON.stringify(head)) },
    ...samples.map((sample, at) => ({ name: `samples/${at}.json`, content: Buffer.from(JSON.stringify(sample)) })),
  ];
  const packed = await readForeignLog(await file("log.eval", zip(members)));
  const file1 = { path: "", bytes: 0, sha256: "" };
  expect({ ...packed, ...file1 }).toEqual({ ...json, ...file1 });
});

test("inspect: tokens with their logprobs and likeliest ones, where they are asked for; what is no logprob is left out and said", async () => {
  const token = (text: string, logprob: number, more: object = {}) => ({ token: text, logprob, ...more });
  const answered = (id: string, answer: string, content: unknown) =>
    asked(id, answer, {
      output: {
        choices: [{ message: { role: "assistant", content: answer }, logprobs: content && { content } }],
      },
    });
  const whole = [
    token("o", -0.5, {
      bytes: [111],
      top_logprobs: [token("w", -2), token("o", -0.5), token("?", -4, { bytes: [0xf0, 0x9f] }), token("z", -9999)],
    }),
    // An API writes a stand-in for a part of a character, and a number for what it does not list.
    token("\\xf0\\x9f", -9999, { bytes: [0xf0, 0x9f] }),
    token("\\xa6\\x8a", 0, { bytes: [0xa6, 0x8a], top_logprobs: [] }),
  ];
  const samples = [
    answered("a", "o🦊", whole),
    answered("b", "owl", [token("ow", -1)]),
    answered("c", "owl", undefined),
    ...[
      [token("o", 0.5)],
      [token("o", Number.NaN)],
      [token("o", -1, { top_logprobs: [token("o", -0.1), token("w", -0.2)] })],
      [token("\0", -1)],
      [token("o", -1, { bytes: [300] })],
      [],
      "no list",
    ].map((bad, at) => answered(`bad-${at}`, "o", bad)),
  ];
  const path = await file("tokens.json", JSON.stringify(logOf(...samples)));
  const read = await readForeignLog(path, "acc", 2);
  const tokens = read.answers.map(({ said }) => (said.ok ? said.tokens : undefined));
  expect(tokens[0]).toEqual([
    {
      text: "o",
      logprob: -0.5,
      alternatives: [
        { text: "o", logprob: -0.5 },
        { text: "w", logprob: -2 },
      ],
    },
    { text: "\ufffd", bytes: "f09f" },
    { text: "\ufffd\ufffd", bytes: "a68a", logprob: 0 },
  ]);
  expect(tokens.slice(1)).toEqual([[{ text: "ow", logprob: -1 }], ...Array(8).fill(undefined)]);
  expect(read.notes).toEqual([
    "1 answers have no logprobs of their tokens in the log.",
    "7 answers have logprobs that are none, and they are left out.",
    "1 answers have tokens that do not spell their text.",
  ]);
  const plain = await readForeignLog(path);
  expect([plain.notes, plain.answers.some(({ said }) => said.ok && said.tokens)]).toEqual([[], false]);
});

describe("what cannot be read says where, and is never half read", () => {
  test.each<[string, string | Buffer, string, RegExp]>([
    ["samples_1.jsonl", `${lines(generated(0, "x"))}\n{"doc_id": 1`, "IMPORT_INVALID", /line 2/],
    ["samples_2.jsonl", lines(generated(0, "x"), generated(0, "y")), "IMPORT_INVALID", /"0" stands twice/],
    ["samples_3.jsonl", lines({ doc_id: 0, resps: [["x"]] }), "IMPORT_INVALID", /line 1: arguments/],
    [
      "samples_4.jsonl",
      lines({ ...chosen(0, [-1, -2], 0), resps: [[["nan", "False"]], [["-1", "False"]]] }),
      "IMPORT_INVALID",
      /"nan" is no log-likelihood/,
    ],
    ...["", " ", "0x10", "Infinity", "1e999", "0.5", 3].map((sum, at): [string, string, string, RegExp] => [
      `samples_sum_${at}.jsonl`,
      lines({ ...chosen(0, [-1, -2], 0), resps: [[[sum, "False"]], [["-1", "False"]]] }),
      "IMPORT_INVALID",
      /line 1: resps: .* is no log-likelihood, which is a number of at most 0/,
    ]),
    [
      "samples_lone.jsonl",
      lines({ ...chosen(0, [-1], 0), resps: [["-1.5", "False"]] }),
      "IMPORT_INVALID",
      /one log-likelihood alone/,
    ],
    ["samples_5.jsonl", "", "IMPORT_EMPTY", /no samples/],
    ["samples_6.jsonl", Buffer.from([0x7b, 0xff, 0x7d]), "IMPORT_INVALID", /UTF-8/],
    ["samples_7.jsonl", lines(generated(0, "x", { resps: [[7]] })), "IMPORT_INVALID", /neither texts/],
    ["log1.json", "{}", "IMPORT_INVALID", /eval/],
    ["log2.json", '{"eval": {}, "samples": [{"id": 1}]}', "IMPORT_INVALID", /samples\.0\.input/],
    ["log3.json", '{"eval": {}}', "IMPORT_EMPTY", /no samples/],
    ["log4.json", "not json", "IMPORT_INVALID", /not JSON/],
    ["log1.eval", "no zip", "IMPORT_SOURCE", /no.* zip archive/],
    ["log2.eval", zip([{ name: "x", content: Buffer.from("{}") }]), "IMPORT_SOURCE", /no header\.json/],
    [
      "log3.eval",
      zip([{ name: "header.json", content: Buffer.from("{}"), method: 93 }]),
      "IMPORT_SOURCE",
      /header\.json: its zstd data/,
    ],
    ["log4.eval", zip([{ name: "header.json", content: Buffer.from("{}"), crc: 1 }]), "IMPORT_SOURCE", /CRC/],
  ])("%s", async (name, content, code, message) => {
    const path = await file(name, content);
    const refused = expect.objectContaining({ code, message: expect.stringMatching(message) });
    await expect(readForeignLog(path)).rejects.toEqual(refused);
  });

  test("a file that is not there, and a folder", async () => {
    for (const name of ["none.jsonl", "none.json", "none.eval", "."]) {
      await expect(readForeignLog(join(folder, name))).rejects.toMatchObject({ code: "IMPORT_SOURCE" });
    }
  });
});

test("lm-eval: acc and acc_norm choose as the harness does; where its own metric differs that is said; mutual information adds no options", async () => {
  const options = ["yes", "a rather long answer"];
  const line = (doc_id: number, sums: number[], more: object) => ({
    ...chosen(doc_id, sums, "0"),
    arguments: Object.fromEntries(
      sums.map((_, at) => [`gen_args_${at}`, { arg_0: at < 2 ? "Q" : "", arg_1: ` ${options[at % 2]}` }]),
    ),
    ...more,
  });
  const path = await file(
    "samples_norm.jsonl",
    lines(
      line(0, [-2, -5], { acc: 1, acc_norm: 0 }),
      line(1, [-2, -5, -1, -0.1], { acc: 1, acc_norm: 0 }),
      line(2, [-2, -50], { acc: 0, acc_norm: 1 }),
    ),
  );
  // -2 / 3 characters is less than -5 / 20, and -50 / 20 less than -2 / 3.
  const letters = async (choose: "acc" | "acc_norm") =>
    (await readForeignLog(path, choose)).answers.map(({ said }) => said.ok && said.text);
  expect(await letters("acc")).toEqual(["A", "A", "A"]);
  expect(await letters("acc_norm")).toEqual(["B", "B", "A"]);
  const { notes, metric, answers } = await readForeignLog(path);
  expect(notes).toEqual(["Of 1 samples the option that has the best acc here is not what the log's own acc counts."]);
  expect([metric, answers.map(({ countedRight }) => countedRight)]).toEqual(["acc", [true, true, false]]);
  expect(answers[0]).toMatchObject({ options, target: "A", said: { by: "loglikelihood" } });
});

test("lm-eval: options with prompts of their own, and infinite sums, are left out by their reason; a target is a place, a text or a letter", async () => {
  const own = chosen(0, [-1, -2], 0);
  own.arguments = { gen_args_0: { arg_0: "one", arg_1: " x" }, gen_args_1: { arg_0: "two", arg_1: " x" } };
  const path = await file(
    "samples_targets.jsonl",
    lines(
      own,
      { ...chosen(1, [-1, -2], 0), resps: [[["-inf", "False"]], [["-inf", "False"]]] },
      chosen(2, [-1, -2], "o1"),
      chosen(3, [-1, -2], "B"),
      chosen(4, [-1, -2], 7),
    ),
  );
  const { answers, leftOut, notes } = await readForeignLog(path);
  expect(Object.values(leftOut)).toEqual([1, 1]);
  expect(answers.map(({ target }) => target)).toEqual(["B", "B", undefined]);
  expect(notes).toEqual(["Of 1 samples the log's target is none of their options, and is left out."]);
});

test("lm-eval: a target in digits that is the place of one option and the text of another is told by the log's own acc, else left out", async () => {
  const numbers = (doc_id: number, sums: number[], more: object) => ({
    ...chosen(doc_id, sums, "2"),
    arguments: Object.fromEntries(
      ["1", "2", "3"].map((option, at) => [`gen_args_${at}`, { arg_0: `N${doc_id}`, arg_1: ` ${option}` }]),
    ),
    ...more,
  });
  const path = await file(
    "samples_digits.jsonl",
    lines(
      // The option "2" is likeliest and right; likeliest and wrong, so that the third is meant; the third is likeliest and right; neither.
      numbers(0, [-3, -1, -2], { acc: 1 }),
      numbers(1, [-3, -1, -2], { acc: 0 }),
      numbers(2, [-3, -2, -1], { acc: 1 }),
      numbers(3, [-1, -3, -2], { acc: 0 }),
      numbers(4, [-3, -1, -2], {}),
    ),
  );
  const { answers, notes } = await readForeignLog(path);
  expect(answers.map(({ target }) => target)).toEqual(["B", "C", "C", undefined, undefined]);
  expect(notes).toEqual([
    "Of 2 samples the log's target is the place of one option and the text of another, and the log's own acc does not tell which: it is left out.",
  ]);
});

test("inspect: a key that stands twice, and nesting without end, are refused; NUL counts where it is read, and NaN is no number", async () => {
  const nul = JSON.stringify(
    logOf(asked("a", "owl"), asked("b", "o\0wl"), asked("c", "B", { metadata: { log: "\0" } })),
  );
  const { answers } = await readForeignLog(await file("nul.json", nul.replace('"version":2', '"version":NaN')));
  expect(answers.map(({ said }) => (said.ok ? said.text : said.why))).toEqual([
    "owl",
    "its text holds a NUL or a lone surrogate",
    "B",
  ]);
  const twice = JSON.stringify(logOf(asked("a", "owl"))).replace('"target":"B"', '"target":"B","target":"C"');
  const deep = JSON.stringify(logOf(asked("a", "owl"))).replace(
    '"version":2',
    `"version":${"[".repeat(90)}${"]".repeat(90)}`,
  );
  const refused = (words: RegExp) =>
    expect.objectContaining({ code: "IMPORT_INVALID", message: expect.stringMatching(words) });
  await expect(readForeignLog(await file("twice.json", twice))).rejects.toEqual(
    refused(/the key "target" stands twice/),
  );
  await expect(readForeignLog(await file("deep.json", deep))).rejects.toEqual(refused(/nested more than 64 deep/));
});

test("inspect: what the model read, and not the bare input; attachments, limits, NaN, targets by letter or text", async () => {
  const hash = "0123456789abcdef0123456789abcdef";
  const choices = ["tea", "milk"];
  const messages = [
    { role: "user", content: `attachment://${hash}` },
    { role: "assistant", content: "ANSWER: B" },
  ];
  const log = logOf(
    asked("a", "ANSWER: B", {
      messages,
      choices,
      target: "milk",
      attachments: { [hash]: "Long question" },
      limit: { type: "token" },
    }),
    asked("b", "x", {
      choices,
      target: "water",
      scores: { choice: { value: "I" } },
      metadata: { topic: "t", deep: {} },
    }),
    asked("c", "x", { choices, target: ["A", "B"], scores: { choice: { value: 0.5 } } }),
  );
  const text = JSON.stringify({ ...log, status: "cancelled", results: { value: "@" } }).replace('"@"', "NaN");
  const { answers, notes, metric } = await readForeignLog(await file("nan.json", text));
  expect(answers[0]).toMatchObject({
    question: "Long question",
    turnsBefore: 0,
    target: "B",
    said: { stop: "max_tokens" },
  });
  expect(answers.slice(1).map(({ target, countedRight }) => [target, countedRight])).toEqual([
    [undefined, false],
    [undefined, undefined],
  ]);
  expect(answers[1]?.columns).toEqual({ topic: "t" });
  expect(metric).toBe("choice");
  expect(notes).toEqual([
    "The log's own status is: cancelled.",
    "1 samples were cut by a limit, so that their answers count as cut off.",
    "1 samples have several targets, of which none is taken.",
    "1 samples have a target that is none of their options, and it is left out.",
  ]);
});

test("options are read as in the task that is made of the log: in more words too, listed by the model's prompt or by the log alone", async () => {
  const choices = ["river", "sea"];
  const solved = { messages: [{ role: "user", content: "Which?\n\nA) river\nB) sea\n\nAnswer:" }] };
  const path = await file(
    "lenient.json",
    JSON.stringify(
      logOf(
        asked("a", "ANSWER: B", { choices, ...solved }),
        asked("b", "**A**", { choices, target: "A" }),
        asked("c", "It could be A or B.", { choices }),
        asked("d", "B", { choices }),
      ),
    ),
  );
  const behaviors = foreignBehaviors(await readForeignLog(path), "options", ["is_correct", "identity"]);
  const [right, letter] = foreignCells(behaviors);
  expect(right?.values).toEqual([{ value: "true", count: 3 }]);
  expect(letter?.values).toEqual([
    { value: "b", count: 2 },
    { value: "a", count: 1 },
  ]);
  expect(right?.missing).toEqual({ not_an_option: 1 });
  expect(new Set(behaviors.flatMap(({ id, lenient }) => (lenient ? [id] : [])))).toEqual(new Set(["a", "b"]));
});

test("properties are those of a run: values counted, a missing one with its reason", async () => {
  const path = await file(
    "samples_p.jsonl",
    lines(
      generated(0, "owl bat"),
      generated(1, "Owl, cat"),
      generated(2, ""),
      generated(3, "I'm sorry, but I can't do that."),
    ),
  );
  const read = await readForeignLog(path);
  const [first] = foreignCells(foreignBehaviors(read, "sequence", ["first_word"]));
  expect(first).toEqual({
    property: "first_word",
    answers: 4,
    counted: 2,
    values: [{ value: "owl", count: 2 }],
    entropyBits: 0,
    missing: { empty: 1, refusal: 1 },
  });
  expect(() => foreignBehaviors(read, "sequence", ["no_such"])).toThrow(
    expect.objectContaining({ code: "PROPERTY_NOT_FOUND" }),
  );
});
