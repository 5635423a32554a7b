/** Answers that other programs asked for as a run: scored, reported, exported, predicted and learnt from, and no model that is not needed. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { dryRun, report, runStudy, score } from "inward";
import { readForeignLog } from "../../src/elsewhere/read-log.js";
import { exportRun } from "../../src/exchange/export-run.js";
import { writeLogStudy } from "../../src/exchange/task-of-log.js";
import { findAddon } from "../../src/model/native/addon.js";
import { compareRuns } from "../../src/run/compare-runs.js";
import type { Scores } from "../../src/score/scores.js";
import type { TrialRow } from "../../src/score/trial-rows.js";
import type { Plan } from "../../src/study/plan.js";
import type { Answer } from "../../src/tasks/answer.js";
import { pick } from "../helpers/made-up-run.js";
import { runFiles } from "../helpers/run-files.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const WORDS = ["owl", "newt", "ibex", "seal"];
const STRINGS = 60;
const text = (at: number) => `harbour${at} orchard${at} station${at}`;
const does = (at: number) => (at % 3 === 0 ? "owl" : pick(WORDS, "does", at));
/** Right on two of three strings, whatever the answer was. */
const says = (at: number, property: string) => {
  const word = at % 3 === 0 ? (WORDS[(WORDS.indexOf(does(at)) + 1) % WORDS.length] as string) : does(at);
  return property === "first_word" ? word : ([...word][1] as string);
};
const FAILED = 7;

const sample = (id: string, question: string, answer: string, more: object = {}) => ({
  id,
  epoch: 1,
  input: question,
  target: "",
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
  output: {
    choices: [{ message: { role: "assistant", content: answer }, stop_reason: "stop", logprobs: logprobsOf(answer) }],
  },
  ...more,
});
const logprobsOf = (answer: string) => ({
  content: [
    {
      token: answer,
      logprob: -0.25,
      top_logprobs: [answer, "other", "third"].map((token, at) => ({ token, logprob: -0.25 - 2 * at })),
    },
  ],
});
const log = (model: string, samples: readonly object[]) =>
  JSON.stringify({ version: 2, status: "success", eval: { model, packages: { inspect_ai: "0.3.285" } }, samples });
const all = Array.from({ length: STRINGS }, (_, at) => at);
const objects = all.map((at) =>
  sample(`s${at}`, `Go on: ${text(at)}`, does(at), at === FAILED ? { error: { message: "overloaded" } } : {}),
);
const asking = (reply: (at: number, property: string) => string) =>
  all.flatMap((at) =>
    ["first_word", "second_character"].map((property) =>
      sample(`${property}-${at}`, `If asked ${text(at)}?`, reply(at, property), {
        metadata: { string: `s${at}`, asks: property },
      }),
    ),
  );

const STUDY = `
study: both
elsewhere:
  api:
    answers: objects.json
    predictions: { file: hypothetical.json, item: { column: string }, property: { column: asks } }
  rival:
    predictions: { file: rival.json, id: "{property}-{item}", item: { column: string } }
tasks: [{ task: ./task.yaml, heldOutStrings: 30 }]
properties: [first_word, second_character]
predictions:
  - { predictor: api, target: api }
  - { predictor: rival, target: api }
engine: { alternatives: 2 }
score: { bootstrapReplicates: 200 }
`;

let folder: string;
const inRun = (name: string) => runFiles(() => join(folder, name));
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-elsewhere-"));
  const write = (name: string, content: string) => writeFile(join(folder, name), content);
  await write("objects.json", log("openai/api", objects));
  await write("hypothetical.json", log("openai/api", asking(says)));
  await write(
    "rival.json",
    log(
      "other/rival",
      asking((_, property) => (property === "first_word" ? "owl" : "w")),
    ),
  );
  const rows = all.map((at) => ({ id: `s${at}`, text: text(at), split: at < STRINGS / 2 ? "held_out" : "train" }));
  await write("strings.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  await write(
    "task.yaml",
    'name: go_on\nkind: continuation\nquestion: "Go on: {string}"\nstrings: strings.jsonl\nproperties: [first_word, second_character]\n',
  );
  await write("study.yaml", STUDY);
  return workIn(folder, {
    INWARD_MODELS: join(folder, "models"),
    INWARD_ANSWER_CACHE: join(folder, "cache"),
  });
});

