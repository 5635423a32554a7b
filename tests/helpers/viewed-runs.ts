/** A folder of runs to look at: one that is whole, made of hostile texts, and everything that a folder may hold that is none. */
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chance, madeUpRun, pick } from "./made-up-run.js";

/** What a model may say, and a page must show as nothing but text. */
export const HOSTILE_TEXTS = [
  '<script>document.title="owned"</script>',
  "<img src=x onerror=\"document.title='owned'\">",
  "\u202egnirts desrever\u202c",
  "\u001b[31mred\u001b[0m \u0007",
  "\u0000nul \u200b \ufeff zero",
  "javascript:alert(1)",
  '"><svg onload=alert(1)>',
  "{{constructor.constructor('alert(1)')()}}",
  "=HYPERLINK(1)",
  "wolf",
  "lynx",
] as const;

export const SECRET = "outside-of-every-named-folder";

const STUDY = `
study: looked-at
seed: 3
models: { m: { source: m }, other: { source: o } }
tasks:
  - { task: animals_long, trainStrings: 12, heldOutStrings: 10 }
properties: [first_word, second_character]
predictions:
  - { predictor: m, target: m }
  - { predictor: other, target: m }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`;

/** @returns the folder of the run */
export async function madeRun(seed = 1, more = ""): Promise<string> {
  const { path } = await madeUpRun(`${STUDY}${more}`, {
    does: (state, item) =>
      chance(seed, state, item.id) < 0.3
        ? pick(HOSTILE_TEXTS, seed, state, item.id)
        : pick(["wolf", "lynx", "crab"], state, item.id),
    imagines: (state, item, property) => pick(["wolf", "lynx", "crab", "newt"], seed, state, item.id, property),
  });
  return path;
}

export interface ViewedRuns {
  /** Of the folder that is named. */
  readonly folder: string;
  readonly whole: string;
}

/** A run beside damaged ones, links and pipes, and a secret outside. */
export async function viewedRuns(): Promise<ViewedRuns> {
  const above = await mkdtemp(join(tmpdir(), "inward-view-"));
  const folder = join(above, "runs");
  await mkdir(folder);
  await writeFile(join(above, "secret.txt"), SECRET);
  await mkdir(join(above, "elsewhere"));
  await writeFile(join(above, "elsewhere", "01-plan.json"), JSON.stringify({ study: SECRET }));
  const whole = join(folder, "whole");
  await rename(await madeRun(), whole);
  await rename(await madeRun(2), join(folder, "second"));
  const copied = async (name: string, change: (run: string) => Promise<unknown>) => {
    const run = join(folder, name);
    await cp(whole, run, { recursive: true });
    await change(run);
  };
  const linked = (run: string, name: string) =>
    rename(join(run, name), join(run, `${name}.old`))
      .catch(() => {})
      .then(() => symlink(join(above, "secret.txt"), join(run, name)));
  await copied("linked-trials", (run) => linked(run, "08-trials.jsonl"));
  await copied("linked-answers", (run) => linked(run, "02-object-level.jsonl"));
  await copied("linked-plan", (run) => linked(run, "01-plan.json"));
  await copied("linked-report", async (run) => {
    await symlink(join(above, "secret.txt"), join(run, "09-report.html"));
    await symlink(join(above, "elsewhere"), join(run, "05-adapters"));
  });
  await copied("torn-trials", async (run) => {
    const text = await readFile(join(run, "08-trials.jsonl"), "utf8");
    const [first = "", second = "", ...rest] = text.split("\n");
    await writeFile(join(run, "08-trials.jsonl"), [first, second.slice(0, 40), "[]", ...rest].join("\n").slice(0, -30));
  });
  await copied("changed-scores", (run) => writeFile(join(run, "08-scores.json"), "{}\n"));
  await copied("other-version", async (run) => {
    const text = await readFile(join(run, "08-experiments.json"), "utf8");
    await writeFile(
      join(run, "08-experiments.json"),
      text.replace('"experimentsVersion": 3', '"experimentsVersion": 2'),
    );
  });
  await copied("no-marks", (run) => writeFile(join(run, "stages.json"), ""));
  await copied("torn-plan", async (run) => {
    const text = await readFile(join(run, "01-plan.json"), "utf8");
    await writeFile(join(run, "01-plan.json"), text.slice(0, 2000));
  });
  await copied("other-plan", (run) => writeFile(join(run, "01-plan.json"), '{"planVersion": 99}'));
  await mkdir(join(folder, "piped"));
  execFileSync("mkfifo", [join(folder, "piped", "01-plan.json")]);
  await mkdir(join(folder, "folder-plan", "01-plan.json"), { recursive: true });
  await mkdir(join(folder, '<img src=x onerror="alert(1)">'));
  await writeFile(join(folder, '<img src=x onerror="alert(1)">', "01-plan.json"), "null");
  await mkdir(join(folder, "\u202etxet"));
  await writeFile(join(folder, "\u202etxet", "01-plan.json"), "[]");
  await symlink(join(above, "elsewhere"), join(folder, "linked-run"));
  return { folder, whole };
}
