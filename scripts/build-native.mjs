// Builds the trainer (native/) against the llama.cpp that node-llama-cpp ships. Node's own modules only, as in prepare.mjs.
// node scripts/build-native.mjs [--again]: exit code 0 when it is built, 2 when something to build with is missing, 1 when it fails.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The release that native/ is written for and proven with. Another one is another set of headers: look before you raise it. */
const LLAMA_CPP = "v0.5.0";
const ADDON = "inward-native.node";
const WITHOUT_IT = "Everything but training works without it.";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const BUILD = join(ROOT, "native", "build");
const MODULES = join(ROOT, "node_modules");
const LOG = join(BUILD, "build.log");

/** Ends a build with a message for the reader; `missing` is nobody's defect. */
export class NotBuilt extends Error {
  constructor(message, { missing = false } = {}) {
    super(message);
    this.missing = missing;
  }
}

/**
 * Builds when the sources or node-llama-cpp changed since the last build. Never throws.
 * @returns {{ built: true } | { built: false, missing: boolean, message: string }}
 */
export function buildNative({ again = false } = {}) {
  try {
    const stamp = wantedStamp();
    if (!again && existsSync(join(BUILD, ADDON)) && readText(join(BUILD, "stamp.json")) === stamp)
      return { built: true };
    mkdirSync(BUILD, { recursive: true });
    writeFileSync(LOG, "");
    const generator = requireTools();
    const libraries = requireSameRelease();
    process.stderr.write("== building the trainer (native code, a minute or two)\n");
    compile(generator, libraries, extractHeaders());
    writeFileSync(join(BUILD, "stamp.json"), stamp);
    return { built: true };
  } catch (error) {
    const message = `The trainer is not built: ${error.message} ${WITHOUT_IT}`;
    // One made from other sources would be taken for theirs.
    rmSync(join(BUILD, ADDON), { force: true });
    // The log is kept for TRAIN_ADDON, which is met later and elsewhere.
    if (existsSync(BUILD)) appendFileSync(LOG, `${error.message}\n`);
    return { built: false, missing: error instanceof NotBuilt && error.missing, message };
  }
}

/** What the addon was made from, and for what; find-addon.ts reads it. */
function wantedStamp() {
  const native = join(ROOT, "native");
  if (!existsSync(join(native, "CMakeLists.txt"))) {
    throw new NotBuilt("this copy has no native/CMakeLists.txt.", { missing: true });
  }
  const hash = createHash("sha256").update(versionOf("node-addon-api")).update(versionOf("node-api-headers"));
  hash.update(readFileSync(fileURLToPath(import.meta.url)));
  for (const path of filesUnder(native, "")) hash.update(`${path}\0`).update(readFileSync(join(native, path)));
  const facts = {
    llamaCpp: LLAMA_CPP,
    nodeLlamaCpp: versionOf("node-llama-cpp"),
    platform: `${process.platform}-${process.arch}`,
    sources: hash.digest("hex"),
  };
  return `${JSON.stringify(facts, null, 2)}\n`;
}

function filesUnder(root, folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (path === "build") return [];
      return entry.isDirectory() ? filesUnder(root, path) : [path];
    });
}

function versionOf(name) {
  const manifest = readText(join(MODULES, name, "package.json"));
  if (manifest === undefined) throw new NotBuilt(`${name} is not installed: npm install.`, { missing: true });
  return JSON.parse(manifest).version;
}

/** @returns arguments that choose CMake's generator. All that is missing is named at once. */
export function requireTools() {
  const windows = process.platform === "win32";
  const missing = [];
  if (!works("git")) missing.push(["git", "git"]);
  if (!works("cmake")) missing.push(["CMake", "cmake"]);
  // On Windows CMake finds Visual Studio, which is on no PATH.
  const compilers = [process.env.CXX?.split(" ")[0], "c++", "g++", "clang++"].filter(Boolean);
  if (!windows && !compilers.some((name) => works(name))) missing.push(["C++ compiler", "g++"]);
  const ninja = !windows && works("ninja");
  if (!windows && !ninja && !works("make")) missing.push(["make", "make"]);
  if (missing.length > 0) {
    const names = missing.map(([name]) => name).join(", ");
    const remedies = {
      linux: `on Debian: apt install ${missing.map(([, debian]) => debian).join(" ")}`,
      darwin: "xcode-select --install brings a compiler, make and git; CMake comes from its own site or Homebrew",
    };
    const remedy = remedies[process.platform] ?? "install it, with its commands on the PATH";
    throw new NotBuilt(`no ${names} found (${remedy}).`, { missing: true });
  }
  if (windows) return [];
  return ["-G", ninja ? "Ninja" : "Unix Makefiles"];
}

function works(command) {
  return spawnSync(command, ["--version"], { stdio: "ignore", timeout: 20_000 }).status === 0;
}

