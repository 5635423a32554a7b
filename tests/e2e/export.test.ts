/** What `inward export` writes: every row of the run, readable by what reads CSV, Parquet and chat JSONL, and nothing that lies. */
import { cp, mkdir, mkdtemp, readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, test } from "vitest";
import { takeRunLock } from "../../src/base/lock.js";
import { trialsCommand } from "../../src/cli/trials.js";
import { readForeignLog } from "../../src/elsewhere/read-log.js";
import { exportRun, type ExportOptions } from "../../src/exchange/export-run.js";
import { column, csvLines } from "../../src/exchange/csv-lines.js";
import { dataTable } from "../../src/exchange/table.js";
import { compareRuns } from "../../src/run/compare-runs.js";
import type { Scores } from "../../src/score/scores.js";
import type { TrialRow } from "../../src/score/trial-rows.js";
import type { Answer, Reply } from "../../src/tasks/answer.js";
import { type MadeUpRun, madeUpRun, pick } from "../helpers/made-up-run.js";
import { printed } from "../helpers/printed.js";
import { runFiles } from "../helpers/run-files.js";

const WORDS = ["wolf", "=cmd|' /C calc'!A0", 'newt, or "eft"', "ibex\nand goat", "café 🦊"];
const STUDY = `
study: export
models: { m: { source: m }, other: { source: o } }
tasks:
  - { task: animals_long, trainStrings: 12, heldOutStrings: 8 }
properties: [first_word, second_character]
predictions:
  - { predictor: m, target: m }
  - { predictor: other, target: m }
lora: {}
engine: { alternatives: 3 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`;

let run: MadeUpRun;
let folder: string;
const files = runFiles(() => run.path);
const to = (formats: ExportOptions["to"], out = folder) => exportRun(run.path, { to: formats, out });

beforeAll(async () => {
  run = await madeUpRun(STUDY, {
    does: (state, { text }) => pick(WORDS, state.startsWith("m"), text),
    imagines: (state, { text }, property) => pick(WORDS, state, text, property),
  });
  folder = join(await mkdtemp(join(tmpdir(), "inward-export-")), "out");
});

/** By RFC 4180, with nothing of ours. */
function csvRows(text: string): Record<string, string>[] {
  const rows: string[][] = [[""]];
  for (let at = 0, quoted = false; at < text.length; at++) {
    const row = rows.at(-1) as string[];
    const add = (what: string) => row.push((row.pop() as string) + what);
    if (quoted) {
      if (text[at] !== '"') add(text[at] as string);
      else if (text[at + 1] === '"') add(text[at++] as string);
      else quoted = false;
    } else if (text[at] === '"') quoted = true;
    else if (text[at] === ",") row.push("");
    else if (text.startsWith("\r\n", at)) {
      rows.push([""]);
      at++;
    } else add(text[at] as string);
  }
  rows.pop();
  const [header, ...rest] = rows as [string[], ...string[][]];
  return rest.map((row) => Object.fromEntries(header.map((name, at) => [name, row[at] as string])));
}

const parquetRows = async (name: string): Promise<Record<string, unknown>[]> => {
  const bytes = await readFile(join(folder, `${name}.parquet`));
  return parquetReadObjects({
    file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer,
  });
};

