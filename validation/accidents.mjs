// What accidents do to a run: a folder that is moved away, disks that fill at any write, folders that may not be written, clocks that jump, full tables of descriptors, too little
// memory, GPU libraries that are missing, files of a finished run that were changed. A coded error each, nothing lost: afterwards the same command ends with an undisturbed run's bytes.
// node validation/accidents.mjs [--only moved,disks,quotas,readonly,models,clock,descriptors,addresses,memory,devices,edits]
// [--disks 30] [--edits 60] [--moves 24] [--seed 1] [--in folder]
// With --in, an undisturbed run that stands there serves again. Exit code 4 with a finding.
// On Linux. Disks are tmpfs, read-only folders bind mounts, memory a cgroup: they need root and are skipped with a line without it.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { writeEverything } from "./everything-study.mjs";
import { bytesOf, dice, filesOf, Findings, isCoded, startInward } from "./inward-processes.mjs";

const KINDS = [
  "moved",
  "disks",
  "quotas",
  "readonly",
  "models",
  "clock",
  "descriptors",
  "addresses",
  "memory",
  "devices",
  "edits",
];
const { values } = parseArgs({
  options: {
    only: { type: "string", default: KINDS.join() },
    disks: { type: "string", default: "30" },
    edits: { type: "string", default: "60" },
    moves: { type: "string", default: "24" },
    seed: { type: "string", default: "1" },
    in: { type: "string" },
  },
});
const wanted = values.only.split(",");
const unknown = wanted.find((kind) => !KINDS.includes(kind));
if (unknown !== undefined) throw new Error(`there is no ${unknown}: ${KINDS.join()}`);
const folder = values.in === undefined ? mkdtempSync(join(tmpdir(), "inward-accidents-")) : resolve(values.in);
mkdirSync(folder, { recursive: true });
/** What accidents leave in it. */
const MADE =
  /^(begun|half|moving|moved-\d+(-aside)?|no-caches|exported|jump(ed|ing)|cuda(\.gguf)?|vulkan|auto|none|empty|models-\w+|(quota|few|addresses|memory|faked|edited)-\d+(-run)?)$/;
const environment = {
  HOME: folder,
  XDG_CACHE_HOME: join(folder, "cache"),
  INWARD_MODELS: join(folder, "models"),
  INWARD_ANSWER_CACHE: "off",
};
const inward = (args, { env = {}, ...more } = {}) =>
  startInward(args, { cwd: folder, env: { ...environment, ...env }, ...more }).ended;
const findings = new Findings();
const check = (what, holds, more) => findings.check(what, holds, more);
const random = dice(Number(values.seed));
const isRoot = process.getuid?.() === 0;
const sh = (command) => spawnSync("sh", ["-c", command], { encoding: "utf8" });
const isSame = (run) => existsSync(join(folder, run)) && bytesOf(join(folder, run)) === bytes;