test("a dry run lists the logs, what they have of each side and what is missing, and counts nothing as asked here", async () => {
  const sha256 = async (file: string) =>
    createHash("sha256")
      .update(await readFile(join(folder, file)))
      .digest("hex");
  const planned = await dryRun("study.yaml");
  expect(planned).toMatchObject({ objectLevel: 0, hypothetical: 0, stages: [], models: [], assumptions: [] });
  expect(planned.answerCache).toBeUndefined();
  const about = { format: "inspect log", task: "go_on" };
  expect(planned.elsewhere).toMatchObject([
    {
      state: "api",
      logs: [
        {
          ...about,
          side: "object_level",
          source: "objects.json",
          sha256: await sha256("objects.json"),
          samples: STRINGS,
          taken: STRINGS,
          unanswered: { "the sample failed": 1 },
        },
        // Of every string; only those about held-out ones are questions of the plan.
        {
          ...about,
          side: "hypothetical",
          source: "hypothetical.json",
          samples: 2 * STRINGS,
          taken: 60,
          unanswered: {},
        },
      ],
      questions: [
        {
          side: "object_level",
          task: "go_on",
          questions: STRINGS,
          answered: STRINGS - 1,
          failedElsewhere: 1,
          notInLog: 0,
        },
        { side: "hypothetical", task: "go_on", questions: 60, answered: 60, failedElsewhere: 0, notInLog: 0 },
      ],
      stringsLeftOut: 0,
    },
    { state: "rival", logs: [{ source: "rival.json" }], questions: [{ side: "hypothetical", questions: 60 }] },
  ]);
  // Half of the replies of a log that broke off are asked of nobody here either.
  await writeFile(
    join(folder, "half.json"),
    log(
      "other/rival",
      asking(() => "owl").filter((_, at) => at % 4 !== 0),
    ),
  );
  await writeFile(join(folder, "half.yaml"), STUDY.replace("rival.json", "half.json"));
  const [, half] = (await dryRun("half.yaml")).elsewhere ?? [];
  expect(half?.questions).toEqual([
    { side: "hypothetical", task: "go_on", questions: 60, answered: 45, failedElsewhere: 0, notInLog: 15 },
  ]);
});

