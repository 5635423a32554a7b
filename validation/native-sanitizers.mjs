// The native tests with the addon built under sanitizers: node validation/native-sanitizers.mjs [--sanitize address,undefined | thread] [tests]
// In a copy of this checkout, with gcc's own libraries loaded before everything else; leaks are not looked for, since node ends without
// freeing, and not a byte of node, ggml or llama.cpp is instrumented: what is seen is what our code does with memory, numbers and threads.
// --keep leaves the copy and prints its folder, --built <folder> takes it again: most of the time is the compiler's.
// Exit code 4 where a sanitizer said something or a test failed; 0 with a line where it cannot run here.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Seconds of one core each, under address and undefined, on two cores; longer ones are models of real size. */
const USUAL = [
  "engine-bad-input",
  "own-forward",
  "engine-prefixes",
  "engine-agrees",
  "engine-keeps-prompt",
  "engine-refusals",
  "refusals",
]
  .concat([
    "gradients",
    "matrix-products",
    "training-proofs",
    "forward",
    "judge",
    "option-scores",
    "states",
    "divergence",
    "requantize",
  ])
  .concat(["encoded-weights", "separate-sequences", "distribution", "memory"])
  .map((name) => `tests/native/${name}.test.ts`);

const { values, positionals } = parseArgs({
  options: {
    sanitize: { type: "string", default: "address,undefined" },
    keep: { type: "boolean", default: false },
    built: { type: "string" },
  },
  allowPositionals: true,
});
if (!["address,undefined", "thread"].includes(values.sanitize))
  throw new Error("--sanitize address,undefined or thread");

function skip(why) {
  console.log(`not run here: ${why}`);
  process.exit(0);
}

if (process.platform !== "linux") skip("the libraries are loaded before others by LD_PRELOAD, which is Linux's");
const libraries = [...(values.sanitize === "thread" ? ["tsan"] : ["asan", "ubsan"]), "stdc++"].map((name) => {
  const path = spawnSync("gcc", [`-print-file-name=lib${name}.so`], { encoding: "utf8" }).stdout?.trim() ?? "";
  return existsSync(path) ? path : skip(`gcc has no lib${name}`);
});

const folder = values.built ?? mkdtempSync(join(tmpdir(), "inward-sanitized-"));
const copy = join(folder, "checkout");
if (values.built === undefined) build();

function build() {
  const listed = spawnSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: ROOT, encoding: "utf8" }).stdout;
  for (const path of listed
    .trim()
    .split("\n")
    .filter((one) => one !== "node_modules")) {
    if (!existsSync(join(ROOT, path))) continue;
    mkdirSync(join(copy, dirname(path)), { recursive: true });
    cpSync(join(ROOT, path), join(copy, path));
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  if (existsSync(join(ROOT, "dist"))) cpSync(join(ROOT, "dist"), join(copy, "dist"), { recursive: true });

  const flags = `-fsanitize=${values.sanitize} -fno-omit-frame-pointer -g1`;
  const built = spawnSync(process.execPath, ["scripts/build-native.mjs", "--again"], {
    cwd: copy,
    stdio: "inherit",
    env: { ...process.env, CXX: "g++", CXXFLAGS: flags, LDFLAGS: flags },
  });
  if (built.status !== 0) throw new Error("it was not built");
}

for (const name of readdirSync(folder)) if (name.startsWith("said")) rmSync(join(folder, name));
const logs = join(folder, "said");
const options = { log_path: logs, exitcode: 66, halt_on_error: 0, handle_segv: 0, allow_user_segv_handler: 1 };
const said = (more) =>
  Object.entries({ ...options, ...more })
    .map(([name, value]) => `${name}=${value}`)
    .join(":");
const command = [
  process.execPath,
  "node_modules/vitest/vitest.mjs",
  "run",
  "--testTimeout=1200000",
  "--hookTimeout=1200000",
  "--maxWorkers=1",
];
// Where node's addresses are random, the thread sanitizer finds its own places taken.
const [first, ...rest] = ["setarch", "-R", ...command, ...(positionals.length > 0 ? positionals : USUAL)];
const { status } = spawnSync(first, rest, {
  cwd: copy,
  stdio: "inherit",
  env: {
    ...process.env,
    LD_PRELOAD: libraries.join(":"),
    INWARD_SANITIZED: values.sanitize,
    ASAN_OPTIONS: said({ detect_leaks: 0, alloc_dealloc_mismatch: 0 }),
    UBSAN_OPTIONS: said({ print_stacktrace: 1 }),
    TSAN_OPTIONS: said({ report_bugs: 1, ignore_noninstrumented_modules: 1, history_size: 7 }),
  },
});
const reports = readdirSync(folder)
  .filter((name) => name.startsWith("said"))
  .map((name) => readFileSync(join(folder, name), "utf8"));
/** Where it happened: a file that was cut off under llama.cpp's own mapping of it is a test, and ends in llama.cpp. */
const place = (text) => /^.*(?:runtime error:.*|#0 .*)$/m.exec(text)?.[0] ?? text.split("\n", 2).join(" ");
const own = reports.filter((text) => /native\/(core|binding)|inward-native/.test(place(text)));
console.log(
  `${reports.length} processes with something said, ${own.length} of them in our code; tests ended with ${status}`,
);
for (const text of reports.filter((one) => !own.includes(one))) console.log(`not ours: ${place(text).trim()}`);
for (const text of own.slice(0, 5)) console.log(text.slice(0, 4000));
if (values.built !== undefined || values.keep) console.log(folder);
else rmSync(folder, { recursive: true, force: true });
process.exitCode = status === 0 && own.length === 0 ? 0 : 4;
