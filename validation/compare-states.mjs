// Holds the states that inward captures against the modules of transformers on the same weights, decoded by transformers' own reader.
// node validation/compare-states.mjs [--model smollm2-135m-instruct] [--prompts 20] [--forward own|llama.cpp] [--threads 2] [--json]
// Every part of every layer, of every token of the prompts. Exit code 4 where a number is apart by more than 5e-5 of the greatest of its vector.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder, runPeer } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    prompts: { type: "string", default: "20" },
    forward: { type: "string", default: "own" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const REFERENCE = fileURLToPath(new URL("states_reference.py", import.meta.url));
/** Two forward passes in single precision that add in another order, through thirty layers; what TransformerLens allows itself. */
const GREATEST_SHARE = 5e-5;
const VERIFICATION_MISMATCH = 4;

prepare();
const { captureStates } = await import("../dist/run/states-file.js");
const { findModel } = await import("../dist/run/open-model.js");
const { loadTask } = await import("../dist/study/load-task.js");
const { ALL_TASKS } = await import("../dist/tasks/built-in.js");
const { objectLevelMessages } = await import("../dist/tasks/task.js");

const prompts = [];
for (const { name } of ALL_TASKS) {
  const { definition, heldOut } = await loadTask(name);
  if (prompts.length === Number(options.prompts)) break;
  if (!heldOut[0]) continue;
  prompts.push({ id: name, messages: objectLevelMessages(definition, heldOut[0], { examples: false, system: "" }) });
}
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
  const found = runPeer(REFERENCE, request, join(work, "request.json"), { threads: Number(options.threads) });
  if (options.json) process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else {
    process.stdout.write(`${found.prompts} prompts, ${found.tokens} tokens, ${found.numbers} numbers\n`);
    for (const [part, { single, double, theirs, singleAbsolute, at }] of Object.entries(found.parts)) {
      const shown = [single, double, theirs, singleAbsolute].map((one) => one.toExponential(1).padStart(9)).join(" ");
      process.stdout.write(`${part.padEnd(18)}${shown}  ${at}\n`);
    }
  }
  const parts = Object.values(found.parts);
  // NaN is within nothing.
  const within = parts.length === 7 && parts.every(({ single }) => single <= GREATEST_SHARE);
  process.exitCode = within ? 0 : VERIFICATION_MISMATCH;
} finally {
  rmSync(work, { recursive: true, force: true });
}
