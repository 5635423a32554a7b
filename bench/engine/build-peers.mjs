// Builds the peers written in C and C++: plain-loop.cpp, and llama-batched-bench out of node-llama-cpp's source bundle. Both run on the
// very libraries that node-llama-cpp ships, so that they have the same kernels as the engine. Seconds; kept in native/build/peers.
// node bench/engine/build-peers.mjs prints where they are.
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  BUILD,
  cloneSources,
  NotBuilt,
  requireSameRelease,
  requireTools,
  runLogged,
} from "../../scripts/build-native.mjs";

const PLACE = join(BUILD, "peers");
const SOURCES = join(PLACE, "llama.cpp");
const PLAIN_LOOP = fileURLToPath(new URL("plain-loop.cpp", import.meta.url));
/** Not the kernels: ggml picks those for the processor when it starts. */
const LINKED = /^lib(llama|llama-common|ggml|ggml-base)(\.v[\d.]+)?\.so$/;
const BATCHED_BENCH = join(SOURCES, "tools", "batched-bench");

/** @returns paths of both, and the folder of the libraries. @throws NotBuilt with what is missing */
export function buildPeers() {
  if (process.platform !== "linux") throw new NotBuilt("the peers are built on Linux only.", { missing: true });
  mkdirSync(PLACE, { recursive: true });
  requireTools();
  const libraries = requireSameRelease();
  cloneSources(SOURCES, ["ggml/include", "include", "common", "tools/batched-bench"]);
  const peers = {
    plainLoop: { program: join(PLACE, "plain-loop"), sources: [PLAIN_LOOP] },
    batchedBench: {
      program: join(PLACE, "llama-batched-bench"),
      sources: ["batched-bench.cpp", "main.cpp"].map((name) => join(BATCHED_BENCH, name)),
    },
  };
  for (const { program, sources } of Object.values(peers)) compile(program, sources, libraries);
  return { plainLoop: peers.plainLoop.program, batchedBench: peers.batchedBench.program, libraries };
}

function compile(program, sources, libraries) {
  const includes = ["ggml/include", "include", "common"].map((folder) => `-I${join(SOURCES, folder)}`);
  const linked = readdirSync(libraries).filter((name) => LINKED.test(name));
  const [compiler, ...flags] = (process.env.CXX ?? "c++").split(" ");
  const command = [
    ...flags,
    ...["-O3", "-std=c++17", ...includes, ...sources, "-o", program],
    ...linked.map((name) => join(libraries, name)),
    // Found for the libraries' own needs as well, wherever the program is started.
    ...[`-Wl,-rpath,${libraries}`, "-Wl,--disable-new-dtags", "-lpthread"],
  ];
  const stamp = JSON.stringify([compiler, command, ...sources.map((path) => statSync(path).mtimeMs)]);
  const stampPath = `${program}.stamp`;
  if (existsSync(program) && existsSync(stampPath) && readFileSync(stampPath, "utf8") === stamp) return;
  runLogged(compiler, command);
  writeFileSync(stampPath, stamp);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${JSON.stringify(buildPeers(), null, 2)}\n`);
}
