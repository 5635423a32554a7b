// Perplexity of a text by inward and by llama-perplexity built from the bundle, the same windows, the same files, side by side; and the
// divergence of quantized ones from F32, from memory here and through llama-perplexity's own base file there.
// node bench/quantize-perplexity.mjs [text] [windows] [types]: docs/log.md, 4 windows of 512 and f32,q8_0,q4_0 unless given. Writes nothing but
// files in a temporary folder. Ours is evaluated by llama.cpp, so that both have the same kernels.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startCompareProcess } from "../dist/quantize/compare-logits.js";
import { settleEngine } from "../dist/model/engines/settings.js";
import { resolveModel } from "../dist/model/resolve-model.js";
import { scoreDivergence } from "../dist/quantize/divergence-scores.js";
import { divergenceFile, measureDivergence, readDivergence } from "../dist/quantize/measure-divergence.js";
import { cutWindows, readTextFile } from "../dist/quantize/text-windows.js";
import { makeVariants } from "../dist/quantize/variants.js";
import { DEFAULT_ENGINE } from "../dist/study/load-study.js";
import { buildPeers } from "./engine/build-peers.mjs";

const [text = "docs/log.md", most = "4", types = "q8_0,q4_0"] = process.argv.slice(2);
const CONTEXT = 512;
const path = resolve(text);
const { perplexity, libraries } = buildPeers(["perplexity"]);
const source = await resolveModel("smollm2-135m-instruct", { encoding: "f32" });
const variants = await makeVariants({ source, types: types.split(","), files: {} });
const engine = await settleEngine(
  { ...DEFAULT_ENGINE, device: "cpu", forward: "llama.cpp" },
  variants.map((one) => one.path),
);
const folder = mkdtempSync(join(tmpdir(), "inward-perplexity-"));
const comparison = startCompareProcess(engine);
try {
  await comparison.call("open", [source.path, engine, {}]);
  const { windows } = cutWindows(await comparison.call("fileIds", [readTextFile(path).text]), CONTEXT, Number(most));
  await measureDivergence({
    process: comparison,
    engine,
    variants,
    set: { name: "text", items: windows },
    folder,
    floorItems: 2,
  });
  const places = windows.map((_, at) => ({ task: "text", item: String(at) }));
  const resampling = { confidence: 0.95, bootstrapReplicates: 100, bootstrapSeed: 0 };
  const scores = {};
  for (const { name } of variants.slice(1)) {
    scores[name] = scoreDivergence(
      await readDivergence(divergenceFile(folder, name, "text"), windows),
      windows,
      places,
      resampling,
    );
  }
  const base = join(folder, "source.base");
  const theirs = (file, ...more) => {
    const flags = [
      "-m",
      file,
      "-c",
      CONTEXT,
      "-b",
      CONTEXT,
      "--chunks",
      most,
      "-ctk",
      "f32",
      "-ctv",
      "f32",
      "-fa",
      "off",
      "-t",
      "2",
      ...more,
    ];
    const { stdout, stderr, status } = spawnSync(perplexity, flags.map(String), {
      encoding: "utf8",
      cwd: libraries,
      maxBuffer: 1 << 28,
    });
    if (status !== 0) throw new Error(stderr.slice(-2000));
    return stdout + stderr;
  };
  const final = (said) => /Final estimate: PPL = ([\d.]+) \+\/- ([\d.]+)/.exec(said)?.slice(1) ?? ["-", "-"];
  for (const { name, path: file } of variants) {
    const [own] = [name === "source" ? Object.values(scores)[0].sourcePerplexity : scores[name].perplexity];
    const [value, error] = final(theirs(file, "-f", path));
    const row = {
      name,
      perplexity: own.value.value.toFixed(4),
      theirs: value,
      error: own.llamaError.toFixed(5),
      theirError: error,
    };
    if (name === "source") theirs(file, "-f", path, "--kl-divergence-base", base);
    else {
      const said = theirs(file, "--kl-divergence-base", base, "--kl-divergence");
      row.kl = scores[name].kl.mean.value.toFixed(6);
      row.theirKl = /Mean +KLD: +([-\d.]+)/.exec(said)?.[1];
      row.sameTop = (100 * scores[name].sameTop.value).toFixed(3);
      row.theirSameTop = /Same top p: +([\d.]+)/.exec(said)?.[1];
      row.rms = (100 * scores[name].probability.rootMeanSquare.value).toFixed(3);
      row.theirRms = /RMS Δp +: +([\d.]+)/.exec(said)?.[1];
    }
    process.stdout.write(`${JSON.stringify(row)}\n`);
  }
} finally {
  await comparison.end();
  rmSync(folder, { recursive: true, force: true });
}