test("CSV and Parquet hold every trial, answer and behavior of the run, with the string and what was said", async () => {
  const { files: written } = await to(["csv", "parquet"]);
  const trials = await files.lines<TrialRow>("08-trials.jsonl");
  const answers = (
    await Promise.all(
      ["02-object-level", "06-object-level-adapted", "07-hypothetical"].map((name) =>
        files.lines<Answer>(`${name}.jsonl`),
      ),
    )
  ).flat();
  const behaviors = (
    await Promise.all(["03-behaviors", "06-behaviors-adapted"].map((name) => files.lines(`${name}.jsonl`)))
  ).flat();
  const counts = { trials: trials.length, answers: answers.length, behaviors: behaviors.length };
  for (const [name, rows] of Object.entries(counts)) {
    expect(written).toContainEqual({ path: `${name}.csv`, rows });
    expect(csvRows(await readFile(join(folder, `${name}.csv`), "utf8"))).toHaveLength(rows);
    expect(await parquetRows(name)).toHaveLength(rows);
  }
  const items = new Map(run.plan.tasks[0]?.heldOut.map((item) => [item.id, item.text]));
  const said = new Map(answers.map(({ state, key, reply }) => [`${state}|${key}`, reply]));
  for (const [at, row] of (await parquetRows("trials")).entries()) {
    const trial = trials[at] as TrialRow;
    expect(row).toMatchObject({ outcome: trial.outcome, because: trial.because, reply: trial.reply });
    expect(row.string).toBe(items.get(trial.item));
    expect(row.answer).toBe(said.get(`${trial.target}|${trial.answerKey}`)?.text);
    expect(row.prediction).toBe(trial.prediction.ok ? trial.prediction.value : null);
    expect(row.minMargin).toBe(trial.minMargin);
  }
  for (const [at, row] of (await parquetRows("answers")).entries()) {
    const { reply } = answers[at] as Answer;
    expect([row.text, row.tokenIds, row.logprobs]).toEqual([reply?.text, reply?.tokenIds, reply?.logprobs]);
    const { positions = [] } = reply as Reply;
    expect(row.tokenTexts).toEqual(positions.map(({ text }) => text));
    expect([row.alternativesEach, row.alternativeIds]).toEqual([3, positions.flatMap(({ tokenIds }) => tokenIds)]);
    expect(row.alternativeLogprobs).toEqual(positions.flatMap(({ logprobs }) => logprobs));
    expect(row.alternativeBytes).toEqual(positions.flatMap(() => ["", "f09f", ""]));
  }
});

test("inspect logs have the tokens and the likeliest ones of each place, as inward itself reads them back", async () => {
  const { files: written } = await to(["inspect"]);
  const logs = await Promise.all(written.map(({ path }) => readForeignLog(join(folder, path), "acc", 2)));
  const read = logs.flatMap(({ answers }) => answers.map(({ said }) => said));
  expect(logs.flatMap(({ notes }) => notes)).toEqual([]);
  for (const said of read) {
    if (!said.ok || !said.tokens) throw new Error("an answer without its tokens");
    expect(said.tokens.map(({ text }) => text).join("")).toBe(said.text);
    expect(said.tokens.map(({ logprob }) => logprob)).toEqual(said.tokens.map((_, at) => -1 / (at + 1)));
    for (const { text, alternatives = [] } of said.tokens)
      expect(alternatives.map((one) => one.bytes ?? one.text)).toEqual([text, "f09f"]);
  }
  expect(read.length).toBeGreaterThan(100);
});

test("in CSV no text is a formula, and all but its apostrophe comes back; Parquet has the text itself", async () => {
  const texts = csvRows(await readFile(join(folder, "answers.csv"), "utf8")).map(({ text }) => text);
  expect(texts).toContain(`'${WORDS[1]}`);
  for (const word of [2, 3, 4].map((at) => WORDS[at] as string)) expect(texts).toContain(word);
  for (const text of texts) expect(text).not.toMatch(/^[=+\-@\t\r\n]/);
  const exact = new Set((await parquetRows("answers")).map(({ text }) => text));
  for (const word of WORDS) expect(exact).toContain(word);
});

