// The peer's Python environment, made once per list of packages in the user's cache folder, and its copy of a model.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const REQUIREMENTS = fileURLToPath(new URL("requirements.txt", import.meta.url));
const CONVERT = fileURLToPath(new URL("gguf_to_transformers.py", import.meta.url));

function cacheFolder() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  return join(cache, "inward", "peft");
}

/** @returns path of a Python that has the peer's packages; makes the environment when it is missing or its list has changed */
export function peftPython() {
  const folder = join(cacheFolder(), "venv");
  const python = process.platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");
  const stamp = join(folder, "requirements.sha256");
  const wanted = sha256(readFileSync(REQUIREMENTS));
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return python;

  process.stderr.write(`== making the peer's Python environment in ${folder} (about 4 GB)\n`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(cacheFolder(), { recursive: true });
  must("python3", ["-m", "venv", folder]);
  const pip = ["-m", "pip", "install", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--quiet"];
  must(python, [...pip, "--requirement", REQUIREMENTS]);
  must(python, ["-c", "import torch, transformers, peft; assert (torch.ones(2, 2) @ torch.ones(2, 2)).sum() == 8"]);
  writeFileSync(stamp, wanted);
  return python;
}

/** @returns the folder of TransformerLens and pandas, to stand on PYTHONPATH of the peer's Python; made when it is missing or its list has changed */
export function transformerLensFolder() {
  return packagesFolder("transformer-lens", "TransformerLens", "0.5 GB");
}

/** The same of nnsight. */
export function nnsightFolder() {
  return packagesFolder("nnsight", "nnsight", "0.1 GB");
}

function packagesFolder(name, called, size) {
  const python = peftPython();
  const list = fileURLToPath(new URL(`requirements-${name}.txt`, import.meta.url));
  const folder = join(cacheFolder(), name);
  const stamp = join(folder, "requirements.sha256");
  const wanted = sha256(readFileSync(list));
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return folder;
  process.stderr.write(`== installing ${called} in ${folder} (about ${size})\n`);
  rmSync(folder, { recursive: true, force: true });
  const pip = ["-m", "pip", "install", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--quiet"];
  must(python, [...pip, "--target", folder, "--requirement", list]);
  writeFileSync(stamp, wanted);
  return folder;
}

/**
 * @param file a ModelFile: a GGUF of any encoding. As shipped, transformers' own reader decodes the weights, so that a comparison with
 * our F32 copy of it holds our decoding too
 * @returns folder of the model as transformers reads it, F32; made on first use
 */
export function peerModelFolder(file) {
  const folder = join(cacheFolder(), "models", file.sha256);
  if (existsSync(folder)) return folder;
  process.stderr.write(`== converting ${file.path} for the peer\n`);
  const half = `${folder}.half`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true });
  must(peftPython(), [CONVERT, file.path, half]);
  renameSync(half, folder);
  return folder;
}

/**
 * Runs one of the peer's scripts on a request written to `requestPath`.
 * @param path a folder of further packages
 * @returns the JSON that it printed last
 */
export function runPeer(script, request, requestPath, { threads, path }) {
  writeFileSync(requestPath, JSON.stringify({ ...request, threads }));
  const result = spawnSync(peftPython(), [script, requestPath], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
    env: {
      ...process.env,
      HF_HUB_OFFLINE: "1",
      CUDA_VISIBLE_DEVICES: "",
      ...(path === undefined ? {} : { PYTHONPATH: path }),
      // Its progress bar and a warning about itself say nothing here.
      TQDM_DISABLE: "1",
      PYTHONWARNINGS: "ignore::FutureWarning",
      OMP_NUM_THREADS: String(threads),
      MKL_NUM_THREADS: String(threads),
    },
  });
  if (result.status !== 0) throw new Error(`${script} ended with ${result.signal ?? result.status}.`);
  return JSON.parse(result.stdout.trim().split("\n").at(-1));
}

function must(command, args) {
  const env = { ...process.env, HF_HUB_OFFLINE: "1", TQDM_DISABLE: "1" };
  const result = spawnSync(command, args, { stdio: ["ignore", 2, 2], env });
  if (result.error) throw new Error(`${command} cannot be started: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${command} ${args[1]} ended with ${result.signal ?? result.status}.`);
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