const { study } = await writeEverything(folder, { models: 1, env: environment });
writeFileSync(
  join(folder, "prompts.jsonl"),
  Array.from({ length: 40 }, (_, at) => `${JSON.stringify({ prompt: `prompt ${at}` })}\n`).join(""),
);
writeFileSync(
  join(folder, "chat.jsonl"),
  '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'.repeat(4),
);
const disk = join(folder, "disk");
for (const left of readdirSync(folder)) if (MADE.test(left)) rmSync(join(folder, left), { recursive: true });
if (!existsSync(join(folder, "whole"))) {
  const begun = performance.now();
  const whole = await inward([...study, "begun"]);
  if (whole.status !== 0) throw new Error(whole.output);
  renameSync(join(folder, "begun"), join(folder, "whole"));
  console.log(`an undisturbed run: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}
const bytes = bytesOf(join(folder, "whole"));
const size = filesOf(join(folder, "whole")).reduce((sum, name) => sum + statSync(join(folder, "whole", name)).size, 0);
console.log(`it has ${(size / 1024).toFixed(0)} KiB`);

/** The same command without the accident: nothing is lost where it ends with the undisturbed bytes. */
async function goesOn(what, run, more = {}, args = []) {
  const then = await inward([...study, run, ...args], more);
  check(`  and then ${what}: all is there`, then.status === 0 && isSame(run), then.output);
}

/** Files of the undisturbed run as they were written. */
const inOrder = filesOf(join(folder, "whole"))
  .filter((name) => /^0[2-9]/.test(name))
  .map((name) => ({ name, at: statSync(join(folder, "whole", name)).mtimeMs }))
  .sort((one, other) => one.at - other.at)
  .map(({ name }) => name);

/** Puts a run there that has come to a file by chance: accidents of one size strike the same stage each time. @returns where, in words */
function beginSomewhere(path) {
  const kept = Math.floor(random() * inOrder.length);
  cpSync(join(folder, "whole"), path, { recursive: true });
  for (const name of inOrder.slice(kept)) rmSync(join(path, name));
  return kept === 0 ? "a run that was planned" : `a run up to ${inOrder[kept - 1]}`;
}

/** Everything that writes a file or a folder; each with the place in the end. */
const MODEL = ["--model", "one/planted.gguf", "--offline"];
const WRITERS = {
  ask: ["ask", "--file", "prompts.jsonl", ...MODEL, "--out"],
  states: ["states", "--file", "prompts.jsonl", ...MODEL, "--out"],
  train: ["train", "chat.jsonl", ...MODEL, "--out"],
  export: ["export", "whole", "--to", "csv", "--out"],
  planted: ["probe", "planted", "--mechanism", "A", "--items", "6", "--out"],
};
const outOf = (name, at) => join(at, name === "ask" ? "answers.jsonl" : name === "train" ? "adapter.gguf" : name);

mkdirSync(disk, { recursive: true });
const mount = (kilobytes) => spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kilobytes}k`, "none", disk]).status === 0;
const grow = (kilobytes = 65_536) => spawnSync("mount", ["-o", `remount,size=${kilobytes}k`, disk]).status === 0;
const unmount = () => spawnSync("umount", ["-l", disk]);

async function disks() {
  if (!isRoot || !mount(64)) return findings.skip("full disks", "no tmpfs may be mounted here");
  unmount();
  const least = Math.log(4);
  const most = Math.log((size / 1024) * 1.1);
  const ended = {};
  for (let at = 0; at < Number(values.disks); at++) {
    const kilobytes = Math.round(Math.exp(least + random() * (most - least)));
    // On every third, the answers that were asked and the models that are made lie there too.
    const env =
      at % 3 === 2
        ? {
            INWARD_ANSWER_CACHE: join(disk, "answers"),
            XDG_CACHE_HOME: join(disk, "cache"),
            INWARD_MODELS: join(disk, "models"),
          }
        : {};
    mount(kilobytes);
    // On two of three a run stands there before: most disks of random size are full at the first files.
    let beside = "";
    if (at % 3 > 0) {
      grow();
      beside = `, beside ${beginSomewhere(join(disk, "run"))}`;
      const { blocks, bfree, bsize } = statfsSync(disk);
      grow(((blocks - bfree) * bsize) / 1024 + kilobytes);
    }
    const small = await inward([...study, "disk/run"], { env });
    const outcome = small.status === 0 ? "done" : (small.error ?? String(small.status));
    ended[outcome] = (ended[outcome] ?? 0) + 1;
    const more = `${beside}${at % 3 === 2 ? ", caches there too" : ""}`;
    check(
      `a disk of ${kilobytes} KiB${more}: ${outcome}`,
      small.status === 0 || /^(STORE_DISK_FULL|MODEL_FOLDER)$/.test(small.error ?? ""),
      small.output,
    );
    const torn = existsSync(join(disk, "run"))
      ? filesOf(join(disk, "run")).filter((name) => name.endsWith(".json") && !isJson(join(disk, "run", name)))
      : [];
    check("  no JSON file is half there", torn.length === 0, torn.join());
    grow();
    await goesOn("with room", "disk/run", { env });
    unmount();
  }
  console.log(`disks: ${JSON.stringify(ended)}`);
}

async function quotas() {
  if (!isRoot || !mount(64)) return findings.skip("small disks", "no tmpfs may be mounted here");
  unmount();
  for (const [name, args] of Object.entries(WRITERS)) {
    mount(8);
    const small = await inward([...args, outOf(name, disk)]);
    check(
      `${name} on a disk of 8 KiB: ${small.error ?? small.status}`,
      small.error === "STORE_DISK_FULL" && small.status === 1,
      small.output,
    );
    grow();
    const then = await inward([...args, outOf(name, disk)]);
    check("  and then with room", then.status === 0, then.output);
    unmount();
  }
  // A quota of bytes a file, as a system's limit or a file system of another age has it.
  for (const blocks of [1, 8, 32, 128]) {
    const run = `quota-${blocks}`;
    const small = await inward([...study, run], { before: `ulimit -f ${blocks}` });
    check(
      `files of at most ${blocks / 2} KiB: ${small.error ?? small.status}`,
      small.status === 0 || small.error === "STORE_DISK_FULL" || small.error === "MODEL_FOLDER",
      small.output,
    );
    await goesOn("without the limit", run);
  }
}