/** The headers, the libraries and native/ must all be of one release. @returns the folder of the platform's CPU libraries */
export function requireSameRelease() {
  const shipped = JSON.parse(readFileSync(join(MODULES, "node-llama-cpp/llama/llama.cpp.info.json"), "utf8")).tag;
  const name = platformPackage();
  const folder = join(MODULES, "@node-llama-cpp", name, "bins", name);
  const metadata = readText(join(folder, "_nlcBuildMetadata.json"));
  if (metadata === undefined) {
    throw new NotBuilt(`node-llama-cpp's prebuilt llama.cpp for ${name} is not installed.`, { missing: true });
  }
  const installed = JSON.parse(metadata).buildOptions.llamaCpp.release;
  if (shipped !== LLAMA_CPP || installed !== LLAMA_CPP) {
    throw new NotBuilt(
      `it is written for llama.cpp ${LLAMA_CPP}, but node-llama-cpp brings headers of ${shipped} and libraries of ${installed}.`,
    );
  }
  return folder;
}

function platformPackage() {
  const platform = { darwin: "mac", win32: "win" }[process.platform] ?? process.platform;
  const arch = process.arch === "arm" ? "armv7l" : process.arch;
  return `${platform}-${arch}${platform === "mac" && arch === "arm64" ? "-metal" : ""}`;
}

/** Of ggml and of llama.cpp. @returns the folder of ggml's public headers; llama.cpp's lie in include/ beside ggml/ */
function extractHeaders() {
  const target = join(BUILD, "llama.cpp");
  cloneSources(target, ["ggml/include", "include"]);
  return join(target, "ggml", "include");
}

/** node-llama-cpp carries llama.cpp's sources as a git bundle: these files and folders of it, once for each release. */
export function cloneSources(target, paths) {
  const release = `${LLAMA_CPP} ${paths.join(" ")}`;
  if (readText(join(target, "release")) === release) return;
  rmSync(target, { recursive: true, force: true });
  // Git's own variables are set inside a hook and would point it at another repository.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")));
  const bundle = join(MODULES, "node-llama-cpp", "llama", "gitRelease.bundle");
  runLogged("git", ["clone", "--quiet", "--no-checkout", bundle, target], env);
  runLogged("git", ["-C", target, "checkout", "--quiet", "HEAD", "--", ...paths], env);
  rmSync(join(target, ".git"), { recursive: true, force: true });
  writeFileSync(join(target, "release"), release);
}

function compile(generator, libraries, ggmlInclude) {
  const place = join(BUILD, `${process.platform}-${process.arch}`);
  dropForeignCache(place, join(ROOT, "native"), generator[1]);
  const library = { darwin: "libggml-base.dylib", win32: "ggml-base.dll" }[process.platform] ?? "libggml-base.so";
  const definitions = {
    CMAKE_BUILD_TYPE: "Release",
    INWARD_GGML_INCLUDE: ggmlInclude,
    INWARD_GGML_BASE: join(libraries, library),
    INWARD_NODE_API_INCLUDE: join(MODULES, "node-api-headers", "include"),
    INWARD_NODE_ADDON_API: join(MODULES, "node-addon-api"),
    INWARD_LLAMA_CPP: LLAMA_CPP,
  };
  const flags = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`);
  runLogged("cmake", ["-S", join(ROOT, "native"), "-B", place, ...generator, ...flags]);
  runLogged("cmake", ["--build", place, "--config", "Release", "--parallel", "2"]);
  const made = [place, join(place, "Release")].map((folder) => join(folder, ADDON)).find((path) => existsSync(path));
  if (made === undefined) throw new NotBuilt(`CMake ended well, but made no ${ADDON} in ${place}.`);
  // Renamed into place: a process that has the old one loaded keeps it whole.
  const partial = join(BUILD, `${ADDON}.partial-${process.pid}`);
  copyFileSync(made, partial);
  renameSync(partial, join(BUILD, ADDON));
}

/** CMake refuses a build folder of another generator, and one that was moved. */
export function dropForeignCache(place, source, generator) {
  const cache = readText(join(place, "CMakeCache.txt"));
  if (cache === undefined) return;
  const value = (name) => new RegExp(`^${name}:[A-Z]+=(.*)$`, "m").exec(cache)?.[1];
  const home = value("CMAKE_HOME_DIRECTORY");
  const moved = home === undefined || !existsSync(home) || realpathSync(home) !== realpathSync(source);
  if (moved || (generator !== undefined && value("CMAKE_GENERATOR") !== generator)) {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Output goes to the log; a failure shows its end. */
export function runLogged(command, args, env = process.env) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: "utf8",
    env,
    maxBuffer: 1 << 28,
  });
  const output = `${stdout ?? ""}${stderr ?? ""}`;
  appendFileSync(LOG, `$ ${command} ${args.join(" ")}\n${output}`);
  if (status === 0) return;
  const ending = error?.message ?? `exit code ${status ?? signal}`;
  process.stderr.write(`${output.trimEnd().split("\n").slice(-40).join("\n")}\n`);
  throw new NotBuilt(`${command} failed with ${ending}; all of its output is in ${LOG}.`);
}

function readText(path) {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path, "utf8") : undefined;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const result = buildNative({ again: process.argv.includes("--again") });
  if (!result.built) {
    process.stderr.write(`${result.message}\n`);
    process.exitCode = result.missing ? 2 : 1;
  }
}