describe("two logs, of answers and of predictions", () => {
  const { read, lines } = inRun("both");

  beforeAll(async () => {
    await runStudy("study.yaml", { out: "both" });
  });

  test("are scored as trials of a run: what is planted is found, and what failed is excluded with its reason", async () => {
    const trials = await lines<TrialRow>("08-trials.jsonl");
    const of = (predictor: string) => trials.filter((row) => row.predictor === predictor);
    const held = all.filter((at) => at < 30 && at !== FAILED);
    const right = held.filter((at) => at % 3 !== 0).length;
    const words = of("api").filter(({ property }) => property === "first_word");
    expect(words).toHaveLength(30);
    expect(words.filter(({ outcome }) => outcome === "right")).toHaveLength(right);
    expect(words.filter(({ outcome }) => outcome === "excluded")).toMatchObject([
      { item: `s${FAILED}`, because: "no_answer", objectCompliance: { ok: false, reason: "failed_elsewhere" } },
    ]);
    expect(
      trials.every(({ minMargin, aboveNoiseFloor }) => minMargin === undefined && aboveNoiseFloor === undefined),
    ).toBe(true);
    const scores = await read<Scores>("08-scores.json");
    const cell = (predictor: string) =>
      scores.cells.find((one) => one.predictor === predictor && one.property === "first_word");
    expect(cell("api")?.accuracy).toMatchObject({ ok: true, value: right / held.length, n: held.length });
    // Who says one word always is right as often as that word is said, and no more.
    const owls = held.filter((at) => does(at) === "owl").length;
    expect(cell("rival")?.accuracy).toMatchObject({ ok: true, value: owls / held.length });
    expect(cell("rival")?.accuracyAboveNoiseFloor).toMatchObject({ ok: false });
    const said = held.map(does);
    const shares = [...new Set(said)].map((word) => said.filter((one) => one === word).length / held.length);
    expect(scores.answered?.find(({ property }) => property === "first_word")).toMatchObject({
      target: "api",
      answers: 30,
      counted: held.length,
      missing: { failed_elsewhere: 1 },
      modeShare: { ok: true, value: Math.max(...shares) },
      entropyBits: expect.closeTo(-shares.reduce((sum, share) => sum + share * Math.log2(share), 0), 10),
    });
  });

  test("stand in the plan by checksum and in no record with tokens; nobody was opened to answer them", async () => {
    const plan = await read<Plan>("01-plan.json");
    expect(plan.models).toEqual({});
    expect(plan.elsewhere?.api).toMatchObject({
      samples: 1,
      replies: 1,
      answers: [{ source: "objects.json", model: "openai/api", version: "inspect_ai 0.3.285", otherQuestion: 0 }],
      predictions: [{ source: "hypothetical.json", taken: 60, mapping: { property: { column: "asks" } } }],
    });
    const answers = await lines<Answer>("02-object-level.jsonl");
    const [first] = answers;
    expect(first?.reply).toMatchObject({ tokenIds: [], madeElsewhere: { sample: first?.item, epoch: 0 } });
    // What the log says of its tokens is kept as the log's, as much of it as the study names; no number rests on it.
    const text = first?.reply?.text;
    const alternatives = [
      { text, logprob: -0.25 },
      { text: "other", logprob: -2.25 },
    ];
    expect(first?.reply?.madeElsewhere?.tokens).toEqual([{ text, logprob: -0.25, alternatives }]);
    expect(answers.filter(({ setAside }) => setAside)).toMatchObject([
      { item: `s${FAILED}`, setAside: "failed_elsewhere" },
    ]);
    await expect(readFile(join(folder, "both", "manifest.json"))).rejects.toMatchObject({ code: "ENOENT" });
    const said = await readFile(join(folder, "both", "09-report.md"), "utf8");
    expect(said).toContain("Made elsewhere");
    // The study's wordings were put to nobody.
    expect(said).toContain("None was asked here.");
    expect(said).not.toContain("Wording “");
    expect(said).toContain(plan.elsewhere?.api?.answers?.[0]?.sha256 as string);
  });

  test("are scored again, reported, exported and compared like any run; run again they are the same bytes", async () => {
    const before = await readFile(join(folder, "both", "08-scores.json"), "utf8");
    await score("both");
    await report("both");
    await runStudy("study.yaml", { out: "both" });
    expect(await readFile(join(folder, "both", "08-scores.json"), "utf8")).toBe(before);
    const { files } = await exportRun("both", { to: ["csv", "lm-eval", "inspect"], out: "exported" });
    expect(files.length).toBeGreaterThan(5);
    const [head, row] = (await readFile(join(folder, "exported", "answers.csv"), "utf8")).split("\r\n");
    const cells = Object.fromEntries(
      (head as string).split(",").map((name, at) => [name, (row as string).split(",")[at]]),
    );
    expect(cells).toMatchObject({ tokenIds: "", logprobs: "", sumLogprob: "", tokensReason: "made_elsewhere" });
    await runStudy("study.yaml", { out: "first-answers", set: { "elsewhere.api.epochs": 1 } });
    const compared = await compareRuns("both", "first-answers", { names: {} });
    expect(compared.plan.same).toBe(true);
  });

  test.each<[string, string, RegExp]>([
    [
      "a mapping that fits nothing",
      STUDY.replace("item: { column: string }, property: { column: asks }", "property: first_word"),
      /nothing about first_word/,
    ],
    [
      "two samples for one question",
      STUDY.replace("property: { column: asks }", "property: first_word"),
      /are both about go_on\/s\d+\/first_word/,
    ],
    [
      "a column that is not there",
      STUDY.replace("column: asks", "column: ask"),
      /has no column "ask"; it has string, asks/,
    ],
    ["a target without answers", STUDY.replace("target: api", "target: rival"), /elsewhere\.rival has no answers/],
    [
      "lines that nobody could write",
      STUDY.replace("alternatives: 2", "alternatives: 100, groupQuestions: 10000"),
      /engine\.alternatives is 100, and 10000 answers of up to \d+ tokens .* Lower engine\.alternatives/,
    ],
    ["distributions", `${STUDY}calibration: {}\n`, /only answers are known, no probabilities/],
    ["options answered by logprob", `${STUDY}experiments: [matrix]\n`, /matrix/],
    ["no model at all", "study: x\ntasks: [{ task: ./task.yaml }]\n", /names no model/],
    [
      "a property that one log lacks",
      STUDY.replace("[first_word, second_character]", "[first_word, third_character]"),
      /nothing about third_character/,
    ],
  ])("%s is refused before anything is written", async (_, study, message) => {
    await writeFile(join(folder, "wrong.yaml"), study);
    const refused = expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(message) });
    await expect(runStudy("wrong.yaml", { out: "wrong" })).rejects.toEqual(refused);
    await expect(readFile(join(folder, "wrong", "01-plan.json"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});

test("one log alone: accuracy beside chance, what the harness itself counts, and no prediction", async () => {
  const doc = (at: number) => ({
    question: `Which of ${text(at)}?`,
    choices: [`a${at}`, `long b${at}`, `c${at}`],
    answer: at % 3,
  });
  const lines = all.slice(0, 20).map((at) => {
    const sums = [0, 1, 2].map((place) => -1 - ((at * 7 + place * 5) % 11));
    const best = sums.indexOf(Math.max(...sums));
    return JSON.stringify({
      doc_id: at,
      doc: doc(at),
      target: String(at % 3),
      arguments: Object.fromEntries(
        doc(at).choices.map((choice, place) => [
          `gen_args_${place}`,
          { arg_0: `Q: ${doc(at).question}\nA:`, arg_1: ` ${choice}` },
        ]),
      ),
      resps: sums.map((sum) => [[String(sum), "False"]]),
      filter: "none",
      acc: best === at % 3 ? 1 : 0,
    });
  });
  await writeFile(join(folder, "samples_abc_2026-11-29T10-00-00.000001.jsonl"), `${lines.join("\n")}\n`);
  const read = await readForeignLog("samples_abc_2026-11-29T10-00-00.000001.jsonl");
  const made = await writeLogStudy(read, "abc", { kind: "options", properties: ["identity", "is_correct"] });
  const { scores, plan, folder: run } = await runStudy(made.study, { out: "alone" });
  expect(plan.predictions).toEqual([]);
  const right = lines.filter((line) => line.endsWith('"acc":1}')).length / 20;
  expect(scores.taskAccuracy).toMatchObject([
    { task: "abc", chance: expect.closeTo(1 / 3, 10), right: { written: { value: right, n: 20 } } },
  ]);
  expect(scores.reportedRight).toMatchObject([{ right: { value: right }, agrees: { count: 20, of: 20 } }]);
  expect(scores.cells).toEqual([]);
  const said = await readFile(join(run, "09-report.md"), "utf8");
  expect(said).toContain("There are no predictions of these answers");
  expect(said).toContain("nothing was generated");
});

const addon = await findAddon().then(
  () => true,
  () => false,
);

test.skipIf(!addon)("a model that is here predicts one that is not, and learns from its log", async () => {
  await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 1024 });
  await writeFile(
    join(folder, "cross.yaml"),
    `
study: cross
models: { small: { source: ./tiny.gguf } }
elsewhere: { api: { answers: objects.json } }
tasks: [{ task: ./task.yaml, trainStrings: 8, heldOutStrings: 6, properties: [first_word] }]
predictions: [{ predictor: small, target: api }]
lora: { rank: 4, epochs: 1, batchExamples: 4 }
engine: { device: cpu, threads: 1 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 200 }
`,
  );
  const { plan } = await runStudy("cross.yaml", { out: "cross" });
  const { lines, read } = inRun("cross");
  expect(plan.predictions).toEqual([
    { predictor: "small", target: "api" },
    { predictor: "small-predicts-api", target: "api" },
  ]);
  const learnt = await lines<{ messages?: unknown }>("04-finetune-sets/small-predicts-api.jsonl");
  expect(learnt).toHaveLength(8);
  const train = (await lines<Answer>("02-object-level.jsonl")).filter(({ split }) => split === "train");
  expect(train.map(({ item, reply }) => [item, reply?.text])).toEqual(
    train.map(({ item }) => [item, does(Number(item.slice(1)))]),
  );
  expect(Object.keys(await read<object>("manifest.json"))).toEqual(["small", "small-predicts-api"]);
  const trials = await lines<TrialRow>("08-trials.jsonl");
  expect(new Set(trials.map(({ predictor, target }) => `${predictor} ${target}`)).size).toBe(2);
});