function isJson(path) {
  try {
    JSON.parse(readFileSync(path, "utf8"));
    return true;
  } catch {
    return false;
  }
}

/** A folder that may be read and not written to, at another place. */
function bind(path, at = disk) {
  mkdirSync(at, { recursive: true });
  return (
    spawnSync("mount", ["--bind", path, at]).status === 0 &&
    spawnSync("mount", ["-o", "remount,bind,ro", at]).status === 0
  );
}

async function readonly() {
  mkdirSync(join(folder, "empty"));
  if (!isRoot || !bind(join(folder, "empty")))
    return findings.skip("read-only folders", "no bind mount may be made here");
  const none = await inward([...study, "disk/run"]);
  check(`a run where nothing may be written: ${none.error}`, none.error === "STORE_UNWRITABLE", none.output);
  for (const [name, args] of Object.entries(WRITERS)) {
    const { error, output, status } = await inward([...args, outOf(name, disk)]);
    check(`${name} there: ${error}`, status !== 0 && /^(STORE_UNWRITABLE|EXPORT_FOLDER)$/.test(error ?? ""), output);
  }
  const caches = {
    XDG_CACHE_HOME: disk,
    INWARD_MODELS: join(disk, "models"),
    INWARD_ANSWER_CACHE: join(disk, "answers"),
  };
  const cached = await inward([...study, "no-caches"], { env: caches });
  check(
    `caches where nothing may be written: ${cached.error ?? cached.status}`,
    cached.status === 0 ? isSame("no-caches") : isCoded(cached),
    cached.output,
  );
  unmount();
  // A run that stopped half-way, and then lies where nothing may be written.
  cpSync(join(folder, "whole"), join(folder, "half"), { recursive: true });
  for (const name of readdirSync(join(folder, "half")))
    if (/^0[7-9]/.test(name)) rmSync(join(folder, "half", name), { recursive: true });
  bind(join(folder, "half"));
  const half = await inward([...study, "disk"]);
  check(`half a run that may not be written: ${half.error}`, half.error === "STORE_UNWRITABLE", half.output);
  unmount();
  await goesOn("where it may", "half");
  bind(join(folder, "whole"));
  const reading = {
    trials: [],
    compare: ["half"],
    export: ["--to", "csv", "--out", "exported"],
    power: ["--difference", "5"],
  };
  for (const [name, more] of Object.entries(reading)) {
    const { status, error, output } = await inward([name, "disk", ...more]);
    check(`${name} of a whole one there: ${error ?? "read"}`, status === 0, output);
  }
  for (const name of ["score", "report"]) {
    const { error, output } = await inward([name, "disk"]);
    check(`${name} of a whole one there: ${error}`, error === "STORE_UNWRITABLE", output);
  }
  unmount();
  check("  and not a byte of it has changed", isSame("whole"));
}

/** Models where nothing may be written: somebody's own file, and a group's model folder. */
async function models() {
  if (!isRoot || !bind(join(folder, "one"))) return findings.skip("read-only models", "no bind mount may be made here");
  const study = ["run", "disk/study.yaml", "--offline", "--set", "models.planted.source=disk/planted.gguf"];
  const asF16 = [...study, "--set", "models.planted.encoding=f16", "--out"];
  const trials = (run) => bytesOf(join(folder, run), /^(?!08-trials)/);
  const own = await inward([...asF16, "models-own"]);
  check("a model's file where nothing may be written, run as F16", own.status === 0, own.output);
  // The model folder, too: with the copy in it, and empty.
  const shared = join(folder, "models-shared");
  for (const [what, from] of Object.entries({ there: join(folder, "models"), empty: join(folder, "models-none") })) {
    mkdirSync(from, { recursive: true });
    bind(from, shared);
    const env = { INWARD_MODELS: shared };
    const copied = await inward([...asF16, `models-${what}`], { env });
    if (what === "there") {
      const isAlike = copied.status === 0 && trials("models-there") === trials("models-own");
      check("  and a model folder that has the copy and may not be written to", isAlike, copied.output);
    } else {
      const isSaid = copied.error === "MODEL_FOLDER" && copied.status === 3 && /INWARD_MODELS/.test(copied.output);
      check(
        `  and one that has it not: ${copied.error}`,
        isSaid && !existsSync(join(folder, "models-empty")),
        copied.output,
      );
      const shipped = await inward([...study, "--out", "models-shipped"], { env });
      check("  and no copy is wanted", shipped.status === 0, shipped.output);
    }
    spawnSync("umount", ["-l", shared]);
  }
  unmount();
}