test.each(["=1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "\uff1d1"])("%j is no formula", (text) => {
  const line = [...csvLines([column("a", "text", (row: string) => row)], [text])][1] as string;
  expect(line.replace(/^"/, "").startsWith("'")).toBe(true);
});

test("numbers stay numbers, negative ones too; a table without rows keeps its columns", async () => {
  const columns = [column("a", "number", (row: number) => row), column("b", "texts", () => ["=x", ","])];
  expect([...csvLines(columns, [-1.5])]).toEqual(["a,b\r\n", '-1.5,"[""=x"","",""]"\r\n']);
  const { csv, parquet } = dataTable("none", columns, []);
  expect([...csv()].join("")).toBe("a,b\r\n");
  expect(await parquetReadObjects({ file: parquet().buffer as ArrayBuffer })).toEqual([]);
});

describe("chat JSONL", () => {
  interface Line {
    readonly messages: { role: string; content: string; train?: boolean }[];
    readonly metadata: { task: string; item: string };
  }
  const linesOf = async (adapter: string, split: string): Promise<Line[]> =>
    (await readFile(join(folder, "chat", adapter, `${split}.jsonl`), "utf8"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));

  test("holds every example of the set once, no string in both files, the last message learnt", async () => {
    const { notes } = await to(["chat"]);
    for (const adapter of ["m-predicts-m", "other-predicts-m"]) {
      const [train, valid] = [await linesOf(adapter, "train"), await linesOf(adapter, "valid")];
      const set = await files.lines<Line>(`04-finetune-sets/${adapter}.jsonl`);
      expect([...train, ...valid].map(({ messages }) => JSON.stringify(messages)).sort()).toEqual(
        set.map(({ messages }) => JSON.stringify(messages)).sort(),
      );
      expect(valid.length).toBeGreaterThan(0);
      const watched = new Set(valid.map(({ metadata }) => metadata.item));
      expect(train.filter(({ metadata }) => watched.has(metadata.item))).toEqual([]);
      for (const { messages } of train) expect(messages.at(-1)?.role).toBe("assistant");
      expect(await readFile(join(folder, "chat", adapter, "README.md"), "utf8")).toContain("mlx_lm.lora");
    }
    expect(notes).toEqual([
      "CSV: a text that begins like a formula has an apostrophe before it; Parquet has it as it is.",
    ]);
  });
});

describe("results and logs of other harnesses", () => {
  const jsonIn = async (sub: string) => {
    const names = (await readdir(join(folder, sub), { recursive: true })).filter((name) => name.endsWith(".json"));
    return Promise.all(names.map(async (name) => JSON.parse(await readFile(join(folder, sub, name), "utf8"))));
  };

  test("lm-eval: each accuracy is that of its samples, and of the run's own scores", async () => {
    await to(["lm-eval"]);
    const scores = await files.read<Scores>("08-scores.json");
    const folders = await readdir(join(folder, "lm-eval"));
    expect(folders).toHaveLength(run.plan.predictions.length);
    for (const name of folders) {
      const own = join(folder, "lm-eval", name);
      const there = await readdir(own);
      const results = JSON.parse(
        await readFile(join(own, there.find((one) => one.startsWith("results_")) as string), "utf8"),
      );
      for (const [task, config] of Object.entries<{ metadata: Record<string, string>; dataset_name: string }>(
        results.configs,
      )) {
        const sampleFile = there.find((one) => one.startsWith(`samples_${task}_`)) as string;
        const samples = (await readFile(join(own, sampleFile), "utf8"))
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { acc?: number; arguments: { gen_args_0: { arg_0: string } } });
        const counted = samples.flatMap(({ acc }) => (acc === undefined ? [] : [acc]));
        const mean = counted.reduce((sum, one) => sum + one, 0) / counted.length;
        expect(results.results[task]["acc,none"]).toBeCloseTo(mean, 12);
        // The harness's own: standard deviation of the sample over the root of its size.
        const variance = counted.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (counted.length - 1);
        const stderr = results.results[task]["acc_stderr,none"];
        // Where no string differs the harness says 0, which would be a certainty that n strings do not give.
        if (variance === 0) expect(stderr).toBe("N/A");
        else expect(stderr).toBeCloseTo(Math.sqrt(variance / counted.length), 12);
        const { predictor, target, property, variant } = config.metadata;
        const cell = scores.cells.find(
          (one) =>
            one.predictor === predictor &&
            one.target === target &&
            one.property === property &&
            one.variant === variant,
        );
        expect(cell?.accuracy).toMatchObject({ value: results.results[task]["acc,none"], n: counted.length });
        expect(results["n-samples"][task]).toEqual({ original: samples.length, effective: counted.length });
        expect(JSON.parse(samples[0]?.arguments.gen_args_0.arg_0 as string).at(-1).role).toBe("user");
      }
    }
  });

  test("inspect: an answer for each line, a trial for each row, what is not counted without a score", async () => {
    await to(["inspect"]);
    const logs = await jsonIn("inspect");
    const trials = await files.lines<TrialRow>("08-trials.jsonl");
    const samplesOf = (kind: string) =>
      logs.filter((log) => log.eval.metadata.kind === kind).flatMap((log) => log.samples as InspectSample[]);
    const counts = (
      await Promise.all(["02-object-level", "06-object-level-adapted"].map((name) => files.lines(`${name}.jsonl`)))
    ).flat().length;
    expect(samplesOf("answers")).toHaveLength(counts);
    expect(samplesOf("predictions")).toHaveLength(trials.length);
    const right = samplesOf("predictions").filter(({ scores }) => scores.prediction?.value === "C");
    expect(right).toHaveLength(trials.filter(({ outcome }) => outcome === "right").length);
    expect(samplesOf("predictions").filter(({ scores }) => !scores.prediction)).toHaveLength(
      trials.filter(({ outcome }) => outcome === "excluded").length,
    );
    for (const { input, messages, output } of [...samplesOf("answers"), ...samplesOf("predictions")]) {
      expect(input.at(-1)?.role).toBe("user");
      expect(messages).toEqual([...input, expect.objectContaining({ role: "assistant", content: output.completion })]);
    }
  });
});

interface InspectSample {
  readonly input: readonly { readonly role: string }[];
  readonly messages: readonly object[];
  readonly output: { readonly completion: string };
  readonly scores: Readonly<Record<string, { readonly value: string }>>;
}

describe("the folder", () => {
  test("says which run it is of, and goes on with what an earlier export left", async () => {
    const index = JSON.parse(await readFile(join(folder, "export.json"), "utf8"));
    expect(index).toMatchObject({ exportVersion: 1, study: "export" });
    const there = (await readdir(folder, { recursive: true })).filter((path) => /\.\w+$/.test(path));
    expect(index.files.map(({ path }: { path: string }) => path).sort()).toEqual(
      there.filter((path) => path !== "export.json").sort(),
    );
  });

  const refused = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });

  test("a run folder, one with other files, and one of another run are refused, and stay as they are", async () => {
    await expect(to(["csv"], run.path)).rejects.toEqual(refused("EXPORT_FOLDER", /is a run folder/));
    const other = await mkdtemp(join(tmpdir(), "inward-export-other-"));
    await writeFile(join(other, "mine.txt"), "mine");
    await expect(to(["csv"], other)).rejects.toEqual(refused("EXPORT_FOLDER", /mine\.txt/));
    await writeFile(join(other, "export.json"), "{}");
    await expect(to(["csv"], other)).rejects.toEqual(refused("EXPORT_FOLDER", /no export made/));
    await writeFile(join(other, "export.json"), '{"exportVersion":1,"planHash":"00","files":[],"notes":[]}');
    await expect(to(["csv"], other)).rejects.toEqual(refused("EXPORT_FOLDER", /another run/));
    expect(await readdir(other)).toEqual(["export.json", "mine.txt"]);
    await writeFile(join(other, "file"), "");
    await expect(to(["csv"], join(other, "file"))).rejects.toEqual(refused("EXPORT_FOLDER", /ENOTDIR/));
  });
});

