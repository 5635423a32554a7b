// What onnxruntime's quantizations of one model cost in what it says: node bench/onnx-quantizations.mjs [--threads 2] [--strings 8] [--tokens 24]
// The same questions and the same answers, those of the F32 graph. Told for each: size, KL from the F32 graph over the whole vocabulary at
// the answers' positions, share of positions with the same likeliest token, and what reading a text whole and token by token differ by.
// A quantization whose two ways of reading differ says other things about one text: a logprob of it is not a property of the model.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    strings: { type: "string", default: "8" },
    tokens: { type: "string", default: "24" },
    model: { type: "string", default: "smollm2-135m-instruct" },
  },
});
const [THREADS, STRINGS, TOKENS] = [options.threads, options.strings, options.tokens].map(Number);
/** The source's encoding, and how its matrices stand in the graph: as blocks of the file, or rounded from floats. */
const ROWS = [
  ["f32", "none", 0],
  ["f32", "nbits8", 0],
  ["f32", "nbits8", 4],
  ["f32", "nbits4", 0],
  ["f32", "nbits4", 4],
  ["f32", "int8", 0],
  ["as_shipped", "blocks", 0],
  ["as_shipped", "blocks", 4],
];

prepare();
const { modelFolder } = await import("../dist/model/model-file.js");
const { resolveModel } = await import("../dist/model/resolve-model.js");
const { openTokenizer } = await import("../dist/model/engines/start-engine.js");
const { onnxVariant } = await import("../dist/onnx/onnx-engine.js");
const { ONNX_PACKAGES } = await import("../dist/onnx/onnx-packages.js");
const { loadTask } = await import("../dist/study/load-task.js");
const { objectLevelMessages } = await import("../dist/tasks/task.js");

const files = {};
for (const encoding of new Set(ROWS.map(([encoding]) => encoding))) {
  files[encoding] = await resolveModel(options.model, { encoding });
}
const { definition, heldOut } = await loadTask("animals_long");
const tokenizer = await openTokenizer(files.f32.path);
const prompts = await tokenizer.tokenize(
  heldOut.slice(0, STRINGS).map((item) => objectLevelMessages(definition, item, { examples: true, system: "" })),
);
await tokenizer.dispose();

// A run that is killed leaves this behind; whoever pulls a model next takes it away.
const work = join(modelFolder(), `onnx-bench.partial-${process.pid}`);
mkdirSync(work, { recursive: true });
const rows = [];
let sequences;
let source;
try {
  for (const [encoding, quantization, accuracyLevel] of ROWS) {
    const folder = join(work, `${encoding}-${quantization}-${accuracyLevel}`);
    const variant = await onnxVariant(files[encoding].path, folder, { quantization, accuracyLevel });
    const open = await variant.open({ threads: THREADS });
    try {
      sequences ??= (
        await open.generate(prompts.map((promptIds) => ({ promptIds, maxTokens: TOKENS, topTokens: 1, endIds: [] })))
      ).map(({ tokenIds }, at) => ({ promptIds: prompts[at], answerIds: tokenIds }));
      const logits = [];
      for (const { promptIds, answerIds } of sequences) {
        logits.push(...(await open.logits([...promptIds, ...answerIds.slice(0, -1)], answerIds.length)));
      }
      source ??= logits;
      const [whole, steps] = [await open.logprobs(sequences, "whole"), await open.logprobs(sequences, "steps")];
      const apart = whole.flatMap(({ logprobs }, at) =>
        logprobs.map((logprob, token) => Math.abs(logprob - steps[at].logprobs[token])),
      );
      const divergences = logits.map((row, at) => divergence(source[at], row));
      rows.push({
        source: files[encoding].encoding,
        name: variant.name,
        bytes: variant.bytes,
        matrices: variant.written.matrices,
        positions: logits.length,
        meanKl: mean(divergences),
        mostKl: Math.max(...divergences),
        sameTop: mean(logits.map((row, at) => (likeliest(row) === likeliest(source[at]) ? 1 : 0))),
        wholeAgainstSteps: { mean: mean(apart), most: Math.max(...apart) },
        sameTokensInSteps: mean(
          whole.flatMap(({ likeliest: tokens }, at) =>
            tokens.map((id, token) => (id === steps[at].likeliest[token] ? 1 : 0)),
          ),
        ),
      });
      const { meanKl, sameTop, wholeAgainstSteps } = rows.at(-1);
      process.stderr.write(
        `${files[encoding].encoding}, ${variant.name}: ${(variant.bytes / 1e6).toFixed(0)} MB, KL ${meanKl.toPrecision(3)}, same top ${(100 * sameTop).toFixed(1)} %, ` +
          `whole against steps ${wholeAgainstSteps.mean.toPrecision(2)} mean, ${wholeAgainstSteps.most.toPrecision(2)} most\n`,
      );
    } finally {
      await open.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const result = {
  bench: "onnx, quantizations",
  date: new Date().toISOString().slice(0, 10),
  model: files.f32.source,
  threads: THREADS,
  strings: STRINGS,
  answerTokens: TOKENS,
  packages: ONNX_PACKAGES,
  rows,
};
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL(`${result.date}-onnx-quantizations.json`, folder), `${JSON.stringify(result, null, 2)}\n`);
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);

/** KL(source ‖ other), nats, in double precision. */
function divergence(source, other) {
  const [a, b] = [logSumExp(source), logSumExp(other)];
  let sum = 0;
  for (let id = 0; id < source.length; id++) {
    const logprob = source[id] - a;
    sum += Math.exp(logprob) * (logprob - (other[id] - b));
  }
  return sum;
}

function logSumExp(logits) {
  const most = logits[likeliest(logits)];
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return most + Math.log(sum);
}

function likeliest(logits) {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
  return best;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