async function clock() {
  // Back a year, on by ten, at every look.
  writeFileSync(
    join(folder, "clock.cjs"),
    "const now = Date.now; let calls = 0;\nDate.now = () => now() + (++calls % 2 ? -365 : 3650) * 864e5;\nconst Own = Date; globalThis.Date = class extends Own { constructor(...args) { args.length ? super(...args) : super(Date.now()); } };\n",
  );
  const env = { NODE_OPTIONS: `--require ${join(folder, "clock.cjs")}`, INWARD_ANSWER_CACHE: join(folder, "jumping") };
  const jumped = await inward([...study, "jumped"], { env });
  check("a clock that jumps by years, as JavaScript reads it", jumped.status === 0 && isSame("jumped"), jumped.output);
  const library = sh("ls /usr/lib/*/faketime/libfaketimeMT.so.1").stdout.trim();
  if (library === "") return findings.skip("a clock that jumps below every library", "libfaketime is not installed");
  const hand = join(folder, "time");
  for (const [at, offset] of ["-365d", "+3650d", "-20d", "+1d"].entries()) {
    writeFileSync(hand, offset);
    const faked = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: hand,
      FAKETIME_NO_CACHE: "1",
      DONT_FAKE_MONOTONIC: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      INWARD_ANSWER_CACHE: join(folder, `faked-${at}`),
    };
    const running = inward([...study, `faked-${at}-run`], { env: faked });
    const turns = setInterval(
      () => writeFileSync(hand, `${random() < 0.5 ? "-" : "+"}${Math.ceil(random() * 900)}d`),
      200,
    );
    const done = await running;
    clearInterval(turns);
    check(
      `a clock that starts ${offset} off and jumps five times a second: ${done.error ?? done.status}`,
      done.status === 0,
      done.output,
    );
    check("  its run is that of a steady clock", isSame(`faked-${at}-run`));
  }
}

async function descriptors() {
  // With so few node itself reads nothing.
  const nodeNeeds = 20;
  const outcomes = [];
  for (const most of [18, 22, 26, 30, 34, 40, 48, 64, 96, 128]) {
    const run = `few-${most}`;
    const where = beginSomewhere(join(folder, run));
    const few = await inward([...study, run], { before: `ulimit -n ${most}` });
    outcomes.push(`${most}: ${few.status === 0 ? "done" : (few.error ?? few.status)}`);
    const isNodes = most <= nodeNeeds && /EMFILE|Cannot find (package|module)/.test(few.output);
    check(`with ${most} descriptors, ${where}: ${few.error ?? few.status}`, isCoded(few) || isNodes, few.output);
    await goesOn("with enough of them", run);
  }
  console.log(`descriptors: ${outcomes.join(", ")}`);
}

/** What a batch system's limit of virtual memory takes away. V8 reserves some gigabytes that it never touches. */
async function addresses() {
  for (const gigabytes of [1, 2, 8, 12, 16, 24]) {
    const run = `addresses-${gigabytes}`;
    const where = beginSomewhere(join(folder, run));
    const little = await inward([...study, run], { before: `ulimit -v ${gigabytes * 1024 * 1024}` });
    const isNodes = /out of memory|OOM|Reserve|CodeRange|thread|SIG(TRAP|ABRT|SEGV)/i.test(
      `${little.output} ${little.status}`,
    );
    check(
      `addresses for ${gigabytes} GiB, ${where}: ${little.status === 0 ? "done" : (little.error ?? `node ended with ${little.status}`)}`,
      isCoded(little) || isNodes,
      little.output,
    );
    await goesOn("without the limit", run);
  }
}

