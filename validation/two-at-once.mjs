// What two processes, two users, and a file that was changed meanwhile do to a run, a file of answers, the model folder and the answer cache: a
// coded error, and nothing lost. node validation/two-at-once.mjs; exit code 4 with a finding. On Linux; the users need root, and are skipped
// with a line without it. validation/accidents.mjs has disks, clocks, descriptors and memory.
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
import { bytesOf, Findings, startInward } from "./inward-processes.mjs";

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
  const strange = await inward([...study, "alone"], { env, uid: NOBODY });
  check(
    "another user in a run folder that is not theirs: a coded error",
    strange.status !== 0 && /^STORE_/.test(strange.error ?? ""),
    strange.output,
  );
}

rmSync(folder, { recursive: true, force: true });
process.exitCode = findings.end();
