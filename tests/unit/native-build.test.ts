/** Building the trainer and finding what it needs, with made-up folders. No compiler is wanted here. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { checkAddon, checkBlasPlugin } from "../../src/cli/doctor.js";
import { engineReleases, findAddon, findBinaries, loadAddon } from "../../src/model/native/addon.js";
import type { DeviceName } from "../../src/model/device.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const made: string[] = [];

function folder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "inward-native-")));
  made.push(path);
  return path;
}

function write(path: string, content: string | Uint8Array = ""): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

afterAll(() => {
  for (const path of made) rmSync(path, { recursive: true, force: true });
});

describe("findBinaries", () => {
  /** A project with node-llama-cpp, whose own packages lie below it and not beside it. */
  function project(...packages: string[]): string {
    const root = folder();
    const engine = join(root, "node_modules", "node-llama-cpp");
    write(join(engine, "package.json"), "{}");
    for (const name of packages) {
      const place = join(engine, "node_modules", "@node-llama-cpp", name);
      write(join(place, "package.json"), "{}");
      if (name.endsWith("-ext")) write(join(place, "bins", name.slice(0, -4), "fallback", "libggml-cuda.so"));
      else write(join(place, "bins", name, "llama-addon.node"));
    }
    return root;
  }

  it.each<[DeviceName, NodeJS.Platform, string, string]>([
    ["cpu", "linux", "x64", "linux-x64"],
    ["cpu", "linux", "arm", "linux-armv7l"],
    ["cuda", "linux", "x64", "linux-x64-cuda"],
    ["vulkan", "win32", "x64", "win-x64-vulkan"],
    ["metal", "darwin", "arm64", "mac-arm64-metal"],
    ["cpu", "darwin", "arm64", "mac-arm64-metal"],
    ["cpu", "darwin", "x64", "mac-x64"],
  ])("%s on %s %s is %s", (device, platform, arch, name) => {
    const root = project(name);
    expect(findBinaries(device, { from: join(root, "study.js"), platform, arch })).toEqual({
      folder: join(root, "node_modules/node-llama-cpp/node_modules/@node-llama-cpp", name, "bins", name),
    });
  });

  it("names the folder of CUDA's fallback where it is installed", () => {
    const root = project("linux-x64-cuda", "linux-x64-cuda-ext");
    const found = findBinaries("cuda", { from: join(root, "study.js"), platform: "linux", arch: "x64" });
    expect(found.fallbackFolder).toMatch(/linux-x64-cuda-ext\/bins\/linux-x64-cuda\/fallback$/);
  });

  it.each<[string, DeviceName, NodeJS.Platform, string, RegExp]>([
    ["it is not installed", "vulkan", "linux", "x64", /@node-llama-cpp\/linux-x64-vulkan is not installed/],
    ["there is none for the system", "metal", "linux", "x64", /Metal for macOS on Apple silicon only/],
    ["Intel's Macs have no Metal package", "metal", "darwin", "x64", /Apple silicon only/],
    ["there is no CUDA for macOS", "cuda", "darwin", "arm64", /no cuda for macOS/],
    ["the system is unknown", "cpu", "freebsd", "x64", /no libraries for freebsd/],
  ])("refuses when %s", (_case, device, platform, arch, text) => {
    const options = { from: join(project("linux-x64"), "study.js"), platform, arch };
    expect(() => findBinaries(device, options)).toThrowError(expect.objectContaining({ code: "TRAIN_DEVICE" }));
    expect(() => findBinaries(device, options)).toThrow(text);
  });

  it("refuses a package without its libraries, and a project without node-llama-cpp", () => {
    const root = project("linux-x64");
    rmSync(join(root, "node_modules/node-llama-cpp/node_modules/@node-llama-cpp/linux-x64/bins"), { recursive: true });
    const options = { from: join(root, "study.js"), platform: "linux", arch: "x64" } as const;
    expect(() => findBinaries("cpu", options)).toThrow(/holds no llama-addon\.node/);
    expect(() => findBinaries("cpu", { ...options, from: join(folder(), "study.js") })).toThrow(/not installed/);
  });

  it("finds the ones that are installed here", () => {
    expect(existsSync(join(findBinaries("cpu").folder, "_nlcBuildMetadata.json"))).toBe(true);
  });
});

