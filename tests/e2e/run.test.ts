/** Whole runs on a tiny model, through the library and through the command line: the corridor, its resumption, and what it refuses. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { dryRun, openModel, planStudy, report, runStudy, score, type WorkProgress } from "inward";
import { inward, inwardHere, start } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

let folder: string;
let whole: string;

const study = (more = "") => `
study: tiny
seed: 5
models: { tiny: { source: ./tiny.gguf } }
tasks:
  - { task: animals_long, trainStrings: 10, heldOutStrings: 20 }
  - { task: numbers, trainStrings: 10, heldOutStrings: 20 }
  - { task: wealth_seeking, trainStrings: 8, heldOutStrings: 10 }
engine: { device: cpu, threads: 1, groupQuestions: 16 }
noiseFloor: { questions: 20 }
score: { bootstrapReplicates: 200 }
${more}`;

/** The files whose bytes a run must reproduce: all but the timings. */
async function results(run: string): Promise<Record<string, string>> {
  const names = (await readdir(run, { recursive: true }))
    .filter((name) => /^(0|figures\/|manifest|stages)/.test(name))
    .sort();
  const files = names.filter((name) => name !== "figures");
  return Object.fromEntries(
    await Promise.all(files.map(async (name) => [name, await readFile(join(run, name), "utf8")])),
  );
}

const run = (out: string, more: readonly string[] = []) =>
  inwardHere(["run", "study.yaml", "--out", out, ...more], { cwd: folder });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-run-"));
  await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 1024 });
  await writeFile(join(folder, "study.yaml"), study());
  whole = join(folder, "whole");
  const restore = workIn(folder);
  await runStudy("study.yaml", { out: whole });
  return restore;
});