test("a run is read, compared and exported where it may not be written: another holds its lock, and no byte changes", async () => {
  const copy = join(await mkdtemp(join(tmpdir(), "inward-copied-")), "run");
  await cp(run.path, copy, { recursive: true });
  const lock = await takeRunLock(copy);
  const bytes = async () =>
    Promise.all(
      (await readdir(copy)).map(async (name) => {
        const { ino, size, mtimeNs, ctimeNs } = await stat(join(copy, name), { bigint: true });
        return [name, ino, size, mtimeNs, ctimeNs];
      }),
    );
  const before = await bytes();
  const listed = await printed(trialsCommand(), copy, "--csv");
  expect(csvRows(listed)).toHaveLength((await files.lines("08-trials.jsonl")).length);
  expect((await compareRuns(run.path, copy)).pairs.every(({ trials }) => trials.firstOnly === 0)).toBe(true);
  const exported = await exportRun(copy, { to: ["csv"], out: join(copy, "..", "out") });
  expect(exported.files.length).toBeGreaterThan(2);
  expect(await bytes()).toEqual(before);
  await lock.release();
});

test("an export that was ended before its end is gone on with", async () => {
  const out = join(await mkdtemp(join(tmpdir(), "inward-export-")), "out");
  // No file can be written where a folder stands.
  await mkdir(join(out, "answers.csv"), { recursive: true });
  await writeFile(join(out, "export.json"), await readFile(join(folder, "export.json")));
  await expect(to(["csv"], out)).rejects.toMatchObject({ code: "STORE_UNWRITABLE" });
  expect(JSON.parse(await readFile(join(out, "export.json"), "utf8")).files).not.toContainEqual(
    expect.objectContaining({ path: "answers.csv" }),
  );
  await rmdir(join(out, "answers.csv"));
  const { files: written } = await to(["csv"], out);
  expect((await readdir(out)).sort()).toEqual([...written.map(({ path }) => path), "export.json"].sort());
});