describe("findAddon", () => {
  async function build(changes: Readonly<Record<string, string>> = {}): Promise<string> {
    const place = folder();
    write(join(place, "inward-native.node"));
    const stamp = { ...(await engineReleases()), platform: `${process.platform}-${process.arch}`, ...changes };
    write(join(place, "stamp.json"), JSON.stringify(stamp));
    return place;
  }

  it("gives its path and releases", async () => {
    const place = await build();
    const releases = await engineReleases();
    expect(await findAddon(place)).toEqual({ path: join(place, "inward-native.node"), ...releases });
    const found = expect.stringContaining(releases.llamaCpp);
    expect(await checkAddon(place)).toMatchObject([
      { what: "native asking", status: "ok", found },
      { what: "training", status: "ok", found },
    ]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ["another llama.cpp", { llamaCpp: "v0.0.1" }, /built for llama\.cpp v0\.0\.1, but node-llama-cpp brings v/],
    ["another machine", { platform: "plan9-x64" }, /built for plan9-x64, this is /],
  ])("refuses one of %s", async (_case, changes, text) => {
    const place = await build(changes);
    await expect(findAddon(place)).rejects.toMatchObject({ code: "TRAIN_ADDON", message: expect.stringMatching(text) });
    const warning = { status: "warning", remedy: expect.stringContaining("build-native") };
    expect(await checkAddon(place)).toMatchObject([
      { what: "native asking", ...warning, found: expect.stringMatching(text) },
      { what: "training", ...warning },
    ]);
  });

  it("refuses one that does not tell what it was built for", async () => {
    const place = await build();
    write(join(place, "stamp.json"), "{");
    await expect(findAddon(place)).rejects.toThrow(/stamp\.json.* cannot be read/);
  });

  it("says why there is none", async () => {
    const place = folder();
    await expect(findAddon(place)).rejects.toThrow(/^the native addon is not built$/);
    write(join(place, "build.log"), "[1/2] a.cpp\n\na.cpp:1: error: no such thing\nnote\nninja: build stopped\n");
    await expect(findAddon(place)).rejects.toThrow(
      /its last build failed:\n {2}a\.cpp:1: error: no such thing\n {2}ninja: build stopped$/,
    );
  });
});

it("loadAddon gives the loader's own words", async () => {
  const place = folder();
  write(join(place, "inward-native.node"), "no library");
  const stamp = { ...(await engineReleases()), platform: `${process.platform}-${process.arch}` };
  write(join(place, "stamp.json"), JSON.stringify(stamp));
  await expect(loadAddon(join(place, "empty"), place)).rejects.toMatchObject({
    code: "TRAIN_ADDON",
    message: expect.stringMatching(/inward-native\.node cannot be loaded: .*; before that: .*llama-addon\.node/),
  });
});

it("tells the doctor whether the plugin for asking is there", () => {
  const place = folder();
  const remedy = expect.stringContaining("build-blas-plugin");
  expect(checkBlasPlugin(place, "linux")).toMatchObject({ status: "note", remedy });
  expect(checkBlasPlugin(place, "darwin")).not.toHaveProperty("remedy");
  const plugin = write(join(place, "ggml-blas.so"));
  expect(checkBlasPlugin(place)).toMatchObject({ status: "ok", found: expect.stringContaining(plugin) });
});

describe("scripts/build-native.mjs", () => {
  /** A checkout of the script alone, with a project that compiles nothing. */
  function checkout(commands: string): string {
    const root = folder();
    mkdirSync(join(root, "scripts"));
    cpSync(join(ROOT, "scripts", "build-native.mjs"), join(root, "scripts", "build-native.mjs"));
    symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
    write(
      join(root, "native", "CMakeLists.txt"),
      `cmake_minimum_required(VERSION 3.18)\nproject(made NONE)\n${commands}\n`,
    );
    return root;
  }

  function build(root: string, env: NodeJS.ProcessEnv = process.env, ...args: string[]) {
    const script = join(root, "scripts", "build-native.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { env, encoding: "utf8" });
    return { status, stdout, stderr };
  }

  it("says in one line what is missing", async () => {
    const root = checkout("");
    const { status, stdout, stderr } = build(root, { PATH: "" });
    expect(status).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(
      /no git, CMake, C\+\+ compiler, make found \(.*\)\. Everything but training works without it\.$/m,
    );
    await expect(findAddon(join(root, "native", "build"))).rejects.toThrow(/no git, CMake, C\+\+ compiler/);
  });

  it("does not end a preparation", () => {
    const root = checkout("");
    const caller = `import { buildNative } from ${JSON.stringify(join(root, "scripts", "build-native.mjs"))};
      console.log(JSON.stringify(buildNative()));`;
    const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", caller], {
      env: { PATH: "" },
      encoding: "utf8",
    });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ built: false, missing: true });
  });

  it("says what to install when node_modules is empty", () => {
    const root = checkout("");
    rmSync(join(root, "node_modules"));
    expect(build(root)).toMatchObject({ status: 2, stderr: expect.stringMatching(/is not installed: npm install/) });
  });

  const tools = ["git", "cmake", "c++"].every((tool) =>
    (process.env.PATH ?? "").split(delimiter).some((place) => existsSync(join(place, tool))),
  );
  const NAMES = ["GGML_INCLUDE", "GGML_BASE", "NODE_API_INCLUDE", "NODE_ADDON_API", "LLAMA_CPP"];
  const WRITES = `file(WRITE "\${CMAKE_BINARY_DIR}/inward-native.node" "${NAMES.map((name) => `\${INWARD_${name}}`).join("\n")}")`;

  it.skipIf(!tools)("hands CMake what it needs, and builds again only when something changed", async () => {
    const root = checkout(WRITES);
    const place = join(root, "native", "build");
    const addon = join(place, "inward-native.node");
    expect(build(root)).toMatchObject({ status: 0, stdout: "" });
    const [ggml = "", base = "", nodeApi = "", nodeAddon = "", release] = readFileSync(addon, "utf8").split("\n");
    const needed = [join(ggml, "ggml.h"), base, join(nodeApi, "node_api.h"), join(nodeAddon, "napi.h")];
    expect(needed.filter((path) => !existsSync(path))).toEqual([]);
    expect(release).toBe((await engineReleases()).llamaCpp);
    expect(await findAddon(place)).toMatchObject({ path: addon, llamaCpp: release });

    expect(build(root)).toEqual({ status: 0, stdout: "", stderr: "" });
    write(join(root, "native", "core", "a.cpp"), "// new");
    expect(build(root)).toMatchObject({ status: 0, stderr: expect.stringMatching(/^== building the trainer/) });
    expect(build(root)).toMatchObject({ stderr: "" });
  });

  it.skipIf(!tools)("shows the output of a build that fails, and leaves no addon of other sources", async () => {
    const root = checkout(WRITES);
    const place = join(root, "native", "build");
    expect(build(root).status).toBe(0);
    write(
      join(root, "native", "CMakeLists.txt"),
      `cmake_minimum_required(VERSION 3.18)\nmessage(FATAL_ERROR "broken on purpose")\n`,
    );
    expect(build(root)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/broken on purpose[\s\S]*not built: cmake failed/),
    });
    await expect(findAddon(place)).rejects.toThrow(/cmake failed with exit code 1/);
  });
});
