// What two processes, two users, and a file that was changed meanwhile do to a run, its units, a file of answers, the model folder and the
// answer cache: a coded error, and nothing lost. node validation/two-at-once.mjs; exit code 4 with a finding. On Linux; users and full disks
// need root, and are skipped with a line without it. validation/accidents.mjs has disks, clocks, descriptors and memory.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf, filesOf, Findings, startInward } from "./inward-processes.mjs";

const NOBODY = 65_534;
const folder = mkdtempSync(join(tmpdir(), "inward-two-"));
chmodSync(folder, 0o777);
const findings = new Findings();
const isRoot = process.getuid?.() === 0;
const environment = { HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), INWARD_ANSWER_CACHE: "off" };
const inward = (args, { env = {}, ...more } = {}) =>
  startInward(args, { cwd: folder, env: { ...environment, ...env }, ...more }).ended;
const check = (what, holds, more) => findings.check(what, holds, more);

await inward(["probe", "planted", "--mechanism", "A", "--items", "5", "--out", "planted"]);
const prompts = Array.from({ length: 40 }, (_, at) => JSON.stringify({ prompt: `prompt ${at}` })).join("\n");
writeFileSync(join(folder, "prompts.jsonl"), `${prompts}\n`);
const study = ["run", "planted/study.yaml", "--offline", "--out"];
const asking = (out, ...more) => [
  "ask",
  "--file",
  "prompts.jsonl",
  "--model",
  "planted/planted.gguf",
  "--offline",
  "--out",
  out,
  ...more,
];
const alone = await inward([...study, "alone"]);
check("a run alone", alone.status === 0, alone.output);
const answered = await inward(asking("answers.jsonl"));
check("a file of answers alone", answered.status === 0, answered.output);
const answers = readFileSync(join(folder, "answers.jsonl"), "utf8");

// Two processes.
const both = await Promise.all([inward([...study, "shared"]), inward([...study, "shared"])]);
check(
  "two processes in one run folder: one works, the other is told so, or comes when all is done",
  both.some(({ status }) => status === 0) &&
    both.every(({ status, error }) => status === 0 || error === "STORE_LOCKED"),
  both.map(({ output }) => output).join("\n"),
);
check("their run is that of one process", bytesOf(join(folder, "shared")) === bytesOf(join(folder, "alone")));
const asked = await Promise.all([inward(asking("both.jsonl")), inward(asking("both.jsonl"))]);
check(
  "two processes with one file of answers",
  asked.some(({ status }) => status === 0) &&
    asked.every(({ status, error }) => status === 0 || error === "STORE_LOCKED"),
  asked.map(({ output }) => output).join("\n"),
);
check("their answers are those of one process", readFileSync(join(folder, "both.jsonl"), "utf8") === answers);
const cache = join(folder, "answers-of-two");
const cached = await Promise.all(
  ["one", "two", "three"].map((name) => inward(asking(`${name}.jsonl`), { env: { INWARD_ANSWER_CACHE: cache } })),
);
check(
  "three processes with one answer cache",
  cached.every(({ status }) => status === 0),
  cached.map(({ output }) => output).join("\n"),
);
const texts = (path) =>
  readFileSync(join(folder, path), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line).text ?? JSON.parse(line).reply?.text);
check(
  "they all get the same answers",
  ["one", "two", "three"].every(
    (name) => JSON.stringify(texts(`${name}.jsonl`)) === JSON.stringify(texts("answers.jsonl")),
  ),
);

// A cache that is full, or whose files were cut off or changed since.
const sameTexts = (path) => JSON.stringify(texts(path)) === JSON.stringify(texts("answers.jsonl"));
const withCache = async (what, out, at) => {
  const one = await inward(asking(out), { env: { INWARD_ANSWER_CACHE: at } });
  check(`${what}: all is answered, and alike`, one.status === 0 && sameTexts(out), one.output);
  return one;
};
const records = filesOf(cache).filter((name) => name.endsWith(".answers"));
check("the cache has files of answers", records.length > 0);
for (const name of records) truncateSync(join(cache, name), Math.floor(statSync(join(cache, name)).size / 2));
await withCache("a cache whose files were cut off in the middle", "cut.jsonl", cache);
for (const name of records) {
  const bytes = readFileSync(join(cache, name));
  for (let at = 200; at < bytes.length; at += 331) bytes[at] ^= 1;
  writeFileSync(join(cache, name), bytes);
}
await withCache("a cache of which a bit in each record was changed", "bits.jsonl", cache);
const full = join(folder, "full");
mkdirSync(full);
if (!isRoot || spawnSync("mount", ["-t", "tmpfs", "-o", "size=8k", "none", full]).status !== 0)
  findings.skip("a cache on a full disk", "no tmpfs may be mounted here");
else {
  try {
    const small = await withCache("a cache on a disk that is full soon", "full.jsonl", join(full, "answers"));
    check("  and it is said", /cache/i.test(small.output), small.output);
    spawnSync("mount", ["-o", "remount,size=4m", full]);
    await withCache("  and with room", "room.jsonl", join(full, "answers"));
  } finally {
    spawnSync("umount", ["-l", full]);
  }
}

