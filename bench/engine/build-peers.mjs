// Builds the peers written in C and C++: plain-loop.cpp, and out of node-llama-cpp's source bundle llama-batched-bench, llama-quantize,
// llama-perplexity and llama-bench. All run on the very libraries that node-llama-cpp ships, so that they have the same kernels as the
// engine. A minute; kept in native/build/peers.
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
/** Programs of llama.cpp, by the folder of their sources: each has a file of that name and a main.cpp. */
const TOOLS = { batchedBench: "batched-bench", quantize: "quantize", perplexity: "perplexity", bench: "llama-bench" };

/**
 * @param wanted which of plainLoop, batchedBench, quantize, perplexity and bench; all unless given
 * @returns their paths, and the folder of the libraries. @throws NotBuilt with what is missing
 */
export function buildPeers(wanted = ["plainLoop", ...Object.keys(TOOLS)]) {
  if (process.platform !== "linux") throw new NotBuilt("the peers are built on Linux only.", { missing: true });
  mkdirSync(PLACE, { recursive: true });
  requireTools();
  const libraries = requireSameRelease();
  cloneSources(SOURCES, ["ggml/include", "include", "common", ...Object.values(TOOLS).map((tool) => `tools/${tool}`)]);
  const peers = {};
  for (const name of wanted) {
    const tool = TOOLS[name];
    const program = join(PLACE, name === "plainLoop" ? "plain-loop" : tool.replace(/^(?!llama-)/, "llama-"));
    const sources =
      name === "plainLoop"
        ? [PLAIN_LOOP]
        : [`${tool}.cpp`, "main.cpp"].map((file) => join(SOURCES, "tools", tool, file));
    compile(program, sources, libraries);
    peers[name] = program;
  }
  return { ...peers, libraries };
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
