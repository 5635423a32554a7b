// Makes a checkout ready to run: dependencies installed, sources built, `npx inward` linked. Node's own modules only, since nothing else is there yet.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildNative } from "./build-native.mjs";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
const OLDEST_NODE = [20, 19];

/** @param {() => void} [onceBuilt] called when the command runs, before the native code is built: to begin what can go on beside it */
export function prepare(onceBuilt = () => {}) {
  requireNode();
  installIfNeeded();
  buildIfNeeded();
  linkCommand();
  onceBuilt();
  const trainer = buildNative();
  // Asking and scoring need no native code, so nothing ends here.
  if (!trainer.built) process.stderr.write(`${trainer.message}\n`);
}

/** Runs a command in the checkout with its output shown; ends this process with its exit code when it fails. */
export function run(title, command, args, env = {}) {
  process.stderr.write(`== ${title}\n`);
  const result = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } });
  if (result.error) fail(`${command} cannot be started: ${result.error.message}`);
  if (result.status !== 0) process.exit(result.status ?? 130);
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [wantedMajor, wantedMinor] = OLDEST_NODE;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    fail(`inward needs Node ${OLDEST_NODE.join(".")} or newer; this is ${process.versions.node}.`);
  }
}

function installIfNeeded() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const direct = Object.keys({ ...packages[""].dependencies, ...packages[""].devDependencies });
  const missing = direct.filter((name) => installedVersion(name) !== packages[`node_modules/${name}`].version);
  if (missing.length === 0) return;
  // Not `npm ci`: a registry that lacks other platforms' optional packages leaves them out of the lock, and ci refuses that.
  run(
    `installing dependencies (${missing.length} of ${direct.length} missing)`,
    npmCommand(),
    ["install", "--no-save", "--no-audit", "--no-fund"],
    {
      // Nothing but the registry: both packages carry what is needed, and would otherwise look for more elsewhere.
      NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true",
      ONNXRUNTIME_NODE_INSTALL: "skip",
      // npm would call this script again when it has installed.
      INWARD_PREPARING: "1",
    },
  );
}

function installedVersion(name) {
  try {
    return JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")).version;
  } catch {
    return undefined;
  }
}

function buildIfNeeded() {
  const stamp = join(ROOT, "dist", ".built");
  const made = ["src", "page", "tsconfig.json", "tsconfig.build.json", "package-lock.json"];
  const newest = Math.max(...made.map(newestChange));
  if (existsSync(stamp) && Number(readFileSync(stamp, "utf8")) === newest) return;
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  // Types are what `npm test` checks; without it this takes half of the time.
  run("building", process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noCheck"]);
  // The viewer's page, from sources that the step above does not read: a second, with what vitest brings.
  run("building the page", process.execPath, [
    "node_modules/vite/bin/vite.js",
    ...["build", "page", "--config", "page/vite.config.mjs"],
  ]);
  writeFileSync(stamp, String(newest));
}

/**
 * `npx inward` in the checkout runs what was built. npm before 11 looks for a command in node_modules/.bin, where npm links
 * those of dependencies but not a package's own; later ones make a link of their own in npm's cache. On Windows a command is a
 * .cmd file that calls node.
 */
function linkCommand() {
  const folder = join(ROOT, "node_modules", ".bin");
  const target = join(ROOT, "dist", "cli", "main.js");
  mkdirSync(folder, { recursive: true });
  if (process.platform === "win32") {
    writeFileSync(join(folder, "inward.cmd"), '@ECHO off\r\nnode "%~dp0\\..\\..\\dist\\cli\\main.js" %*\r\n');
    return;
  }
  chmodSync(target, 0o755);
  const link = join(folder, "inward");
  rmSync(link, { force: true });
  symlinkSync(join("..", "..", "dist", "cli", "main.js"), link);
}

function newestChange(path) {
  const full = join(ROOT, path);
  const stat = statSync(full);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(full).map((name) => newestChange(join(path, name))));
}

function npmCommand() {
  return process.platform === "win32" ? "npm.cmd" : "npm";
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

// The set-up alone: node scripts/prepare.mjs, or npm install, which calls it.
if (process.argv[1] === fileURLToPath(import.meta.url) && !process.env.INWARD_PREPARING) prepare();