// Two merges. Slurm's controller, killed and started again, begins a job anew that still works: the second believes that the first is gone.
const inUnits = await inward(["slurm", "planted/study.yaml", "--offline", "--out", "merged", "--unit-questions", "1"]);
check("units of a run", inUnits.status === 0, inUnits.output);
const unitsLeft = async () => {
  const { output } = await inward(["units", "merged", "--json"]);
  return JSON.parse(output.slice(output.indexOf("{"), output.lastIndexOf("}") + 1)).units.filter(
    ({ state }) => state !== "done",
  );
};
let [merges, rounds] = [0, 0];
for (let left = await unitsLeft(); left.length > 0 && rounds < 20; left = await unitsLeft()) {
  const wave = Math.min(...left.map(({ wave: one }) => one));
  const ids = left.filter((unit) => unit.wave === wave).map(({ id }) => id);
  const done = await Promise.all([inward(["unit", "merged", ...ids]), inward(["unit", "merged", ...ids.toReversed()])]);
  if (done.some(({ status, error }) => status !== 0 && error !== "UNIT_TOO_EARLY")) {
    check("units that two processes do at once", false, done.map(({ output }) => output).join("\n"));
    break;
  }
  const both = await Promise.all(
    ["0", "1"].map((restarts) =>
      inward(["merge", "merged"], { env: { SLURM_JOB_ID: "7", SLURM_RESTART_COUNT: restarts } }),
    ),
  );
  merges += 2;
  for (const { status, error, output } of both) {
    if (status !== 0 && (error === undefined || error === "INTERNAL")) check("two merges at once", false, output);
  }
  rounds++;
}
const last = await inward(["merge", "merged"]);
check(
  `${merges} merges, two at once each time, over ${rounds} rounds of units that two processes did at once`,
  last.status === 0 && bytesOf(join(folder, "merged")) === bytesOf(join(folder, "alone")),
  last.output,
);

// A model that is cut off, or another, after its checksum was remembered.
const model = join(folder, "planted/planted.gguf");
const { size, mtime, atime } = statSync(model);
const kept = readFileSync(model);
truncateSync(model, size - 1000);
utimesSync(model, atime, mtime);
const cut = await inward([...study, "alone"]);
check(
  "a model that was cut off since: MODEL_TRUNCATED",
  cut.error === "MODEL_TRUNCATED" && cut.status === 3,
  cut.output,
);
const other = Buffer.from(kept);
for (let at = size - 400; at < size; at++) other[at] = 0;
writeFileSync(model, other);
utimesSync(model, atime, mtime);
const replaced = await inward([...study, "alone"]);
check(
  "a model of other weights, with the size and time of the first: the run is another's",
  replaced.error === "STORE_OTHER_PLAN",
  replaced.output,
);
writeFileSync(model, kept);
const again = await inward([...study, "alone"]);
check("with the first model back it goes on, and nothing is lost", again.status === 0, again.output);

// Two users.
if (!isRoot) findings.skip("two users", "not root");
else {
  const shared = join(folder, "of-root");
  mkdirSync(join(folder, "nobody"), { mode: 0o777 });
  chmodSync(join(folder, "nobody"), 0o777);
  const first = await inward(asking("root.jsonl"), { env: { INWARD_ANSWER_CACHE: shared } });
  check("one user's cache", first.status === 0, first.output);
  const env = { INWARD_ANSWER_CACHE: shared, HOME: join(folder, "nobody") };
  const second = await inward(asking("nobody/second.jsonl"), { env, uid: NOBODY });
  check(
    "another user, who may not read the cache nor write to the model folder: all is asked",
    second.status === 0,
    second.output,
  );
  if (second.status === 0)
    check(
      "  and answered alike",
      JSON.stringify(texts("nobody/second.jsonl")) === JSON.stringify(texts("answers.jsonl")),
    );
  spawnSync("chmod", ["-R", "a+rwX", shared]);
  const third = await inward(asking("nobody/third.jsonl"), { env, uid: NOBODY });
  check("a cache that both may write to", third.status === 0 && sameTexts("nobody/third.jsonl"), third.output);
  for (const [name, ...more] of [
    ["trials"],
    ["export", "--to", "csv", "--out", "nobody/exported"],
    ["compare", "shared"],
  ]) {
    const { status, output } = await inward([name, "alone", ...more], { env, uid: NOBODY });
    check(`another user reads a run that is not theirs: ${name}`, status === 0, output);
  }
  const folders = join(folder, "models-of-root");
  mkdirSync(folders);
  chmodSync(folders, 0o711);
  const unlisted = await inward(asking("nobody/unlisted.jsonl"), {
    env: { ...env, INWARD_MODELS: folders },
    uid: NOBODY,
  });
  check(
    "another user's model folder that may be entered and not listed, of which nothing is wanted: all is asked",
    unlisted.status === 0,
    unlisted.output,
  );
  chmodSync(model, 0o600);
  const secret = await inward(asking("nobody/secret.jsonl"), { env, uid: NOBODY });
  chmodSync(model, 0o644);
  check(
    `another user's model, which may not be read: ${secret.error}`,
    secret.status !== 0 && /^MODEL_/.test(secret.error ?? ""),
    secret.output,
  );
  const strange = await inward([...study, "alone"], { env, uid: NOBODY });
  check(
    "another user in a run folder that is not theirs: a coded error",
    strange.status !== 0 && /^STORE_/.test(strange.error ?? ""),
    strange.output,
  );
}

rmSync(folder, { recursive: true, force: true });
process.exitCode = findings.end();
