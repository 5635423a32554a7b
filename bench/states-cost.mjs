/**
 * Capturing the residual stream, all layers and all tokens of prompts of about 150 tokens, beside asking the same prompts:
 *   node bench/states-cost.mjs [prompts=1000] [rounds=3] [dtype=f16] [--transformer-lens] [--keep FILE]
 * Both by our own forward pass on SmolLM2-135M as F32, one answer token, every prompt its own words. Rounds alternate; of each contender the least
 * wall and processor seconds of all its processes, model loading included. Memory is the capturing process's peak, with all prompts and with a quarter of them:
 * flat where both are alike.
 * A thousand prompts take some three minutes a round on two quiet cores, and TransformerLens three times as long. Each measurement is shown as it is made;
 * with --keep they are kept in FILE, and the same command again adds its rounds to them: a long comparison in pieces.
 * With --transformer-lens, TransformerLens takes its turn: the same tokens, in batches of 8, the same residuals written. Of it the seconds of its loop count
 * alone, without loading; of ours all of the process, and the loop by the difference between all prompts and a quarter of them.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";
import { peerModelFolder, runPeer, transformerLensFolder } from "./train/peft-environment.mjs";

prepare();
const { values: options, positionals } = parseArgs({
  options: { "transformer-lens": { type: "boolean", default: false }, keep: { type: "string" } },
  allowPositionals: true,
});
const withLens = options["transformer-lens"];
const [count = "1000", rounds = "3", dtype = "f16"] = positionals;
const what = `${count} prompts, ${dtype}`;
const LIBRARY = new URL("../dist/index.js", import.meta.url).href;
const WORDS =
  "river stone cloud ember falcon garden harbor island jacket kettle lantern meadow north orchard pebble quiet".split(
    " ",
  );
const folder = mkdtempSync(join(tmpdir(), "inward-states-cost-"));

/** Every prompt goes its own way from its first word on. */
function promptFile(name, prompts) {
  const path = join(folder, name);
  const text = (at) =>
    Array.from(
      { length: 118 },
      (_, word) => WORDS[(at * 7 + word * (1 + (at % 5)) + Math.floor((at * word) / 3)) % WORDS.length],
    ).join(" ");
  writeFileSync(
    path,
    Array.from({ length: prompts }, (_, at) => `${JSON.stringify({ prompt: `${at} ${text(at)}` })}\n`).join(""),
  );
  return path;
}

const SHARED = `const { askFile, captureStates, parsePrompts } = await import(${JSON.stringify(LIBRARY)});
const { readFileSync } = await import("node:fs");
const [file, out] = process.argv.slice(1);
const prompts = parsePrompts(readFileSync(file), file);
const common = { encoding: "f32", engine: { device: "cpu", threads: 2, forward: "own", cache: false } };
`;
const CONTENDERS = {
  asking: `${SHARED}await askFile(prompts, "smollm2-135m-instruct", { ...common, maxTokens: 1, top: 0, out: out + ".jsonl" });
console.log(JSON.stringify({}));`,
  capturing: `${SHARED}const done = await captureStates(prompts, "smollm2-135m-instruct", {
  ...common, maxTokens: 1, sites: "residual", positions: "all", dtype: ${JSON.stringify(dtype)}, out,
});
console.log(JSON.stringify(done));`,
};