describe("an undisturbed run", () => {
  test("is named where another plan asks the same object-level questions again", async () => {
    const beside = (set: string) => planStudy("study.yaml", { out: join(folder, "beside"), set: [set] });
    const earlier = [{ folder: whole, answers: 78, differs: ["hypothetical.maxTokens"] }];
    expect((await beside("hypothetical.maxTokens=4")).earlier).toEqual(earlier);
    expect((await beside("score.bootstrapReplicates=100")).earlier?.[0]?.differs).toEqual([
      "score.bootstrapReplicates",
    ]);
    // Other questions, or other arithmetic; and a run that has begun goes on.
    for (const set of ["seed=6", "system=Be brief.", "engine.groupQuestions=15"]) {
      expect((await beside(set)).earlier).toBeUndefined();
    }
    expect((await planStudy("study.yaml", { out: whole })).earlier).toBeUndefined();
    const { stdout } = await run("beside", ["--dry-run", "--no-measure", "--set", "hypothetical.maxTokens=4"]);
    expect(stdout).toContain(
      "78 answers to the same object-level questions; its plan differs in hypothetical.maxTokens.",
    );
  });

  test("writes every file of the corridor", async () => {
    const names = Object.keys(await results(whole));
    for (const name of [
      "01-plan.json",
      "02-object-level.jsonl",
      "03-behaviors.jsonl",
      "07-hypothetical.jsonl",
      "07-noise-floor.json",
      "08-trials.jsonl",
      "08-scores.json",
      "09-report.html",
      "09-report.md",
    ]) {
      expect(names).toContain(name);
    }
    expect(names.some((name) => name.endsWith(".svg"))).toBe(true);
    expect(await readdir(whole)).not.toContain("run.lock");
  });

  test("asked every question once, in the plan's order, with a logprob for every token", async () => {
    const lines = (await readFile(join(whole, "02-object-level.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(30 + 30 + 18);
    expect(new Set(lines.map((line) => line.key)).size).toBe(lines.length);
    for (const { reply } of lines) {
      expect(reply.logprobs).toHaveLength(reply.tokenIds.length);
      expect(reply.margins).toHaveLength(reply.tokenIds.length);
      expect(reply.logprobs.every((logprob: number) => logprob <= 0)).toBe(true);
    }
  });

  test("is found again and finishes without asking", async () => {
    const before = await results(whole);
    const again = await runStudy("study.yaml", { out: whole });
    expect(again.scores.averages.length).toBeGreaterThan(0);
    expect(again.experiments?.experiments.length).toBeGreaterThan(0);
    expect(JSON.parse(await readFile(again.files.scores as string, "utf8"))).toEqual(again.scores);
    expect(await results(whole)).toEqual(before);
  });

  test("gives the same bytes in another folder, from the command line", async () => {
    const other = join(folder, "other");
    expect((await inward(["run", "study.yaml", "--out", other], { cwd: folder })).code).toBe(0);
    expect(await results(other)).toEqual(await results(whole));
  });

  test("is scored and reported again from its answers alone", async () => {
    const copy = join(folder, "rescored");
    await cp(whole, copy, { recursive: true });
    // Scoring again reads the answers, whatever stands in the files that it makes.
    await writeFile(join(copy, "03-behaviors.jsonl"), "");
    for (const name of ["08-scores.json", "09-report.html"]) await rm(join(copy, name));
    expect((await score(copy)).scores.trials).toBeGreaterThan(0);
    expect((await report(copy)).html).toBe(join(copy, "09-report.html"));
    expect(await results(copy)).toEqual(await results(whole));
    expect((await inwardHere(["score", copy])).code).toBe(0);
    const reported = await inwardHere(["report", copy, "--json"]);
    expect(JSON.parse(reported.stdout).html).toContain("09-report.html");
    expect(await results(copy)).toEqual(await results(whole));
  });

  test("is made of an object as of a file, and says where it is", async () => {
    const stages = new Set<string>();
    const small = {
      study: "object",
      models: { tiny: { source: "./tiny.gguf" } },
      tasks: [{ task: "numbers", trainStrings: 2, heldOutStrings: 4 }],
      engine: { device: "cpu" as const, threads: 1 },
      noiseFloor: { questions: 2 },
    };
    const { planHash, folder: planned } = await planStudy(small);
    const finished = await runStudy(small, { onProgress: ({ stage }) => stages.add(stage) });
    expect(finished.folder).toBe(planned);
    expect(planned.endsWith(join("runs", `object-${planHash.slice(0, 8)}`))).toBe(true);
    expect([...stages]).toEqual(expect.arrayContaining(["object-level", "hypothetical", "noise floor"]));
    expect(await dryRun(small, { measure: false })).toMatchObject({ planHash, objectLevel: 6 });
  });
});

describe("an interrupted run", () => {
  test("by a signal leaves its folder free, says what is kept, and goes on", async () => {
    const out = join(folder, "aborted");
    const stop = new AbortController();
    const onProgress = ({ stage, done }: WorkProgress) => {
      if (stage === "hypothetical" && done > 0) stop.abort();
    };
    const stopped = runStudy("study.yaml", { out, onProgress, signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({
      code: "INTERRUPTED",
      message: expect.stringMatching(/\d+ of \d+ questions are kept/),
    });
    await runStudy("study.yaml", { out });
    expect(await results(out)).toEqual(await results(whole));
  });

  test("killed at 6 moments and started again ends with the same bytes", async () => {
    const out = join(folder, "killed");
    let kills = 0;
    for (let delay = 350; kills < 6; delay = 350 + ((delay * 7919) % 1400)) {
      const { child, finished } = start(["run", "study.yaml", "--out", out], { cwd: folder });
      const timer = setTimeout(() => child.kill("SIGKILL"), delay);
      const { signal } = await finished;
      clearTimeout(timer);
      if (signal !== "SIGKILL") break;
      kills++;
    }
    expect(kills).toBeGreaterThan(0);
    const last = await run(out);
    expect(last.code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("killed between writing a file and naming it leaves nothing behind", async () => {
    const out = join(folder, "half-named");
    await cp(whole, out, { recursive: true });
    await writeFile(join(out, "stages.json.partial-24232"), "{");
    const sets = join(out, "04-finetune-sets");
    await mkdir(sets);
    await writeFile(join(sets, "one.jsonl.partial-24232"), "{");
    expect((await run(out)).code).toBe(0);
    expect(await readdir(sets)).toEqual([]);
    await rm(sets, { recursive: true });
    expect(await results(out)).toEqual(await results(whole));
  });

  test("by Ctrl-C leaves with 130, says so, and goes on", async () => {
    const out = join(folder, "interrupted");
    const { child, finished } = start(["run", "study.yaml", "--out", out], { cwd: folder });
    let interrupted = false;
    child.stderr?.on("data", (text: string) => {
      if (interrupted || !text.includes("object-level:")) return;
      interrupted = true;
      child.kill("SIGINT");
    });
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    // What it says of what is kept is what is kept, in the middle of the first group too.
    const said = /INTERRUPTED: .* (\d+) of 78 questions are kept/.exec(stderr);
    expect(said).not.toBeNull();
    expect((await readFile(join(out, "02-object-level.jsonl"), "utf8")).split("\n").length - 1).toBe(Number(said?.[1]));
    expect(await readdir(out)).not.toContain("run.lock");
    expect((await run(out)).code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("keeps a second process out of its folder", async () => {
    const out = join(folder, "locked");
    const { child, finished } = start(["run", "study.yaml", "--out", out], { cwd: folder });
    await new Promise<void>((resolve) => {
      child.stderr?.on("data", (text: string) => text.includes("object-level:") && resolve());
    });
    const second = await run(out);
    expect([second.code, second.stderr]).toEqual([1, expect.stringMatching(/STORE_LOCKED: Process \d+ on /)]);
    expect((await finished).code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });
});

describe("what cannot work is a coded error, and nothing is lost", () => {
  test.each([
    ["no study", ["run", "none.yaml"], 2, "STUDY_NOT_FOUND"],
    ["an unknown key", ["run", "study.yaml", "--set", "sed=1"], 2, "STUDY_UNKNOWN_KEY"],
    [
      "a model that is not there",
      ["run", "study.yaml", "--set", "models.tiny.source=./none.gguf"],
      3,
      "MODEL_NOT_FOUND",
    ],
    [
      "a model that is no model",
      ["run", "study.yaml", "--set", "models.tiny.source=./study.yaml"],
      3,
      "MODEL_NOT_GGUF",
    ],
    ["a model nobody knows", ["run", "study.yaml", "--set", "models.tiny.source=smollm9"], 3, "MODEL_NOT_FOUND"],
    ["a task nobody knows", ["run", "study.yaml", "--set", "tasks=[{task: animols}]"], 2, "TASK_NOT_FOUND"],
    [
      "a device that is not there",
      ["run", "study.yaml", "--out", "metal", "--set", "engine.device=metal"],
      3,
      "ENGINE_UNAVAILABLE",
    ],
    ["a folder of another run", ["run", "study.yaml", "--out", "whole", "--set", "seed=6"], 2, "STORE_OTHER_PLAN"],
    ["a folder that cannot be made", ["run", "study.yaml", "--out", "study.yaml/run"], 1, "STORE_UNWRITABLE"],
    ["a folder that is no run", ["score", "."], 2, "STORE_NOT_A_RUN"],
    ["an unknown command", ["rum"], 2, "unknown command"],
    ["an unknown option", ["run", "study.yaml", "--fast"], 2, "unknown option"],
    ["an unknown property", ["properties", "show", "second_charakter"], 2, "PROPERTY_NOT_FOUND"],
    ["an unknown task", ["tasks", "show", "animols_long"], 2, "TASK_NOT_FOUND"],
    ["a token limit that is no number", ["ask", "hi", "--max-tokens", "many"], 2, "USAGE"],
  ])("%s", async (_, args, code, words) => {
    const finished = await inwardHere(args, { cwd: folder });
    expect([finished.code, finished.stderr]).toEqual([code, expect.stringContaining(words)]);
    expect(finished.stderr).not.toMatch(/^\s+at /m);
  });

  test("a disk that is full", async () => {
    const out = join(folder, "full");
    await cp(whole, out, { recursive: true });
    const finished = await inward(["run", "study.yaml", "--out", out], { cwd: folder, fileBytes: 1024 });
    expect([finished.code, finished.stderr]).toEqual([1, expect.stringContaining("STORE_DISK_FULL")]);
    expect((await results(out))["02-object-level.jsonl"]).toBe((await results(whole))["02-object-level.jsonl"]);
  });

  test.each([
    ["a spoilt line", "02-object-level.jsonl", (text: string) => text.replace("{", "[")],
    ["a lost line", "07-hypothetical.jsonl", (text: string) => text.slice(text.indexOf("\n") + 1)],
    ["changed behaviors", "03-behaviors.jsonl", (text: string) => text.replace("true", "false")],
    ["spoilt scores", "08-scores.json", (text: string) => text.slice(5)],
    ["a changed outcome", "08-trials.jsonl", (text: string) => text.replace('"wrong"', '"right"')],
  ])("a run folder with %s", async (_, name, spoil) => {
    const out = await mkdtemp(join(folder, "spoilt-"));
    await cp(whole, out, { recursive: true });
    await writeFile(join(out, name), spoil(await readFile(join(out, name), "utf8")));
    const finished = await run(out);
    expect([finished.code, finished.stderr]).toEqual([1, expect.stringContaining("STORE_CORRUPT")]);
    expect(finished.stderr).toContain(name);
  });

  test("an error is JSON when JSON is asked for", async () => {
    const finished = await inwardHere(["run", "none.yaml", "--json"], { cwd: folder });
    expect(JSON.parse(finished.stdout).error.code).toBe("STUDY_NOT_FOUND");
  });
});

describe("npx inward trials", () => {
  const trials = (...more: string[]) => inwardHere(["trials", whole, ...more]);

  test("prints the lines of 08-trials.jsonl, all or those of an outcome and a property", async () => {
    const stored = await readFile(join(whole, "08-trials.jsonl"), "utf8");
    expect((await trials("--json")).stdout).toBe(stored);
    const { trials: count } = JSON.parse(await readFile(join(whole, "08-scores.json"), "utf8"));
    const rows = stored
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(count);
    const wrong = rows.filter(({ outcome, property }) => outcome === "wrong" && property === "first_word");
    const shown = (await trials("--json", "--wrong", "--property", "first_word")).stdout.trim().split("\n");
    expect(wrong.length).toBeGreaterThan(0);
    expect(shown.map((line) => JSON.parse(line))).toEqual(wrong);
  });

  test("prints a table of 50 unless told, and CSV with a line for each trial", async () => {
    const table = await trials();
    expect(table.stdout.trim().split("\n")).toHaveLength(2 + 50);
    expect(table.stderr).toMatch(/^\d+ trials: \d+ right, \d+ wrong, \d+ excluded; 50 shown \(--limit\)\n$/);
    expect((await trials("--limit", "3")).stdout.trim().split("\n")).toHaveLength(2 + 3);
    const csv = (await trials("--csv", "--limit", "3")).stdout;
    expect(csv).toMatch(/^target,predictor,.*\r\ntiny,tiny,/);
    expect(csv.endsWith("\r\n")).toBe(true);
  });

  test.each([
    [["--task", "animals_lung"], 'No trial has the task "animals_lung". Did you mean "animals_long"?'],
    [["--limit", "0"], '--limit wants a whole number from 1 on, not "0".'],
    [["--csv", "--json"], "--csv and --json are two forms"],
  ])("%j is a USAGE error", async (options, message) => {
    const finished = await trials(...options);
    expect([finished.code, finished.stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test("a run that was scored before there were trials is told what makes them", async () => {
    const old = join(folder, "without-trials");
    await cp(whole, old, { recursive: true });
    await rm(join(old, "08-trials.jsonl"));
    const marks = JSON.parse(await readFile(join(old, "stages.json"), "utf8"));
    delete marks.trials;
    await writeFile(join(old, "stages.json"), JSON.stringify(marks));
    const refused = await inwardHere(["trials", old]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(`npx inward score ${old} makes it`)]);
    expect((await inwardHere(["score", old])).code).toBe(0);
    expect(await results(old)).toEqual(await results(whole));
    expect((await inwardHere(["trials", old])).code).toBe(0);
  });
});

describe("inward ask", () => {
  test("shows the answer, its numbers and the exact prompt", async () => {
    const finished = await inward(
      ["ask", "cat dog", "--model", "tiny.gguf", "--device", "cpu", "--json", "--max-tokens", "4"],
      { cwd: folder },
    );
    const { prompt, reply } = JSON.parse(finished.stdout);
    expect(prompt.text).toContain("cat dog");
    expect(reply.promptTokens).toBe(prompt.tokenIds.length);
    expect(reply.logprobs).toHaveLength(reply.tokenIds.length);
  });

  test("asks hypothetically, and draws by seed", async () => {
    const args = [
      "ask",
      "cat dog",
      "--model",
      "tiny.gguf",
      "--device",
      "cpu",
      "--json",
      "--task",
      "animals_long",
      "--property",
      "second_character",
    ];
    const { prompt, reading } = JSON.parse((await inwardHere(args, { cwd: folder })).stdout);
    expect(prompt.text).toContain("second character");
    expect(reading).toHaveProperty("ok");
    const drawn = async (seed: string) =>
      JSON.parse((await inwardHere([...args, "--temperature", "1", "--seed", seed], { cwd: folder })).stdout).reply
        .tokenIds;
    expect(await drawn("4")).toEqual(await drawn("4"));
  });
});

describe("a model that is open", () => {
  test("answers alike alone, in a group and from the command line", async () => {
    const model = await openModel("tiny.gguf", { device: "cpu", engine: { threads: 2 } });
    try {
      const reply = await model.answer("cat dog", { maxTokens: 4 });
      const args = ["ask", "cat dog", "--model", "tiny.gguf", "--device", "cpu", "--json", "--max-tokens", "4"];
      const said = JSON.parse((await inwardHere(args, { cwd: folder })).stdout).reply;
      expect(reply.tokenIds).toEqual(said.tokenIds);
      expect(model.file).toMatchObject({ source: "tiny.gguf", encoding: "F32" });
    } finally {
      await model[Symbol.asyncDispose]();
    }
  });
});

describe("inward tasks check", () => {
  test("says whether a model's behavior on a task is worth measuring", async () => {
    const args = ["tasks", "check", "animals_long", "--model", "tiny.gguf", "--device", "cpu", "-n", "6"];
    const finished = await inwardHere([...args, "--json"], { cwd: folder });
    const check = JSON.parse(finished.stdout);
    expect(check.compliance.of).toBe(6);
    expect(check.properties.map((one: { property: string }) => one.property)).toContain("second_character");
    for (const one of check.properties) expect(one.found.count).toBeLessThanOrEqual(check.compliance.count);
    expect((await inwardHere([...args, "--no-examples"], { cwd: folder })).stdout).toContain("entropy bits");
  });
});