async function memory() {
  const group = "/sys/fs/cgroup/memory/inward-accidents";
  if (!isRoot || sh(`mkdir -p ${group} && echo 1000000000 > ${group}/memory.limit_in_bytes`).status !== 0) {
    return findings.skip("the kernel's killer", "no memory cgroup may be made here");
  }
  const ended = {};
  const killsOf = () => Number(/oom_kill (\d+)/.exec(sh(`cat ${group}/memory.oom_control`).stdout)?.[1] ?? 0);
  const killedBefore = killsOf();
  for (const megabytes of [60, 90, 110, 130, 150, 170, 190, 210, 230, 260, 300, 400]) {
    const run = `memory-${megabytes}`;
    sh(`echo ${megabytes}M > ${group}/memory.limit_in_bytes`);
    const before = `echo $$ > ${group}/cgroup.procs`;
    const where = beginSomewhere(join(folder, run));
    const little = await inward([...study, run], { before });
    const outcome = little.status === 0 ? "done" : (little.error ?? String(little.status));
    ended[outcome] = (ended[outcome] ?? 0) + 1;
    // The kernel may choose the command itself; what it had is kept.
    check(
      `${megabytes} MiB of memory, ${where}: ${outcome}`,
      isCoded(little) || /SIGKILL|137/.test(String(little.status)),
      little.output,
    );
    const setAside = existsSync(join(folder, run, "events.jsonl"))
      ? /item_set_aside/.test(readFileSync(join(folder, run, "events.jsonl"), "utf8"))
      : false;
    check("  nobody's question is set aside for want of memory", !setAside);
    await goesOn("with enough", run);
  }
  console.log(`memory: ${JSON.stringify(ended)}; ${killsOf() - killedBefore} processes ended by the kernel`);
  sh(`rmdir ${group}`);
}

