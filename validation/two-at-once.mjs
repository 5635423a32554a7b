// What two processes, two users, a full disk, a cut-off file, a jumping clock and a full table of descriptors do to a run, a file of answers, the
// model folder and the answer cache: a coded error, and nothing lost. node validation/two-at-once.mjs; exit code 4 with a finding. On Linux; the
// users and the small disks need root, and are skipped with a line without it.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const NOBODY = 65_534;
const folder = mkdtempSync(join(tmpdir(), "inward-two-"));
chmodSync(folder, 0o777);
const findings = [];
const isRoot = process.getuid?.() === 0;
const environment = { ...process.env, HOME: folder, XDG_CACHE_HOME: join(folder, "cache"), INWARD_ANSWER_CACHE: "off" };
const CODED = /^[A-Z]+_[A-Z_]+$|^USAGE$|^INTERRUPTED$/;

/** @returns exit code, and the code of the error that it said, if any */
function inward(args, { env = {}, uid, before = "", cwd = folder } = {}) {
  const [command, ...rest] =
    before === ""
      ? [process.execPath, MAIN, ...args]
      : ["sh", "-c", `${before}; exec "$0" "$@"`, process.execPath, MAIN, ...args];
  const child = spawn(command, rest, {
    cwd,
    env: { ...environment, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const late = setTimeout(() => child.kill("SIGKILL"), 300_000);
  return new Promise((done) =>
    child.on("close", (status, signal) => {
      clearTimeout(late);
      done({
        status: status ?? signal,
        error: /\b((?:[A-Z]+_)+[A-Z]+|INTERNAL)\b(?=[:)\]"\s])/.exec(output.replace(/INWARD_\w+/g, ""))?.[1],
        output,
      });
    }),
  );
}

function check(what, holds, more = "") {
  console.log(`${holds ? "holds " : "FAILS "} ${what}${holds ? "" : `: ${more.slice(-700)}`}`);
  if (!holds) findings.push(what);
}

const skip = (what, why) => console.log(`skipped ${what}: ${why}`);
/** What a run's results are; how long it took, and when, may differ. */
const NOT_RESULTS = /events\.jsonl|run\.lock|manifest\.json|stages\.json|09-report|figures/;
function bytesOf(run) {
  const names = readdirSync(run, { recursive: true }).filter(
    (name) => statSync(join(run, name)).isFile() && !NOT_RESULTS.test(name),
  );
  return names
    .sort()
    .map(
      (name) =>
        `${name} ${createHash("sha256")
          .update(readFileSync(join(run, name)))
          .digest("hex")}`,
    )
    .join("\n");
}

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

// A clock that jumps back a year, and on by ten.
writeFileSync(
  join(folder, "clock.cjs"),
  "const now = Date.now; const begun = now(); let calls = 0;\nDate.now = () => now() + (++calls % 2 ? -365 : 3650) * 864e5;\nconst Own = Date; globalThis.Date = class extends Own { constructor(...args) { args.length ? super(...args) : super(Date.now()); } };\n",
);
const jumping = { NODE_OPTIONS: `--require ${join(folder, "clock.cjs")}` };
const jumped = await inward([...study, "jumped"], {
  env: { ...jumping, INWARD_ANSWER_CACHE: join(folder, "jumping") },
});
check("under a clock that jumps", jumped.status === 0, jumped.output);
check(
  "its run is that of a steady clock",
  existsSync(join(folder, "jumped")) && bytesOf(join(folder, "jumped")) === bytesOf(join(folder, "alone")),
);

// A full table of descriptors. With so few node itself reads nothing.
const NODE_NEEDS = 20;
const outcomes = [];
for (const most of [18, 22, 26, 40, 48, 64]) {
  const few = await inward([...study, `few-${most}`], { before: `ulimit -n ${most}` });
  outcomes.push(`${most}: ${few.status === 0 ? "ok" : (few.error ?? few.status)}`);
  const isCoded =
    few.status === 0 ||
    (few.error !== undefined && few.error !== "INTERNAL" && CODED.test(few.error)) ||
    (most <= NODE_NEEDS && /EMFILE|Cannot find (package|module)/.test(few.output));
  check(`with ${most} descriptors: done, or a coded error`, isCoded, few.output);
  if (few.status === 0) continue;
  const then = await inward([...study, `few-${most}`]);
  check(
    `  and then with enough of them: all is there`,
    then.status === 0 && bytesOf(join(folder, `few-${most}`)) === bytesOf(join(folder, "alone")),
    then.output,
  );
}
console.log(`descriptors: ${outcomes.join(", ")}`);

// Two users.
if (!isRoot) skip("two users", "not root");
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

// Small disks.
const disk = join(folder, "disk");
mkdirSync(disk);
const mount = (bytes, ...more) =>
  spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}${more.join("")}`, "none", disk]).status === 0;
if (!isRoot || !mount("16k")) skip("full disks", "no tmpfs may be mounted here");
else {
  const full = await inward(asking("full.jsonl"), { env: { INWARD_ANSWER_CACHE: join(disk, "answers") } });
  check(
    "a cache on a full disk: all is asked, and it is said",
    full.status === 0 && /cache/i.test(full.output),
    full.output,
  );
  if (full.status === 0)
    check("  and answered alike", JSON.stringify(texts("full.jsonl")) === JSON.stringify(texts("answers.jsonl")));
  const models = await inward(["models", "reencode", model, "--to", "f16"], {
    env: { INWARD_MODELS: join(disk, "models") },
  });
  check(
    "a model folder on a full disk: a coded error",
    models.status !== 0 && CODED.test(models.error ?? "") && models.error !== "INTERNAL",
    models.output,
  );
  spawnSync("umount", [disk]);
  for (const [at, bytes] of ["16k", "64k", "128k", "256k"].entries()) {
    mount(bytes);
    const small = await inward([...study, join(disk, "run")]);
    const isFull = small.error === "STORE_DISK_FULL";
    check(`a run on a disk of ${bytes}: STORE_DISK_FULL, or done`, small.status === 0 || isFull, small.output);
    // What is there is carried to where there is room.
    const carried = join(folder, `carried-${at}`);
    if (existsSync(join(disk, "run"))) cpSync(join(disk, "run"), carried, { recursive: true });
    const more = await inward([...study, carried]);
    check(
      "  and then with room: all is there",
      more.status === 0 && bytesOf(carried) === bytesOf(join(folder, "alone")),
      more.output,
    );
    spawnSync("umount", [disk]);
  }
}
console.log(`${findings.length} findings`);
rmSync(folder, { recursive: true, force: true });
process.exitCode = findings.length === 0 ? 0 : 4;
