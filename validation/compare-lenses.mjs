// Holds what inward reads through lenses of files against what tuned-lens and TransformerLens say themselves, through files that they wrote, at every
// layer, over the whole vocabulary, at the last token of prompts of the built-in tasks.
// node validation/compare-lenses.mjs [--model smollm2-135m-instruct] [--prompts 4] [--threads 2] [--tuned-lens FOLDER]
// FOLDER: where `pip install --no-deps --target FOLDER tuned-lens==0.2.0` put it. Exit code 4 where ln P is apart by more than 0.0005 nats.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder, runPeer, transformerLensFolder } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    prompts: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
    "tuned-lens": { type: "string" },
  },
});
if (options["tuned-lens"] === undefined) throw new Error("--tuned-lens FOLDER: where tuned-lens 0.2.0 is installed.");
/** States of two forward passes in single precision are apart by 2e-5 of their greatest number; logits are some tens, so that half of it is left for the sums. */
const MOST_NATS = 5e-4;
const VERIFICATION_MISMATCH = 4;

prepare();
const { builtInPrompts } = await import("./built-in-prompts.mjs");
const { captureStates } = await import("../dist/run/states-file.js");
const { findModel } = await import("../dist/run/open-model.js");
const { readSafetensors } = await import("../dist/finetune/adapter/safetensors.js");
const { LensFile } = await import("../dist/probe/lens-file.js");
const { affineLens } = await import("../dist/probe/lens-tuned.js");
const { Unembedding } = await import("../dist/probe/lens-readings.js");

const prompts = await builtInPrompts(Number(options.prompts));
const work = mkdtempSync(join(tmpdir(), "inward-lenses-"));
try {
  const engine = { device: "cpu", threads: Number(options.threads), forward: "own", sequences: 1 };
  const states = join(work, "states");
  await captureStates(prompts, options.model, {
    encoding: "f32",
    engine,
    sites: "residual",
    positions: "prompt",
    out: states,
  });
  const index = readFileSync(join(states, "index.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const own = prompts.map(({ id }) => index.filter(({ prompt }) => prompt === id));
  const { file } = await findModel(options.model, { encoding: "f32" });
  mkdirSync(join(work, "peer"));
  const request = {
    modelFolder: peerModelFolder(file),
    ids: own.map((rows) => rows.map(({ tokenId }) => tokenId)),
    out: join(work, "peer"),
  };
  const { layers, width } = runPeer(
    fileURLToPath(new URL("lenses_reference.py", import.meta.url)),
    request,
    join(work, "request.json"),
    {
      threads: Number(options.threads),
      path: [transformerLensFolder(), options["tuned-lens"]].join(delimiter),
    },
  );
  const readings = await readSafetensors(join(work, "peer/readings.safetensors"));
  const unembedding = await Unembedding.open(file.path);
  const tensors = new Map();
  for (const { file: shard } of index)
    if (!tensors.has(shard)) tensors.set(shard, await readSafetensors(join(states, shard)));
  /** [prompts × width] what a layer begins with, at the last token. */
  const border = (layer) => {
    const site = layer === 0 ? "residual_before.0" : `residual_after.${layer - 1}`;
    const rows = own.map((all) => {
      const { file: shard, row } = all.at(-1);
      return [
        ...tensors
          .get(shard)
          .get(site)
          .values.subarray(row * width, (row + 1) * width),
      ];
    });
    return { values: Float32Array.from(rows.flat()), width };
  };
  for (const [name, path, from] of [
    ["tuned", "peer/tuned", 0],
    ["jacobian", "peer/jacobian.pt", 1],
  ]) {
    const lens = await LensFile.open(join(work, path));
    const said = readings.get(name);
    let [most, other, at] = [0, 0, ""];
    for (const layer of lens.facts.layers) {
      const through = affineLens(await lens.map(layer)).apply(border(layer + from));
      for (const [prompt, logits] of (await unembedding.logits(unembedding.normed(through))).entries()) {
        const top = logits.reduce((greatest, one) => Math.max(greatest, one), -Infinity);
        const total = top + Math.log(logits.reduce((sum, one) => sum + Math.exp(one - top), 0));
        const vocabulary = logits.length;
        const begin = (prompt * lens.facts.layers.length + layer) * vocabulary;
        const theirs = said.values.subarray(begin, begin + vocabulary);
        for (let id = 0; id < vocabulary; id++) {
          const apart = Math.abs(logits[id] - total - theirs[id]);
          if (!(apart <= most)) [most, at] = [apart, `layer ${layer}, prompt ${prompt + 1}`];
        }
        const best = theirs.reduce((greatest, one, id) => (one > theirs[greatest] ? id : greatest), 0);
        if (logits[best] < top - MOST_NATS) other++;
      }
    }
    await lens.close();
    console.log(
      `${name}: ${lens.facts.layers.length} layers of ${layers}, ${prompts.length} prompts: ln P within ${most.toExponential(1)} nats (${at}), ${other} with another likeliest token`,
    );
    if (!(most <= MOST_NATS) || other > 0) process.exitCode = VERIFICATION_MISMATCH;
  }
  await unembedding.close();
} finally {
  rmSync(work, { recursive: true, force: true });
}
