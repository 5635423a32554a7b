// Holds the states that inward captures against the modules of transformers on the same weights, decoded by transformers' own reader; or opens
// them in pandas and in TransformerLens, and holds them and sums over layers against what that computes itself.
// node validation/compare-states.mjs [--model smollm2-135m-instruct] [--prompts 20] [--forward own|llama.cpp] [--threads 2] [--json]
//   [--against transformers|transformer-lens]
// Every part of every layer, of every token of the prompts. Exit code 4 where a number is apart by more than 5e-5 of the greatest of its vector.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder, runPeer, transformerLensFolder } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    prompts: { type: "string", default: "20" },
    forward: { type: "string", default: "own" },
    threads: { type: "string", default: "2" },
    against: { type: "string", default: "transformers" },
    json: { type: "boolean", default: false },
  },
});
const REFERENCES = { transformers: "states_reference.py", "transformer-lens": "states_in_transformer_lens.py" };
if (!(options.against in REFERENCES))
  throw new Error(`--against ${options.against}: transformers or transformer-lens.`);
const withLens = options.against === "transformer-lens";
const REFERENCE = fileURLToPath(new URL(REFERENCES[options.against], import.meta.url));
/** Two forward passes in single precision that add in another order, through thirty layers; what TransformerLens allows itself. */
const GREATEST_SHARE = 5e-5;
const VERIFICATION_MISMATCH = 4;

prepare();
const { builtInPrompts } = await import("./built-in-prompts.mjs");
const { captureStates } = await import("../dist/run/states-file.js");
const { findModel } = await import("../dist/run/open-model.js");

const prompts = await builtInPrompts(Number(options.prompts));
const work = mkdtempSync(join(tmpdir(), "inward-states-"));
try {
  const engine = { device: "cpu", threads: Number(options.threads), forward: options.forward, sequences: 1 };
  await captureStates(prompts, options.model, {
    encoding: "f32",
    engine,
    sites: "all,attention_weights",
    positions: "prompt",
    out: join(work, "states"),
  });
  const { file } = await findModel(options.model);
  const request = { modelFolder: peerModelFolder(file), folder: join(work, "states") };
  const found = runPeer(REFERENCE, request, join(work, "request.json"), {
    threads: Number(options.threads),
    path: withLens ? transformerLensFolder() : undefined,
  });
  if (options.json) process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else process.stdout.write(withLens ? lensText(found) : transformersText(found));
  const shares = withLens
    ? [...Object.values(found.parts), found.sums]
    : Object.values(found.parts).map(({ single }) => single);
  // NaN is within nothing.
  const within = shares.length === (withLens ? 8 : 7) && shares.every((share) => share <= GREATEST_SHARE);
  process.exitCode = within ? 0 : VERIFICATION_MISMATCH;
} finally {
  rmSync(work, { recursive: true, force: true });
}

function transformersText({ prompts, tokens, numbers, parts }) {
  const lines = Object.entries(parts).map(([part, { single, double, theirs, singleAbsolute, at }]) => {
    const shown = [single, double, theirs, singleAbsolute].map((one) => one.toExponential(1).padStart(9)).join(" ");
    return `${part.padEnd(18)}${shown}  ${at}`;
  });
  return `${[`${prompts} prompts, ${tokens} tokens, ${numbers} numbers`, ...lines].join("\n")}\n`;
}

function lensText({ prompts, tokens, parts, sums }) {
  const all = [...Object.entries(parts), ["accumulated_resid", sums]];
  const lines = all.map(([part, share]) => `${part.padEnd(18)}${share.toExponential(1).padStart(9)}`);
  return `${[`${prompts} prompts, ${tokens} tokens`, ...lines].join("\n")}\n`;
}
