// What accidents do to a run: disks that fill at any write, folders that may not be written, clocks that jump, full tables of descriptors, too little
// memory, GPU libraries that are missing. A coded error each, nothing lost: afterwards the same command ends with an undisturbed run's bytes.
// node validation/accidents.mjs [--only disks,readonly,clock,descriptors,memory,devices] [--disks 30] [--seed 1]; exit code 4 with a finding.
// On Linux. Disks are tmpfs, read-only folders bind mounts, memory a cgroup: they need root and are skipped with a line without it.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeEverything } from "./everything-study.mjs";
import { bytesOf, dice, filesOf, Findings, isCoded, startInward } from "./inward-processes.mjs";

const KINDS = ["disks", "readonly", "clock", "descriptors", "memory", "devices"];
const { values } = parseArgs({
  options: {
    only: { type: "string", default: KINDS.join() },
    disks: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
  },
});
const wanted = values.only.split(",");
const folder = mkdtempSync(join(tmpdir(), "inward-accidents-"));
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

const { study } = await writeEverything(folder, { env: environment });
writeFileSync(
  join(folder, "prompts.jsonl"),
  Array.from({ length: 40 }, (_, at) => `${JSON.stringify({ prompt: `prompt ${at}` })}\n`).join(""),
);
writeFileSync(
  join(folder, "chat.jsonl"),
  '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'.repeat(4),
);
const begun = performance.now();
const whole = await inward([...study, "whole"]);
if (whole.status !== 0) throw new Error(whole.output);
const wholeSeconds = (performance.now() - begun) / 1000;
const bytes = bytesOf(join(folder, "whole"));
const size = filesOf(join(folder, "whole")).reduce((sum, name) => sum + statSync(join(folder, "whole", name)).size, 0);
console.log(`an undisturbed run: ${wholeSeconds.toFixed(1)} s, ${(size / 1024).toFixed(0)} KiB`);

/** The same command without the accident: nothing is lost where it ends with the undisturbed bytes. */
async function goesOn(what, run, more = {}) {
  const then = await inward([...study, run], more);
  check(`  and then ${what}: all is there`, then.status === 0 && isSame(run), then.output);
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

const disk = join(folder, "disk");
mkdirSync(disk);
const mount = (kilobytes) => spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kilobytes}k`, "none", disk]).status === 0;
const grow = () => spawnSync("mount", ["-o", "remount,size=64m", disk]).status === 0;
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
    const small = await inward([...study, "disk/run"], { env });
    const outcome = small.status === 0 ? "done" : (small.error ?? String(small.status));
    ended[outcome] = (ended[outcome] ?? 0) + 1;
    check(
      `a disk of ${kilobytes} KiB${at % 3 === 2 ? ", caches there too" : ""}: ${outcome}`,
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

async function readonly() {
  const bind = (path) => {
    mkdirSync(disk, { recursive: true });
    return (
      spawnSync("mount", ["--bind", path, disk]).status === 0 &&
      spawnSync("mount", ["-o", "remount,bind,ro", disk]).status === 0
    );
  };
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
  for (const most of [18, 22, 26, 30, 34, 40, 48, 64]) {
    const run = `few-${most}`;
    const few = await inward([...study, run], { before: `ulimit -n ${most}` });
    outcomes.push(`${most}: ${few.status === 0 ? "done" : (few.error ?? few.status)}`);
    const isNodes = most <= nodeNeeds && /EMFILE|Cannot find (package|module)/.test(few.output);
    check(`with ${most} descriptors: ${few.error ?? few.status}`, isCoded(few) || isNodes, few.output);
    await goesOn("with enough of them", run);
  }
  console.log(`descriptors: ${outcomes.join(", ")}`);
}

async function memory() {
  // Addresses: what a batch system's limit of virtual memory takes away. V8 reserves some gigabytes that it never touches.
  for (const gigabytes of [1, 2, 8, 12, 16, 24]) {
    const run = `addresses-${gigabytes}`;
    const little = await inward([...study, run], { before: `ulimit -v ${gigabytes * 1024 * 1024}` });
    const isNodes = /out of memory|OOM|Reserve|CodeRange|thread|SIG(TRAP|ABRT|SEGV)/i.test(
      `${little.output} ${little.status}`,
    );
    check(
      `addresses for ${gigabytes} GiB: ${little.status === 0 ? "done" : (little.error ?? `node ended with ${little.status}`)}`,
      isCoded(little) || isNodes,
      little.output,
    );
    await goesOn("without the limit", run);
  }
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
    const little = await inward([...study, run], { before });
    const outcome = little.status === 0 ? "done" : (little.error ?? String(little.status));
    ended[outcome] = (ended[outcome] ?? 0) + 1;
    // The kernel may choose the command itself; what it had is kept.
    check(
      `${megabytes} MiB of memory: ${outcome}`,
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

const ALL = { disks, readonly, clock, descriptors, memory, devices };
try {
  for (const kind of wanted) {
    console.log(`# ${kind}`);
    await ALL[kind]();
  }
} finally {
  spawnSync("umount", ["-l", disk]);
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = findings.end();
