/**
 * Patching a residual, layers × spans × strings, beside TransformerLens and nnsight: interventions per second.
 *   node bench/interventions-per-second.mjs [strings=16] [rounds=3] [--one-by-one]
 * SmolLM2-135M as F32, 2 threads, the same tokens and the same values: residual_after of each layer replaced at the last token, and at three tokens
 * in the middle, of prompts of one length; read is the whole vocabulary's logprobs after the prompt. Ours asks the whole sweep as one group.
 * TransformerLens has a hook, and nnsight a trace, for each layer and span and all strings in one batch, which is how their patching sweeps run at best; with
 * --one-by-one TransformerLens takes each intervention alone besides. Rounds in turn, the least seconds of the loop alone, without loading; memory is the peak of the process.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepare } from "../scripts/prepare.mjs";
import { nnsightFolder, peerModelFolder, runPeer, transformerLensFolder } from "./train/peft-environment.mjs";

const [THREADS, LAYERS, WIDTH, LENGTH, NATS] = [2, 30, 576, 40, 2e-3];
const SPANS = { last: [LENGTH - 1], middle: [LENGTH / 2 - 1, LENGTH / 2, LENGTH / 2 + 1] };
const file = fileURLToPath(import.meta.url);

if (process.argv[2] === "--ours") await ours(JSON.parse(readFileSync(process.argv[3], "utf8")));
else await compare(process.argv.slice(2));

async function compare(options) {
  const oneByOne = options.includes("--one-by-one");
  const [strings = "16", rounds = "3"] = options.filter((one) => !one.startsWith("--"));
  prepare();
  const { findModel } = await import("../dist/run/open-model.js");
  const { file: model } = await findModel("smollm2-135m-instruct", { encoding: "f32" });
  const folder = mkdtempSync(join(tmpdir(), "inward-interventions-"));
  try {
    // Different from their first words on, as strings of a task are behind what they share.
    const prompts = Array.from({ length: Number(strings) }, (_, string) =>
      Array.from({ length: LENGTH }, (_, at) => 100 + ((string * 811 + at * (37 + string)) % 40000)),
    );
    let state = 1;
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state / 0x7fffffff - 0.5) * 20;
    };
    const values = Float32Array.from({ length: Number(strings) * LAYERS * WIDTH }, random);
    writeFileSync(join(folder, "values"), new Uint8Array(values.buffer));
    const common = {
      prompts,
      spans: SPANS,
      layers: LAYERS,
      width: WIDTH,
      values: join(folder, "values"),
      threads: THREADS,
    };
    writeFileSync(join(folder, "ours.json"), JSON.stringify({ ...common, model: model.path }));
    const found = { inward: [], "transformer-lens": [], nnsight: [], "one by one": [] };
    const peer = (script, path, alone = false) =>
      runPeer(
        fileURLToPath(new URL(script, import.meta.url)),
        { ...common, modelFolder: peerModelFolder(model), alone },
        join(folder, "peer.json"),
        { threads: THREADS, path },
      );
    const lens = (alone) => peer("interventions_transformer_lens.py", transformerLensFolder(), alone);
    for (let round = 0; round < Number(rounds); round++) {
      const child = spawnSync(process.execPath, [file, "--ours", join(folder, "ours.json")], {
        encoding: "utf8",
        maxBuffer: 1 << 28,
      });
      if (child.status !== 0) throw new Error(child.stderr);
      found.inward.push(JSON.parse(child.stdout.trim().split("\n").at(-1)));
      found["transformer-lens"].push(lens(false));
      found.nnsight.push(peer("interventions_nnsight.py", nnsightFolder()));
      if (oneByOne) found["one by one"].push(lens(true));
    }
    report(found);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(found) {
  const peers = ["transformer-lens", "nnsight"];
  const apart = Math.max(
    ...peers.flatMap((name) => found.inward[0].best.map((one, at) => Math.abs(one - found[name][0].best[at]))),
  );
  if (!(apart < NATS)) throw new Error(`they are ${apart} nats apart`);
  const least = (name, span) => Math.min(...found[name].map(({ seconds }) => seconds[span]));
  const peak = (name) => Math.min(...found[name].map(({ peakBytes }) => peakBytes));
  for (const span of Object.keys(SPANS)) {
    const count = found.inward[0].interventions;
    const mine = count / least("inward", span);
    const shown = Object.keys(found)
      .filter((name) => found[name].length > 0)
      .map((name) => {
        const rate = count / least(name, span);
        return `${name} ${rate.toFixed(1)}/s (${(mine / rate).toFixed(2)} times)`;
      });
    process.stdout.write(`${span.padEnd(7)} ${count} interventions: ${shown.join(", ")}\n`);
  }
  const memory = ["inward", ...peers].map((name) => `${name} ${(peak(name) / 1e6).toFixed(0)} MB`);
  process.stdout.write(
    `peak memory: ${memory.join(", ")}; logprobs of the likeliest token within ${apart.toExponential(1)} nats\n`,
  );
}

/** The whole sweep of a span as one group, in this process. */
async function ours({ prompts, spans, layers, width, values: path, threads, model }) {
  const { findBinaries, loadAddon } = await import("../dist/model/native/addon.js");
  const { askingWork } = await import("../dist/model/engines/native.js");
  const { withInterventions } = await import("../dist/model/interventions.js");
  const { stateShapeOf } = await import("../dist/model/sites.js");
  const { readGguf } = await import("../dist/gguf/read-gguf.js");
  const { folder } = findBinaries("cpu");
  const { Engine } = await loadAddon(folder);
  const bytes = readFileSync(path);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const engine = new Engine({
    modelPath: model,
    binariesFolder: folder,
    device: "cpu",
    threads,
    sequences: 32,
    batchTokens: 512,
    mostCells: 0,
    strict: false,
    cacheType: "f32",
    forward: "own",
  });
  const shape = stateShapeOf(await readGguf(model), model);
  const seconds = {};
  const best = [];
  let interventions = 0;
  for (const [span, tokens] of Object.entries(spans)) {
    const items = prompts.flatMap((promptIds, string) =>
      Array.from({ length: layers }, (_, layer) => ({
        promptIds,
        maxTokens: 0,
        temperature: 0,
        topTokens: 1,
        interventions: [
          {
            site: { part: "residual_after", layer },
            tokens,
            operation: "replace",
            values: values.subarray((string * layers + layer) * width, (string * layers + layer + 1) * width),
          },
        ],
      })),
    );
    interventions = items.length;
    const begun = performance.now();
    engine.begin(withInterventions(askingWork(items), items, () => shape));
    const found = [];
    for (let goesOn = true; goesOn; ) {
      goesOn = engine.step();
      const taken = engine.take();
      taken.items.forEach((item, at) => {
        found[item] = taken.topLogprobs[at];
      });
    }
    seconds[span] = (performance.now() - begun) / 1000;
    best.push(...found);
  }
  engine.dispose();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`${JSON.stringify({ seconds, best, interventions, peakBytes })}\n`);
}
