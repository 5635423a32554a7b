/** A finished run's folder, changed at random: score, report and the run itself refuse it with a code, or end with the same bytes. */
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { canonicalJson } from "../../src/base/files.js";
import { RunFolder } from "../../src/run/folder.js";
import { report, score } from "../../src/run/run-study.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { Plan } from "../../src/study/plan.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { runScripted } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

const STUDY = `
study: fuzzed
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 8, heldOutStrings: 10, properties: [first_word, second_character] }]
engine: { groupQuestions: 20 }
noiseFloor: { questions: 10 }
score: { bootstrapReplicates: 100 }
`;
const FILE = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let folder: string;
let plan: Plan;
let whole: string;
let foreign: string;
let names: readonly string[];
let before: ReadonlyMap<string, string>;
const open = async () => ({
  ...scriptedModel((text) => (text.includes("second character") ? "e" : text.length % 3 === 0 ? "bear" : "lion")),
  manifest: MANIFEST,
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-run-"));
  whole = join(folder, "whole");
  foreign = join(folder, "foreign.txt");
  await writeFile(foreign, "somebody's own");
  plan = await makePlan(settledStudy(STUDY), { m: FILE }, ".");
  const run = await RunFolder.create(whole, plan);
  await runScripted(run, open);
  await run.close();
  before = await filesOf(whole);
  names = [...before.keys()];
});

async function filesOf(run: string): Promise<Map<string, string>> {
  const entries = await readdir(run, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(files.map(async (path) => [path.slice(run.length + 1), await readFile(path, "utf8")] as const)),
  );
}

/**
 * What each command makes, or takes for made: its bytes must be those of the run that nobody touched. Figures are copies for people,
 * which nothing reads; report makes them again.
 */
const MAKES: Readonly<Record<string, RegExp>> = {
  score: /^(03|06-b|07-input|08)/,
  report: /^(09|figures)/,
  resume: /^(?!events|figures)/,
};

async function change(run: string, name: string, dice: Dice): Promise<string> {
  const path = join(run, name);
  const text = before.get(name) as string;
  const kind = dice.below(14);
  switch (kind) {
    case 0:
      await rm(path);
      return `${name} removed`;
    case 1:
      await truncate(path, dice.below(text.length));
      return `${name} cut`;
    case 2:
      await rm(path);
      await mkdir(path);
      return `${name} a folder`;
    case 3: {
      const link = dice.of([foreign, "/dev/zero", "/nowhere", join(whole, name)]);
      await rm(path);
      await symlink(link, path);
      return `${name} a link to ${link}`;
    }
    case 4:
      await rm(path);
      execFileSync("mkfifo", [path]);
      return `${name} a pipe`;
    case 5: {
      const other = dice.of(names);
      await writeFile(path, before.get(other) as string);
      return `${name} with the content of ${other}`;
    }
    case 6:
      await rename(path, `${path}.bak`);
      await rename(`${path}.bak`, join(run, dice.of(names)));
      return `${name} under another name`;
    case 7:
      await writeFile(path, changeBytes(Buffer.from(text), dice));
      return `${name} with other bytes`;
    case 8:
      await writeFile(path, changeText(text, dice));
      return `${name} with other text`;
    case 9:
    case 10: {
      // As valid as before, and as likely: no schema sees it.
      const digits = [...text.matchAll(/[0-9]/g)].map(({ index }) => index);
      if (digits.length === 0) return `${name} as it is`;
      const at = dice.of(digits);
      const digit = (Number(text[at]) + 1 + dice.below(9)) % 10;
      await writeFile(path, `${text.slice(0, at)}${digit}${text.slice(at + 1)}`);
      return `${name} with the digit at ${at} as ${digit}`;
    }
    default: {
      const changed = changedJson(name, text, dice);
      await writeFile(path, changed ?? changeText(text, dice));
      return `${name} with another structure: ${changed?.slice(0, 300)}`;
    }
  }
}

function changedJson(name: string, text: string, dice: Dice): string | undefined {
  if (name.endsWith(".json")) return `${JSON.stringify(changeStructure(JSON.parse(text), dice), null, 2)}\n`;
  if (!name.endsWith(".jsonl")) return undefined;
  const lines = text.split("\n");
  const at = dice.below(lines.length - 1);
  lines[at] = JSON.stringify(changeStructure(JSON.parse(lines[at] as string), dice));
  return lines.join("\n");
}

const COMMANDS: Readonly<Record<string, (run: string) => Promise<unknown>>> = {
  score,
  report,
  resume: async (path) => {
    const run = await RunFolder.create(path, plan);
    try {
      await runScripted(run, open);
    } finally {
      await run.close();
    }
  },
};

test("a run's folder", async () => {
  const { accepted, refused } = await fuzz(
    "run",
    (dice, at) => {
      const path = join(folder, `run-${at}`);
      const input = { path, command: dice.of(["score", "score", "resume", "resume", "report"]), what: "" };
      const result = async () => {
        await cp(whole, path, { recursive: true });
        input.what = await change(path, dice.of(names), dice);
        const late = new Promise((_, reject) => setTimeout(() => reject(new Error("it does not end")), 10_000).unref());
        await Promise.race([COMMANDS[input.command]?.(path), late]);
        return input;
      };
      return { input: () => `${input.command}: ${input.what}`, result: result() };
    },
    async ({ path, command, what }) => {
      const after = await filesOf(path);
      const said = (name: string, text = "null") => (name === "stages.json" ? canonicalJson(JSON.parse(text)) : text);
      const differing = names.filter(
        (name) => MAKES[command]?.test(name) && said(name, after.get(name)) !== said(name, before.get(name)),
      );
      expect(differing, `${command}: ${what}`).toEqual([]);
      await rm(path, { recursive: true });
    },
  );
  expect(await readFile(foreign, "utf8")).toBe("somebody's own");
  expect(await filesOf(whole)).toEqual(before);
  expect(Math.min(accepted, refused)).toBeGreaterThan(0);
});
