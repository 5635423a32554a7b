// Holds what inward writes into states against the same written by hooks of TransformerLens, on the same weights in single precision.
// node validation/compare-interventions.mjs [--model smollm2-135m-instruct] [--forward own|llama.cpp] [--prompts 1] [--threads 2] [--json]
// Every operation at every part, layers and tokens in turn; the logprobs after the prompt of all tokens of probability 1e-6 or more, beside those in
// single and in double precision. Exit code 4 where one is farther than 1e-4 nats from that in double precision, and than twice what
// TransformerLens's own in single precision is. The Python environment takes 4.5 GB on first use.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder, runPeer, transformerLensFolder } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    forward: { type: "string", default: "own" },
    prompts: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const REFERENCE = fileURLToPath(new URL("interventions_in_transformer_lens.py", import.meta.url));
/** What issue 18 asks for. Where a state is scaled that holds numbers in the thousands, single precision itself is farther from double. */
const GREATEST_NATS = 1e-4;
const GREATEST_RATIO = 2;
const VERIFICATION_MISMATCH = 4;
const PROMPTS = ["Name one animal that lives in the sea.", "What is 12 plus 30? Answer with a number."];

prepare();
const { findModel } = await import("../dist/run/open-model.js");
const { readGguf } = await import("../dist/gguf/read-gguf.js");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { siteName, siteNumbers, STATE_PARTS, stateShapeOf } = await import("../dist/model/sites.js");
const { INTERVENTION_OPERATIONS } = await import("../dist/model/interventions.js");

const { file } = await findModel(options.model, { encoding: "f32" });
const shape = stateShapeOf(await readGguf(file.path), file.path);
const model = await startEngine(file.path, {
  ...DEFAULT_ENGINE,
  device: "cpu",
  threads: Number(options.threads),
  forward: options.forward,
});

let state = 1;
/** Of size 1 or so; numbers that are the same everywhere. */
function random() {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state / 0x7fffffff - 0.5) * 3.4;
}

function itemsOf(messages, length) {
  const tokens = [[length - 1], [length - 4, length - 2], [length - 5], [length - 3, length - 1]];
  const parts = STATE_PARTS.filter((part) => part !== "attention_weights");
  return parts.flatMap((part, at) =>
    INTERVENTION_OPERATIONS.map((operation, kind) => {
      const site = { part, layer: (5 * at + 7 * kind + 3) % shape.layers };
      const width = siteNumbers(site, shape, 1);
      const chosen = tokens[(at + kind) % tokens.length];
      const rows = operation === "scale" ? 0 : operation === "project_out" ? 2 : chosen.length;
      const values = Float32Array.from({ length: rows * width }, random);
      const heads =
        part === "head_values" && kind % 2 === 1 ? [1, Math.min(4, shape.heads[site.layer] - 1)] : undefined;
      const factor = operation === "scale" ? -0.5 : operation === "add" ? 0.75 : undefined;
      const one = { site, tokens: chosen, operation };
      if (rows > 0) one.values = values;
      if (factor !== undefined) one.factor = factor;
      if (heads) one.heads = heads;
      return { messages, intervention: one, rows, width };
    }),
  );
}

const work = mkdtempSync(join(tmpdir(), "inward-interventions-"));
try {
  const items = [];
  for (const content of PROMPTS.slice(0, Number(options.prompts))) {
    const messages = [{ role: "user", content }];
    const { tokenIds } = await model.render(messages);
    for (const item of itemsOf(messages, tokenIds.length)) items.push({ ...item, ids: tokenIds });
  }
  const { vocabularySize } = model.facts;
  const replies = await model.ask(
    items.map(({ messages, intervention }) => ({
      messages,
      maxTokens: 1,
      temperature: 0,
      topTokens: vocabularySize,
      interventions: [intervention],
    })),
  );
  const ours = new Float32Array(items.length * vocabularySize);
  replies.forEach(({ first }, item) => {
    first.tokenIds.forEach((id, at) => {
      ours[item * vocabularySize + id] = first.logprobs[at];
    });
  });
  const values = items.flatMap(({ intervention }) => (intervention.values ? [intervention.values] : []));
  writeFileSync(join(work, "values"), Buffer.concat(values.map((one) => new Uint8Array(one.buffer))));
  writeFileSync(join(work, "ours"), new Uint8Array(ours.buffer));
  const request = {
    modelFolder: peerModelFolder(file),
    values: join(work, "values"),
    ours: join(work, "ours"),
    vocabulary: vocabularySize,
    items: items.map(({ ids, intervention: { site, tokens, operation, factor = null, heads = null }, rows, width }) => {
      return { ids, site: siteName(site), tokens, operation, factor, heads, rows, width };
    }),
  };
  const found = runPeer(REFERENCE, request, join(work, "request.json"), {
    threads: Number(options.threads),
    path: transformerLensFolder(),
  });
  process.stdout.write(options.json ? `${JSON.stringify(found, null, 2)}\n` : text(found));
  const all = Object.values(found.parts);
  // NaN is within nothing.
  const within =
    all.length === 6 &&
    all.every(
      ({ double, theirs, moved }) => double <= Math.max(GREATEST_NATS, GREATEST_RATIO * theirs) && moved > 0.01,
    );
  process.exitCode = within ? 0 : VERIFICATION_MISMATCH;
} finally {
  await model.dispose();
  rmSync(work, { recursive: true, force: true });
}

function text({ parts, returned }) {
  const lines = Object.entries(parts).map(([part, { items, single, double, theirs, moved }]) => {
    const shown = [single, double, theirs, moved].map((one) => one.toExponential(1).padStart(9)).join(" ");
    return `${part.padEnd(18)}${String(items).padStart(4)}${shown}`;
  });
  const head = `${"".padEnd(18)}${["", "single", "double", "theirs", "moved"].map((one) => one.padStart(9)).join(" ")}`;
  return `${[head, ...lines, `a hook at hook_resid_mid that returns its tensor: ${returned.toExponential(1)} apart`].join("\n")}\n`;
}