async function devices() {
  const on = (device) => ["--set", `engine.device=${device}`];
  const cuda = await inward(["run", "everything.yaml", "--offline", "--out", "cuda", ...on("cuda")]);
  const hasCuda = sh("ls /usr/lib/*/libcuda.so.1 2>/dev/null").stdout.trim() !== "";
  if (hasCuda) findings.skip("CUDA without its driver", "there is one");
  else
    check(
      `cuda without a driver: ${cuda.error}`,
      cuda.error === "ENGINE_UNAVAILABLE" && cuda.status === 3,
      cuda.output,
    );
  const trained = await inward([...WRITERS.train, "cuda.gguf", "--device", "cuda"]);
  if (!hasCuda) check(`training there: ${trained.error}`, trained.status === 3, trained.output);
  const vulkan = sh("realpath /usr/lib/*/libvulkan.so.1 | head -1").stdout.trim();
  if (vulkan === "" || !isRoot) findings.skip("a Vulkan loader that goes", "there is none, or not root");
  else {
    // In a mount namespace of its own, the library is an empty file.
    const hidden = join(folder, "without-vulkan.sh");
    writeFileSync(hidden, `mount --bind /dev/null ${vulkan} && exec "$@"\n`);
    const apart = { before: `exec unshare -m sh ${hidden} "$0" "$@"` };
    const gone = await inward(["run", "everything.yaml", "--offline", "--out", "vulkan", ...on("vulkan")], apart);
    check(
      `vulkan without its library: ${gone.error}`,
      gone.error === "ENGINE_UNAVAILABLE" && gone.status === 3,
      gone.output,
    );
    const auto = await inward(["run", "everything.yaml", "--offline", "--out", "auto", ...on("auto")], apart);
    check("auto without it asks the CPU", auto.status === 0, auto.output);
  }
  const none = await inward(["run", "everything.yaml", "--offline", "--out", "none", ...on("vulkan")], {
    env: { VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json" },
  });
  check(
    `vulkan without a driver: ${none.error}`,
    none.error === "ENGINE_UNAVAILABLE" && none.status === 3,
    none.output,
  );
  check(
    "  and nothing of these runs was begun",
    !["cuda", "vulkan", "none"].some((run) => existsSync(join(folder, run))),
  );
}

/**
 * By command what it makes or takes for made: with status 0 that is the undisturbed run's. Figures are copies for people, which nothing reads, and shards of
 * states are compared with what was written by who reads them.
 */
const MAKES = {
  run: /^(?!events|figures|run\.lock|07-(\w+-)?states\/)/,
  score: /^(03|06-b|07-input|08)/,
  report: /^09/,
};

/** One file of a finished run changed, with valid JSON left as it is now and then; every stage's files, where tests/fuzz/run has a small study's. */
async function edits() {
  const names = filesOf(join(folder, "whole"), /events\.jsonl$|run\.lock|^figures/);
  const below = (count) => Math.floor(random() * count);
  const outcomes = {};
  for (let at = 0; at < Number(values.edits); at++) {
    const run = `edited-${at}`;
    cpSync(join(folder, "whole"), join(folder, run), { recursive: true });
    // Every folder of the run is as likely as another: most files are shards of states.
    const kinds = [...new Set(names.map((name) => name.split("/")[0]))];
    const kind = kinds[below(kinds.length)];
    const some = names.filter((name) => name.split("/")[0] === kind);
    const name = some[below(some.length)];
    const path = join(folder, run, name);
    const content = readFileSync(path);
    const how = ["removed", "cut", "a byte", "a digit", "another's content", "a line twice"][below(6)];
    const digits = [...content.keys()].filter((place) => content[place] >= 48 && content[place] <= 57);
    const changed = Buffer.from(content);
    if (how === "removed") rmSync(path);
    else if (how === "cut") writeFileSync(path, content.subarray(0, below(content.length)));
    else if (how === "another's content") cpSync(join(folder, "whole", names[below(names.length)]), path);
    else if (how === "a line twice")
      writeFileSync(path, Buffer.concat([content, content.subarray(content.lastIndexOf(10, content.length - 2) + 1)]));
    else {
      const place = how === "a digit" && digits.length > 0 ? digits[below(digits.length)] : below(content.length);
      changed[place] =
        how === "a digit" ? 48 + ((changed[place] + 1 + below(9)) % 10) : changed[place] ^ (1 << below(7));
      writeFileSync(path, changed);
    }
    const command = Object.keys(MAKES)[below(3)];
    const ended = await inward(command === "run" ? [...study, run] : [command, run]);
    const without = new RegExp(`^(?!${MAKES[command].source.slice(1)})`);
    const outcome = ended.status === 0 ? "as before" : (ended.error ?? String(ended.status));
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    const isAlike =
      ended.status !== 0 || bytesOf(join(folder, run), without) === bytesOf(join(folder, "whole"), without);
    check(`${command} after ${name} ${how}: ${outcome}`, isCoded(ended) && isAlike, ended.output);
    if (isCoded(ended) && isAlike) rmSync(join(folder, run), { recursive: true });
  }
  console.log(`edits: ${JSON.stringify(outcomes)}`);
}

/**
 * The folder of a run that is moved away while somebody works in it, and one in whose place another run is begun: by one process, and by workers. Nobody
 * makes a folder of the old name, and each of the two goes on where it stands.
 */
async function moved() {
  const begun = performance.now();
  await inward([...study, "moving"]);
  const whole = performance.now() - begun;
  rmSync(join(folder, "moving"), { recursive: true });
  const outcomes = {};
  for (let at = 0; at < Number(values.moves); at++) {
    const [run, aside] = [`moved-${at}`, `moved-${at}-aside`];
    const isShared = at % 2 === 1;
    const isReplaced = at % 4 > 1;
    const workers = isShared ? ["--workers", "2", "--unit-questions", "6"] : [];
    const first = inward([...study, run, ...workers]);
    while (!existsSync(join(folder, run, "01-plan.json"))) await sleep(5);
    const after = random() * whole * 0.9;
    await sleep(after);
    renameSync(join(folder, run), join(folder, aside));
    const second = isReplaced ? inward([...study, run]) : undefined;
    const { status, error, output } = await first;
    const outcome = status === 0 ? "done" : (error ?? String(status));
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    const what = `${isShared ? "two workers" : "one process"}, moved after ${(after / 1000).toFixed(2)} s${isReplaced ? ", another begun in its place" : ""}`;
    check(`${what}: ${outcome}`, status === 0 || /^STORE_(UNWRITABLE|LOCKED)$/.test(error ?? ""), output);
    if (second) {
      const other = await second;
      check("  the other one is an undisturbed run", other.status === 0 && isSame(run), other.output);
    } else check("  and no folder of the old name is there", !existsSync(join(folder, run)));
    await goesOn("where it was moved to", aside, {}, workers);
    for (const left of [run, aside]) rmSync(join(folder, left), { recursive: true, force: true });
  }
  console.log(`moved: ${JSON.stringify(outcomes)}`);
}

const ALL = { moved, disks, quotas, readonly, models, clock, descriptors, addresses, memory, devices, edits };
try {
  for (const kind of wanted) {
    console.log(`# ${kind}`);
    await ALL[kind]();
  }
} finally {
  spawnSync("umount", ["-l", disk]);
}
if (values.in === undefined) rmSync(folder, { recursive: true, force: true });
process.exitCode = findings.end();