function run(name, file) {
  const out = join(folder, "out");
  const script = join(folder, `${name}.mjs`);
  writeFileSync(script, CONTENDERS[name].replace("process.argv.slice(1)", "process.argv.slice(2)"));
  const command = 'TIMEFORMAT="%R %U %S"; time "$@"';
  const { status, stdout, stderr } = spawnSync("bash", ["-c", command, "bash", process.execPath, script, file, out], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
  const ids = withLens && name === "capturing" ? tokenIds(out) : undefined;
  rmSync(out, { recursive: true, force: true });
  rmSync(`${out}.jsonl`, { force: true });
  rmSync(`${out}.jsonl.manifest.json`, { force: true });
  const [wall, user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  return { wall, cpu: user + system, ids, ...JSON.parse(stdout.trim().split("\n").at(-1)) };
}

/** [prompts][tokens] as ours read them. */
function tokenIds(out) {
  const prompts = new Map();
  for (const line of readFileSync(join(out, "index.jsonl"), "utf8").trim().split("\n")) {
    const { prompt, position, tokenId } = JSON.parse(line);
    if (!prompts.has(prompt)) prompts.set(prompt, []);
    prompts.get(prompt)[position] = tokenId;
  }
  return [...prompts.values()];
}

async function runLens(ids) {
  const { findModel } = await import("../dist/run/open-model.js");
  const { file } = await findModel("smollm2-135m-instruct");
  const out = join(folder, "lens");
  const request = { modelFolder: peerModelFolder(file), ids, out, batch: 8, dtype };
  const script = fileURLToPath(new URL("states_transformer_lens.py", import.meta.url));
  const found = runPeer(script, request, join(folder, "lens.json"), { threads: 2, path: transformerLensFolder() });
  rmSync(out, { recursive: true });
  return found;
}

/** What was measured so far: of each contender its rounds. */
const found = { what, asking: [], capturing: [], quarter: [], lens: [] };
if (options.keep !== undefined && existsSync(options.keep)) {
  Object.assign(found, JSON.parse(readFileSync(options.keep, "utf8")));
  if (found.what !== what) throw new Error(`${options.keep} is of ${found.what}, not of ${what}`);
}

function note(name, measured) {
  found[name].push(measured);
  if (options.keep !== undefined) writeFileSync(options.keep, JSON.stringify(found));
  const { wall, seconds = wall, cpu } = measured;
  process.stdout.write(
    `  ${name}, round ${found[name].length}: ${seconds.toFixed(1)} s${cpu === undefined ? "" : `, processor ${cpu.toFixed(1)} s`}\n`,
  );
}

try {
  const all = promptFile("all.jsonl", Number(count));
  const measure = (name, file) => {
    const { ids, ...measured } = run(name, file);
    return { ids, measured };
  };
  const quarterFile = promptFile("quarter.jsonl", Math.ceil(Number(count) / 4));
  for (let round = 0; round < Number(rounds); round++) {
    note("quarter", measure("capturing", quarterFile).measured);
    note("asking", measure("asking", all).measured);
    const { ids, measured } = measure("capturing", all);
    note("capturing", measured);
    if (withLens) note("lens", await runLens(ids));
  }
  const least = (name, what) => Math.min(...found[name].map((one) => one[what]));
  for (const name of ["asking", "capturing"]) {
    process.stdout.write(
      `${name.padEnd(10)} wall ${least(name, "wall").toFixed(1)} s, processor ${least(name, "cpu").toFixed(1)} s (least of ${found[name].length})\n`,
    );
  }
  const ratios = ["wall", "cpu"].map((what) => (least("capturing", what) / least("asking", what)).toFixed(2));
  const { rows, bytes, files, peakBytes } = found.capturing[0];
  const [quarter] = found.quarter;
  process.stdout.write(`capturing / asking: ${ratios[0]} by wall, ${ratios[1]} by processor time\n`);
  process.stdout.write(`${rows} rows, ${(bytes / 1e9).toFixed(2)} GB in ${files} files; `);
  process.stdout.write(
    `peak ${(peakBytes / 1e6).toFixed(0)} MB, of a quarter of the prompts ${(quarter.peakBytes / 1e6).toFixed(0)} MB\n`,
  );
  const { lens } = found;
  if (lens.length > 0) {
    const seconds = least("lens", "seconds");
    const peak = least("lens", "peakBytes");
    if (lens[0].tokens !== rows) throw new Error(`${lens[0].tokens} tokens there, ${rows} rows here`);
    // What both the whole and the quarter take besides, opening the model above all, falls out.
    const perToken = (least("capturing", "wall") - least("quarter", "wall")) / (rows - quarter.rows);
    process.stdout.write(
      `TransformerLens: loop ${seconds.toFixed(1)} s, peak ${(peak / 1e6).toFixed(0)} MB. Tokens/s of the loops: ours ` +
        `${(1 / perToken).toFixed(0)}, its ${(rows / seconds).toFixed(0)}: ${(seconds / rows / perToken).toFixed(2)} times as fast; our whole process ` +
        `${(seconds / least("capturing", "wall")).toFixed(2)} times as its loop; ${(peakBytes / peak).toFixed(2)} of its memory\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
