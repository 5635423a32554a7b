/** A run folder that somebody edited, moved or linked: refused with the file's name, and nothing outside is written. */
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { powerCommand } from "../../src/cli/power.js";
import { InwardError } from "../../src/errors.js";
import { RUN_FILES, RunFolder } from "../../src/run/folder.js";
import { report, score } from "../../src/run/run-study.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { printed } from "../helpers/printed.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { runScripted } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: edited
models: { m: { source: some-model }, n: { source: some-model } }
predictions: [{ predictor: m, target: m }, { predictor: n, target: m }]
tasks: [{ task: animals_long, trainStrings: 10, heldOutStrings: 6, properties: [first_word] }]
engine: { groupQuestions: 4 }
calibration: { samples: 4, strings: 2 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`;
const file: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let plan: Plan;
let finished: string;
let folder: string;
/** How often a model was asked anything since the folder was copied. */
let asked = 0;

async function run(path: string, most = Number.POSITIVE_INFINITY): Promise<void> {
  const wording = plan.wordings.properties.first_word as string;
  const opened = await RunFolder.create(path, plan);
  try {
    await runScripted(opened, async (state) => ({
      ...scriptedModel((text) => {
        if (asked++ >= most) throw new InwardError("MACHINE_LIMIT", "enough");
        return state === "n" && text.includes(wording) ? "bear" : text.length % 2 === 0 ? "bear" : "lion";
      }),
      check: async (requests) => requests.map(() => 1),
      manifest: MANIFEST,
    }));
  } finally {
    await opened.close();
  }
}

beforeAll(async () => {
  plan = await makePlan(settledStudy(STUDY), { m: file, n: file }, ".");
  finished = join(await mkdtemp(join(tmpdir(), "inward-edited-")), "run");
  await run(finished);
});
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "inward-edited-")), "run");
  await cp(finished, folder, { recursive: true });
  asked = 0;
});

const COMMANDS = { run, score, report, power: (path: string) => printed(powerCommand(), path, "--difference", "5") };
type Command = keyof typeof COMMANDS;
const at = (name: keyof typeof RUN_FILES) => join(folder, RUN_FILES[name]);
const refusal = (code: string, message: string | RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

/** Another letter in the last reply, value or number: JSON of the same shape. */
async function edit(name: keyof typeof RUN_FILES): Promise<void> {
  const text = await readFile(at(name), "utf8");
  const edited = text.includes("bear")
    ? text.replace(/bear(?!.*bear)/s, "lynx")
    : text.replace(/\d(?!.*\d)/s, (digit) => String((Number(digit) + 1) % 10));
  expect(edited).not.toBe(text);
  await writeFile(at(name), edited);
}

describe("a file that was edited after its stage", () => {
  test.each<[keyof typeof RUN_FILES, Command[]]>([
    ["objectLevel", ["run", "score", "report"]],
    ["hypothetical", ["run", "score", "report", "power"]],
    ["distributions", ["run", "score"]],
    ["noiseFloor", ["run", "score", "report"]],
    ["behaviors", ["run", "report", "power"]],
    ["inputOnly", ["run", "report"]],
    ["scores", ["run", "report"]],
    ["comparisons", ["run", "report"]],
    ["calibration", ["run", "report"]],
  ])("%s: %j refuse it and name it", async (name, commands) => {
    await edit(name);
    const before = await readFile(at(name));
    for (const command of commands) {
      const done = COMMANDS[command](folder);
      await expect(done, command).rejects.toThrow(refusal("STORE_CORRUPT", `${RUN_FILES[name]} was changed after`));
      await expect(done, command).rejects.toMatchObject({ hint: expect.stringContaining("npx inward run") });
    }
    expect((await readFile(at(name))).equals(before)).toBe(true);
    expect(asked).toBe(0);
  });

  test("01-plan.json: score and report see it by what was made from it", async () => {
    const edited = { ...plan, score: { ...plan.score, confidence: 0.8 } };
    await writeFile(at("plan"), JSON.stringify(edited));
    for (const command of ["score", "report"] as const) {
      await expect(COMMANDS[command](folder), command).rejects.toThrow(
        refusal("STORE_CORRUPT", /01-plan\.json was changed after .*02-object-level\.jsonl was made from it/),
      );
    }
    await expect(run(folder)).rejects.toMatchObject({ code: "STORE_OTHER_PLAN" });
  });

  test("moved away, and ended while its stage made it again: it goes on", async () => {
    await rm(at("objectLevel"));
    await expect(run(folder, 6)).rejects.toThrow("enough");
    expect((await readFile(at("objectLevel"), "utf8")).split("\n").length).toBe(5);
    await expect(score(folder)).rejects.toEqual(refusal("STORE_INCOMPLETE", "02-object-level.jsonl is not finished"));
    asked = 0;
    await run(folder);
    expect(await readFile(at("objectLevel"))).toEqual(await readFile(join(finished, RUN_FILES.objectLevel)));
  });

  test("moved away, its stage makes it again with the same bytes", async () => {
    await edit("hypothetical");
    await rename(at("hypothetical"), join(folder, "mine.jsonl"));
    await run(folder);
    for (const name of ["hypothetical", "scores", "report"] as const) {
      const [again, before] = await Promise.all(
        [at(name), join(finished, RUN_FILES[name])].map((one) => readFile(one)),
      );
      expect(again?.equals(before as Buffer), name).toBe(true);
    }
  });
});

describe("stages.json", () => {
  test.each([
    ["lost", undefined],
    ["cut off", '{"objectLevel": {'],
    ["a list", "[]"],
    ["of numbers", '{"objectLevel": 5}'],
    ["with half a mark", '{"objectLevel": {"inputs": "00"}}'],
  ])("%s: a run finds everything done; score and report say that nothing can be checked", async (_, content) => {
    if (content === undefined) await rm(at("stages"));
    else await writeFile(at("stages"), content);
    for (const command of ["score", "report", "power"] as const) {
      await expect(COMMANDS[command](folder), command).rejects.toThrow(
        refusal("STORE_INCOMPLETE", /stages\.json, which says whether .* is missing or spoilt: nothing was checked/),
      );
    }
    const noise = asked;
    await run(folder);
    // The noise floor is a measurement of its own; no answer is asked again.
    expect(asked - noise).toBeLessThanOrEqual(2 * 2 * 2);
    expect((await readFile(at("scores"))).equals(await readFile(join(finished, RUN_FILES.scores)))).toBe(true);
    await score(folder);
  });
});

const FILES = Object.keys(RUN_FILES).filter((name) => name !== "figures") as (keyof typeof RUN_FILES)[];

describe("a symbolic link in the place of a file", () => {
  test.each(
    FILES.filter(
      (name) =>
        !/readapted|adapted|challenged|judge|matrix|probe|lens|patches|simulation|inside|injection|shifts|logprob/i.test(
          name,
        ),
    ),
  )("%s: is followed by nobody, and what it names stays as it is", async (name) => {
    const outside = join(folder, "..", "outside");
    await rename(at(name), outside);
    const before = await readFile(outside);
    await symlink(outside, at(name));
    for (const command of ["run", "score", "report", "power"] as const) {
      await expect(COMMANDS[command](folder), command).rejects.toThrow(
        refusal("STORE_CORRUPT", `${RUN_FILES[name]} is a symbolic link`),
      );
    }
    expect((await readFile(outside)).equals(before)).toBe(true);
  });

  test.each([
    ["05-adapters", "is a link, not a folder"],
    ["07-states", "is a link, not a folder"],
    ["figures", "is a link, not a folder"],
  ])("a folder, %s, likewise", async (name, message) => {
    const outside = join(folder, "..", "outside");
    await mkdir(outside);
    await rm(join(folder, name), { recursive: true, force: true });
    await symlink(outside, join(folder, name));
    await expect(run(folder)).rejects.toThrow(refusal("STORE_CORRUPT", `${name} ${message}`));
    await expect(report(folder)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
    expect(await readdir(outside)).toEqual([]);
  });

  test("and among the adapters", async () => {
    await mkdir(join(folder, "05-adapters"), { recursive: true });
    await symlink("/dev/zero", join(folder, "05-adapters", "m.gguf"));
    await expect(run(folder)).rejects.toThrow(refusal("STORE_CORRUPT", "m.gguf is a symbolic link"));
  });
});

test.each(FILES)("a folder named like %s is refused", async (name) => {
  await rm(at(name), { force: true });
  await mkdir(at(name));
  for (const command of ["run", "score"] as const) {
    await expect(COMMANDS[command](folder), command).rejects.toThrow(
      refusal("STORE_CORRUPT", `${RUN_FILES[name]} is a folder`),
    );
  }
});

test.each(["objectLevel", "hypothetical", "distributions"] as const)(
  "%s with lines of another shape is refused with the line and the field, though no mark tells",
  async (name) => {
    await rm(at("stages"));
    const [first, ...others] = (await readFile(at(name), "utf8")).trimEnd().split("\n");
    const { key, state } = JSON.parse(first as string);
    for (const [line, why] of [
      [{ key, state }, "task|side"],
      [{ ...JSON.parse(first as string), reply: "yes", distribution: "yes" }, "reply|distribution"],
      [[], "must be a mapping"],
    ] as const) {
      await writeFile(at(name), [JSON.stringify(line), ...others, ""].join("\n"));
      await expect(run(folder)).rejects.toThrow(
        refusal("STORE_CORRUPT", new RegExp(`line 1 is not what inward writes there: .*(${why})`)),
      );
    }
  },
);

test.each([
  ["scores", { noiseFloorNats: null }, "noiseFloorNats"],
  ["scores", { intervalMethod: 3 }, "intervalMethod"],
  ["inputOnly", "__proto__", "a key __proto__"],
  ["manifest", "__proto__", "a key __proto__"],
] as const)("%s of another shape, with a mark that agrees, is refused by its field: %j", async (name, change, why) => {
  const content = JSON.parse(await readFile(at(name), "utf8"));
  const text = change === "__proto__" ? '{"__proto__":1}' : JSON.stringify({ ...content, ...change });
  await writeFile(at(name), text);
  const marks = JSON.parse(await readFile(at("stages"), "utf8"));
  marks[name].sha256 = createHash("sha256").update(text).digest("hex");
  await writeFile(at("stages"), JSON.stringify(marks));
  await expect(report(folder)).rejects.toThrow(refusal("STORE_CORRUPT", why));
});

const RUNS = Number(process.env.INWARD_FUZZ_RUNS ?? 20);

test(
  "whatever is done to one file: a coded refusal, or the scores of the run (seeded)",
  async () => {
    const spoilt = fc.oneof(
      fc.constantFrom("", "{}", "[]", "null", "7", '{"a":1}\n', "[[[[", "\ufeff{}", "{}\n{}\n", "\0"),
      fc.json({ maxDepth: 2 }),
    );
    const change = fc.oneof(
      fc.record({ kind: fc.constant("content" as const), content: spoilt }),
      fc.record({ kind: fc.constant("cut" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ kind: fc.constant("byte" as const), share: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
      fc.record({ kind: fc.constantFrom("gone" as const, "link" as const, "folder" as const) }),
    );
    const scores = await readFile(join(finished, RUN_FILES.scores));
    const input = [fc.constantFrom(...FILES), change, fc.constantFrom("run", "score", "report", "power")] as const;
    await fc.assert(
      fc.asyncProperty(...input, async (name, how, command) => {
        const copy = join(await mkdtemp(join(tmpdir(), "inward-fuzzed-")), "run");
        await cp(finished, copy, { recursive: true });
        const path = join(copy, RUN_FILES[name]);
        const bytes = await readFile(path).catch(() => Buffer.from("{}\n"));
        await rm(path, { force: true });
        if (how.kind === "content") await writeFile(path, how.content);
        if (how.kind === "cut") await writeFile(path, bytes.subarray(0, Math.floor(how.share * bytes.length)));
        if (how.kind === "byte") {
          const place = Math.floor(how.share * bytes.length);
          bytes[place] = (bytes[place] as number) ^ 1;
          await writeFile(path, bytes);
        }
        if (how.kind === "link") await symlink(join(copy, "..", "elsewhere"), path);
        if (how.kind === "folder") await mkdir(path);
        try {
          await COMMANDS[command as Command](copy);
          if (name !== "scores" || command !== "power") {
            expect((await readFile(join(copy, RUN_FILES.scores))).equals(scores)).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof InwardError)) throw error;
          expect(error.code).toMatch(/^STORE_/);
        } finally {
          await rm(join(copy, ".."), { recursive: true, force: true });
        }
      }),
      { seed: 11, numRuns: RUNS },
    );
  },
  RUNS * 3000,
);
