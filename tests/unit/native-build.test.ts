/** Building the trainer and finding what it needs, with made-up folders. No compiler is wanted here. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
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
import { checkAddon, checkBlas, checkBlasPlugin } from "../../src/cli/doctor.js";
import { blasFolder, fetchBlas, findBlas } from "../../src/model/native/blas-library.js";
import { engineReleases, findAddon, findBinaries, loadAddon } from "../../src/model/native/addon.js";
import type { DeviceName } from "../../src/model/device.js";
import { zip } from "../helpers/made-zip.js";

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

describe("findBlas", () => {
  const LIBRARY = "\x7fELF\0cblas_sgemm\0";
  const find = (systemFolders: string[], env: NodeJS.ProcessEnv = {}) =>
    findBlas({ env: { XDG_CACHE_HOME: folder(), ...env }, platform: "linux", systemFolders });

  it("prefers OpenBLAS to MKL, wherever they stand", () => {
    const [one, other] = [folder(), folder()];
    write(join(one, "libmkl_rt.so.2"), LIBRARY);
    const path = write(join(other, "libopenblas.so.0"), LIBRARY);
    expect(find([one, other])).toEqual({ path, what: "libopenblas.so.0 of the system" });
    expect(find([one])).toMatchObject({ what: "libmkl_rt.so.2 of the system" });
  });

  it("takes libblas only when a fast one stands behind it", () => {
    const place = folder();
    symlinkSync(write(join(place, "reference", "libblas.so.3.11.0"), LIBRARY), join(place, "libblas.so.3"));
    expect(find([place])).toMatchObject({ reason: expect.stringContaining("is the reference BLAS") });
    const other = folder();
    symlinkSync(write(join(other, "openblas-pthread", "libblas.so.3"), LIBRARY), join(other, "libblas.so.3"));
    expect(find([place, other])).toMatchObject({ path: join(other, "libblas.so.3") });
  });

  it("passes over one with 64-bit integers", () => {
    const place = folder();
    write(join(place, "libopenblas.so.0"), "\x7fELF\0cblas_sgemm64_\0");
    expect(find([place])).toMatchObject({ reason: expect.stringContaining("exports no cblas_sgemm") });
    expect(find([folder()])).toEqual({ reason: "no OpenBLAS or MKL among the system's libraries" });
  });

  it("takes what INWARD_BLAS names, or nothing", () => {
    const place = folder();
    const system = write(join(place, "libopenblas.so.0"), LIBRARY);
    const own = write(join(place, "own.so"), "\x7fELF\0scipy_cblas_sgemm\0");
    expect(find([place], { INWARD_BLAS: own })).toEqual({ path: own, what: `${own} (INWARD_BLAS)` });
    expect(find([place], { INWARD_BLAS: "none" })).toEqual({ reason: "INWARD_BLAS is none" });
    expect(find([place], { INWARD_BLAS: `${system}.not` })).toMatchObject({
      reason: expect.stringMatching(/not there$/),
    });
    const other = write(join(place, "other.so"), "\x7fELF");
    expect(find([place], { INWARD_BLAS: other })).toMatchObject({ reason: expect.stringMatching(/no cblas_sgemm$/) });
  });

  it("tells the doctor, with the way to one", () => {
    const without = checkBlas({ env: { INWARD_BLAS: "none" } });
    expect(without).toMatchObject({ status: "note", remedy: "Unset INWARD_BLAS to use another." });
    const none = checkBlas({ env: { XDG_CACHE_HOME: folder() }, platform: "linux", systemFolders: [] });
    expect(none.remedy).toBe("Run: npx inward blas pull");
  });

  it("and to the plugin for asking, which is another thing", () => {
    const place = folder();
    const remedy = expect.stringContaining("build-blas-plugin");
    expect(checkBlasPlugin(place, "linux")).toMatchObject({ status: "note", remedy });
    expect(checkBlasPlugin(place, "darwin")).not.toHaveProperty("remedy");
    const plugin = write(join(place, "ggml-blas.so"));
    expect(checkBlasPlugin(place)).toMatchObject({ status: "ok", found: expect.stringContaining(plugin) });
  });
});

describe("fetchBlas", () => {
  const library = {
    name: "scipy_openblas32/lib/libscipy_openblas.so",
    content: Buffer.from("\x7fELF\0scipy_cblas_sgemm\0"),
  };
  const licence = { name: "scipy_openblas32-0.3.dist-info/licenses/LICENSE.txt", content: Buffer.from("BSD") };

  /** An environment whose pip is a script that brings this wheel. */
  function withPip(wheel?: Buffer): NodeJS.ProcessEnv {
    const place = folder();
    if (wheel) write(join(place, "made.whl"), wheel);
    const pip = `#!/bin/sh
if [ "$1" = --version ]; then echo "pip 1.0 from ${place} (python 3.0)"; exit 0; fi
while [ "$1" != -d ]; do shift; done
cp "${join(place, "made.whl")}" "$2/" || { echo "ERROR: No matching distribution found" >&2; exit 1; }
`;
    chmodSync(write(join(place, "bin", "pip3"), pip), 0o755);
    const tools = ["sh", "cp", "echo"]
      .flatMap((tool) => ["/bin", "/usr/bin"].map((at) => join(at, tool)))
      .filter((path) => existsSync(path));
    for (const tool of tools) {
      const at = join(place, "bin", tool.split("/").at(-1) as string);
      if (!existsSync(at)) symlinkSync(tool, at);
    }
    return { PATH: join(place, "bin"), XDG_CACHE_HOME: join(place, "cache") };
  }

  it("keeps library, licence and checksum; findBlas takes it before the system's", async () => {
    const env = withPip(zip([licence, library]));
    const path = join(blasFolder(env), "libscipy_openblas.so");
    expect(await fetchBlas({ env, platform: "linux" })).toMatchObject({
      path,
      record: { bytes: library.content.length },
    });
    expect(readFileSync(path).equals(library.content)).toBe(true);
    expect(readFileSync(join(blasFolder(env), "LICENSE.txt"), "utf8")).toBe("BSD");
    expect(findBlas({ env, platform: "linux" })).toEqual({ path, what: "scipy-openblas32 0.3.34.481.3" });
    // What is there is not fetched again.
    expect(await fetchBlas({ env, platform: "linux", offline: true })).toMatchObject({ path });
  });

  it("does not take a library that was cut off", async () => {
    const env = withPip(zip([licence, library]));
    await fetchBlas({ env, platform: "linux" });
    write(join(blasFolder(env), "libscipy_openblas.so"), "\x7fELF");
    expect(findBlas({ env, platform: "linux", systemFolders: [] })).toHaveProperty("reason");
    expect(await fetchBlas({ env, platform: "linux" })).toHaveProperty("path");
  });

  it.each<[string, () => Parameters<typeof fetchBlas>[0], RegExp]>([
    ["offline", () => ({ env: { ...withPip(), HF_HUB_OFFLINE: "1" } }), /^not tried: offline/],
    ["without pip", () => ({ env: { PATH: folder(), XDG_CACHE_HOME: folder() } }), /pip is not installed/],
    ["when the index lacks it", () => ({ env: withPip() }), /scipy-openblas32==0\.3\.34\.481\.3: No matching/],
    ["when the wheel lacks it", () => ({ env: withPip(zip([licence])) }), /holds no library/],
    ["when it has no licence", () => ({ env: withPip(zip([library])) }), /holds no licence/],
    ["on macOS, which has its own", () => ({ env: withPip(), platform: "darwin" }), /Accelerate/],
  ])("gives a reason %s", async (_case, options, text) => {
    expect(await fetchBlas({ platform: "linux", ...options() })).toEqual({ reason: expect.stringMatching(text) });
  });
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
